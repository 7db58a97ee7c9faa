// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Program ansible is packer-plugin-ansible as far as the tests need it: ansible-local, with the calls and the words of
// release 1.1.4. The plugin itself cannot be built here: its module does not verify against the checksum database.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2/hcldec"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/plugin"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"
	"github.com/hashicorp/packer-plugin-sdk/version"
	"github.com/zclconf/go-cty/cty"
)

func main() {
	set := plugin.NewSet()
	set.SetVersion(version.NewPluginVersion("1.1.4", "", ""))
	set.RegisterProvisioner("local", &ansibleLocal{})
	if err := set.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// ansibleLocal makes the calls of ansible-local: uploads and commands in its order, with its texts, of which it looks
// at nothing but exit codes.
type ansibleLocal struct {
	config ansibleConfig
	ctx    interpolate.Context
}

type ansibleConfig struct {
	PackerBuildName   string `mapstructure:"packer_build_name"   cty:"packer_build_name"`
	PackerBuilderType string `mapstructure:"packer_builder_type" cty:"packer_builder_type"`

	PlaybookFile    string   `mapstructure:"playbook_file"             cty:"playbook_file"`
	PlaybookDir     string   `mapstructure:"playbook_dir"              cty:"playbook_dir"`
	RolePaths       []string `mapstructure:"role_paths"                cty:"role_paths"`
	InventoryGroups []string `mapstructure:"inventory_groups"          cty:"inventory_groups"`
	ExtraArguments  []string `mapstructure:"extra_arguments"           cty:"extra_arguments"`
	StagingDir      string   `mapstructure:"staging_directory"         cty:"staging_directory"`
	CleanStagingDir bool     `mapstructure:"clean_staging_directory"   cty:"clean_staging_directory"`
}

// ansibleSpec is the form in which HCL2 decodes the settings; packer's own add to it, but are of no use here.
type ansibleSpec struct {
	PlaybookFile    *string  `cty:"playbook_file"           mapstructure:"playbook_file"`
	PlaybookDir     *string  `cty:"playbook_dir"            mapstructure:"playbook_dir"`
	RolePaths       []string `cty:"role_paths"              mapstructure:"role_paths"`
	InventoryGroups []string `cty:"inventory_groups"        mapstructure:"inventory_groups"`
	ExtraArguments  []string `cty:"extra_arguments"         mapstructure:"extra_arguments"`
	StagingDir      *string  `cty:"staging_directory"       mapstructure:"staging_directory"`
	CleanStagingDir *bool    `cty:"clean_staging_directory" mapstructure:"clean_staging_directory"`
}

func (*ansibleSpec) HCL2Spec() map[string]hcldec.Spec {
	spec := map[string]hcldec.Spec{}
	for name, kind := range map[string]cty.Type{
		"playbook_file": cty.String, "playbook_dir": cty.String, "role_paths": cty.List(cty.String),
		"inventory_groups": cty.List(cty.String), "extra_arguments": cty.List(cty.String),
		"staging_directory": cty.String, "clean_staging_directory": cty.Bool,
	} {
		spec[name] = &hcldec.AttrSpec{Name: name, Type: kind}
	}
	return spec
}

func (*ansibleConfig) FlatMapstructure() interface{ HCL2Spec() map[string]hcldec.Spec } {
	return &ansibleSpec{}
}

func (*ansibleLocal) ConfigSpec() hcldec.ObjectSpec { return (&ansibleSpec{}).HCL2Spec() }

func (a *ansibleLocal) Prepare(raws ...any) error {
	err := config.Decode(&a.config, &config.DecodeOpts{Interpolate: true, InterpolateContext: &a.ctx,
		PluginType: "ansible-local"}, raws...)
	if err != nil {
		return err
	}
	a.config.StagingDir = cmp.Or(a.config.StagingDir,
		"/tmp/packer-provisioner-ansible-local/5f0c3e4a-0000-4000-8000-000000000000")
	_, err = os.Stat(a.config.PlaybookFile)
	return err
}

func (a *ansibleLocal) Provision(ctx context.Context, ui packersdk.Ui, comm packersdk.Communicator,
	data map[string]any) error {
	ui.Say("Provisioning with Ansible...")
	c, staging := a.config, a.config.StagingDir
	run := func(command string) error {
		cmd := &packersdk.RemoteCmd{Command: command}
		if err := cmd.RunWithUi(ctx, comm, ui); err != nil {
			return err
		}
		if cmd.ExitStatus() != 0 {
			return fmt.Errorf("%s: exit status %d", command, cmd.ExitStatus())
		}
		return nil
	}
	dir := func(to, from string) error {
		message(ui, "Creating directory: "+to)
		return errors.Join(run(fmt.Sprintf("mkdir -p '%s'", to)),
			comm.UploadDir(to, strings.TrimSuffix(from, "/")+"/", nil))
	}
	file := func(name string, content io.Reader) error { return comm.Upload(path.Join(staging, name), content, nil) }

	inventory := "packer-provisioner-ansible-local" + "123456"
	if err := errors.Join(a.uploadPlaybook(ui, run, dir, file),
		file(inventory, strings.NewReader(a.inventory()))); err != nil {
		return err
	}
	for _, role := range c.RolePaths {
		if err := dir(path.Join(staging, "roles", filepath.Base(role)), role); err != nil {
			return err
		}
	}
	extra := fmt.Sprintf(" --extra-vars \"packer_build_name=%v packer_builder_type=%v packer_http_addr=%v -o "+
		"IdentitiesOnly=yes\" %s",
		c.PackerBuildName, c.PackerBuilderType, data["PackerHTTPAddr"], strings.Join(c.ExtraArguments, " "))
	command := fmt.Sprintf("cd %s && ANSIBLE_FORCE_COLOR=1 PYTHONUNBUFFERED=1 ansible-playbook %s%s -c local -i %s",
		staging, path.Join(staging, filepath.Base(c.PlaybookFile)), extra, path.Join(staging, inventory))
	message(ui, "Executing Ansible: "+command)
	if err := run(command); err != nil || !c.CleanStagingDir {
		return err
	}
	message(ui, "Removing staging directory...")
	return run(fmt.Sprintf("rm -rf '%s'", staging))
}

func (a *ansibleLocal) uploadPlaybook(ui packersdk.Ui, run func(string) error, dir func(to, from string) error,
	file func(string, io.Reader) error) error {
	if a.config.PlaybookDir != "" {
		message(ui, "Uploading Playbook directory to Ansible staging directory...")
		if err := dir(a.config.StagingDir, a.config.PlaybookDir); err != nil {
			return err
		}
	} else {
		message(ui, "Creating Ansible staging directory...")
		if err := run(fmt.Sprintf("mkdir -p '%s'", a.config.StagingDir)); err != nil {
			return err
		}
	}
	message(ui, "Uploading main Playbook file...")
	playbook, err := os.Open(a.config.PlaybookFile)
	if err != nil {
		return err
	}
	defer func() { _ = playbook.Close() }()
	return file(filepath.Base(a.config.PlaybookFile), playbook)
}

func (a *ansibleLocal) inventory() string {
	if len(a.config.InventoryGroups) == 0 {
		return "127.0.0.1"
	}
	var text strings.Builder
	for _, group := range a.config.InventoryGroups {
		fmt.Fprintf(&text, "[%s]\n127.0.0.1\n", group)
	}
	return text.String()
}

// message says something in the way the real one does, which is deprecated.
func message(ui packersdk.Ui, text string) { ui.Message(text) } //nolint:staticcheck // the calls are to be the same
