// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	"github.com/hashicorp/packer-plugin-sdk/packerbuilderdata"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"
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

// buildDataNames are the names provisioners can use; each is put in publishBuildData, because a name that is promised
// and not put reaches provisioners as the text "<unknown>". Those of the inputs are for post-processors; see publishInputs.
var buildDataNames = []string{
	"BuildRegion", "SourceAMI", "SourceAMIName", "SourceAMICreationDate", "SourceAMIOwner", "SourceAMIOwnerName", "BakeID",
	dataDigest, dataInputs, dataReused,
}

func (b *bake) buildData() buildData {
	return buildData{
		BuildRegion:           b.aws.config.Region,
		SourceAMI:             aws.ToString(b.source.ImageId),
		SourceAMIName:         aws.ToString(b.source.Name),
		SourceAMICreationDate: aws.ToString(b.source.CreationDate),
		SourceAMIOwner:        aws.ToString(b.source.OwnerId),
		SourceAMIOwnerName:    aws.ToString(b.source.ImageOwnerAlias),
		SourceAMITags:         tagMap(b.source.Tags),
		BakeID:                b.id,
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
func (b *bake) render(name, text string) (string, error) {
	data := b.buildData()
	ctx := b.config.ctx
	ctx.Data = &data
	rendered, err := interpolate.Render(text, &ctx)
	if err != nil {
		return "", fmt.Errorf("render %s: %w", name, err)
	}
	return rendered, nil
}

func tagMap(tags []types.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m
}
