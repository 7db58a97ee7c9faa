// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	"github.com/hashicorp/packer-plugin-sdk/packerbuilderdata"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/recorder"
	"github.com/amibakery/packer-plugin-bakery/internal/reuse"
)

// buildData is what tags, descriptions and provisioners can say about the bake: `{{ .SourceAMI }}` in a tag,
// `build.SourceAMI` in a provisioner. The names are amazon-ebs'.
type buildData struct {
	BuildRegion           string
	SourceAMI             string
	SourceAMIName         string
	SourceAMICreationDate string
	SourceAMIOwner        string
	SourceAMIOwnerName    string
	SourceAMITags         map[string]string
	BakeID                string
}

// sourceDataNames are the names that both templates of settings and provisioners can use.
var sourceDataNames = []string{
	"BuildRegion", "SourceAMI", "SourceAMIName", "SourceAMICreationDate", "SourceAMIOwner",
	"SourceAMIOwnerName", "BakeID",
}

// inputDataNames are the names that post-processors can use besides.
var inputDataNames = []string{dataDigest, dataInputs, dataReused}

// buildDataNames are the names that Packer is told of. Each is set by publish or publishInputs: a name that is promised
// and not set reaches provisioners as the text "<unknown>".
var buildDataNames = slices.Concat(sourceDataNames, inputDataNames)

func newBuildData(region, bakeID string, source *types.Image) buildData {
	return buildData{
		BuildRegion:           region,
		SourceAMI:             aws.ToString(source.ImageId),
		SourceAMIName:         aws.ToString(source.Name),
		SourceAMICreationDate: aws.ToString(source.CreationDate),
		SourceAMIOwner:        aws.ToString(source.OwnerId),
		SourceAMIOwnerName:    aws.ToString(source.ImageOwnerAlias),
		SourceAMITags:         awscall.TagMap(source.Tags),
		BakeID:                bakeID,
	}
}

func (d *buildData) publish(state multistep.StateBag) {
	generated := packerbuilderdata.GeneratedData{State: state}
	for name, value := range map[string]string{
		"BuildRegion": d.BuildRegion, "SourceAMI": d.SourceAMI, "SourceAMIName": d.SourceAMIName,
		"SourceAMICreationDate": d.SourceAMICreationDate, "SourceAMIOwner": d.SourceAMIOwner,
		"SourceAMIOwnerName": d.SourceAMIOwnerName, "BakeID": d.BakeID,
	} {
		generated.Put(name, value)
	}
}

// render fills in the build data of one setting.
func (d *buildData) render(ctx interpolate.Context, setting, text string) (string, error) {
	ctx.Data = d
	rendered, err := interpolate.Render(text, &ctx)
	if err != nil {
		return "", fmt.Errorf("%s: %q cannot be rendered: %w", setting, text, renderCause(err))
	}
	return rendered, nil
}

// noSuchDataError is for a text that names build data which does not exist.
type noSuchDataError struct{ name string }

func (e *noSuchDataError) Error() string {
	return fmt.Sprintf("there is no {{ .%s }}; there are .%s and .SourceAMITags", e.name,
		strings.Join(sourceDataNames, ", ."))
}

// renderCause returns what is wrong with a text in Packer's template language, without the words of Go's package.
func renderCause(err error) error {
	if _, field, ok := strings.Cut(err.Error(), "can't evaluate field "); ok {
		name, _, _ := strings.Cut(field, " ")
		return &noSuchDataError{name}
	}
	if _, after, ok := strings.Cut(err.Error(), "template: root:"); ok {
		return errors.New("line and column " + after)
	}
	return err
}

// The names of the build data that only post-processors can know: Packer's manifest takes them as custom_data.
const (
	dataDigest = "InputsDigest"
	dataInputs = "Inputs"
	dataReused = "Reused"
)

// publishInputs gives post-processors the inputs of the image, if they are known.
func publishInputs(state multistep.StateBag, inputs *reuse.Inputs, reused bool) {
	values := map[string]string{dataReused: strconv.FormatBool(reused), dataDigest: "", dataInputs: ""}
	if inputs != nil {
		values[dataDigest], values[dataInputs] = inputs.Digest(), inputs.Detail()
		if options := inputs.Tags()[bake.TagInputsOptions]; options != "" {
			values[dataInputs] += " " + options
		}
	}
	generated := packerbuilderdata.GeneratedData{State: state}
	for name, value := range values {
		generated.Put(name, value)
	}
}

// hideInputs keeps the inputs from provisioners, which are inputs themselves.
func hideInputs(state multistep.StateBag) {
	generated := packerbuilderdata.GeneratedData{State: state}
	for _, name := range inputDataNames {
		generated.Put(name, recorder.Placeholder("INPUTS"))
	}
}
