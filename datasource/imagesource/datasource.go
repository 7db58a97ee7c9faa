// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package imagesource is the data source bakery-image-source: it checks an Image-Source while a template is validated,
// and compiles it to a bundle when it is built. It adapts internal/bundle to Packer, and may not know AWS.
package imagesource

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/packer-plugin-sdk/hcl2helper"
	"github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/zclconf/go-cty/cty"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/problem"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
)

// Datasource compiles an Image-Source to a bundle.
type Datasource struct {
	config Config
}

var _ packer.Datasource = (*Datasource)(nil)

// ConfigSpec returns the shape of the settings.
func (d *Datasource) ConfigSpec() hcldec.ObjectSpec { return d.config.FlatMapstructure().HCL2Spec() }

// OutputSpec returns the shape of what Execute returns.
func (d *Datasource) OutputSpec() hcldec.ObjectSpec {
	return (&DatasourceOutput{}).FlatMapstructure().HCL2Spec()
}

// Configure reads the settings and checks them and the Image-Source. It runs and writes nothing.
func (d *Datasource) Configure(raws ...any) error {
	d.config = Config{}
	return d.config.prepare(raws...)
}

// nothing is returned together with an error. It needs a type: the SDK sends it to Packer even then, and panics without
// one.
var nothing = cty.NullVal(cty.EmptyObject)

// Execute compiles the Image-Source.
func (d *Datasource) Execute() (cty.Value, error) {
	// Packer does not cancel data sources. But the plugin gets an interrupt too, and compile.sh must end with it.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	options := d.config.options()
	options.Output = func(line string) { log.Printf("[INFO] compile %s: %s", d.config.Source, redact.Text(line)) }
	compiled, err := bundle.Compile(ctx, options)
	if err != nil {
		return nothing, redact.Error(err)
	}
	out, err := output(compiled)
	if err != nil {
		return nothing, err
	}
	return hcl2helper.HCL2ValueFromConfig(out, d.OutputSpec()), nil
}

// warn logs warnings, because a data source has no Ui.
func warn(problems problem.List) {
	for _, p := range problems {
		log.Printf("[WARN] %s", redact.Text(fmt.Sprint(p)))
	}
}
