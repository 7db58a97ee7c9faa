// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// SourceConfig says which image the machine starts from: `source_ami` or `source_ami_filter`.
type SourceConfig struct {
	// The image to start from, in one of three forms: an id such as `ami-0123456789abcdef0`;
	// `resolve:ssm:/path/of/parameter`, an SSM parameter that holds the id; or the name of an image of your own
	// account or Amazon's, in which `*` stands for any characters: the newest is taken. With `source_ami_filter`
	// as well, it must be an id, and the image must be what the filter says.
	SourceAmi string `mapstructure:"source_ami"`
	// How to find the image to start from. See [SourceFilter](#source-ami-filter-configuration).
	SourceAmiFilter SourceFilter `mapstructure:"source_ami_filter"`
}

// SourceFilter finds the image to start from by what EC2 knows about images.
type SourceFilter struct {
	// What images are selected by, as in `{ name = "debian-12-amd64-*", architecture = "x86_64" }`. Every filter of
	// [DescribeImages](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html) will do. Several
	// values of one filter are separated by commas, and any of them will do.
	Filters map[string]string `mapstructure:"filters"`
	// Whose images are considered: account ids, `amazon`, `aws-marketplace` or `self`. Required, because anyone can
	// publish an image under any name.
	Owners []string `mapstructure:"owners" required:"true"`
	// Take the newest image when the filter selects several, which is an error otherwise. Default: `false`.
	MostRecent bool `mapstructure:"most_recent"`
	// Consider images their owner has deprecated. Default: `false`.
	IncludeDeprecated bool `mapstructure:"include_deprecated"`
}

func (f *SourceFilter) isEmpty() bool {
	return len(f.Filters) == 0 && len(f.Owners) == 0 && !f.MostRecent
}

// ssmPrefix marks a source_ami as the name of an SSM parameter, in the way of EC2's RunInstances.
const ssmPrefix = "resolve:ssm:"

// imageID is the form of an image's id; the short form is that of images older than 2016.
var imageID = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)

// Check returns warnings and what is wrong with the settings.
func (c *SourceConfig) Check() ([]string, []error) {
	filter := &c.SourceAmiFilter
	errs := setting.Prefix("source_ami_filter", setting.CheckFilters(filter.Filters))
	switch {
	case c.SourceAmi == "" && filter.isEmpty():
		return nil, []error{errors.New("source_ami or source_ami_filter is needed: the image to start from")}
	case c.SourceAmi != "" && !filter.isEmpty() && !setting.Unknown(c.SourceAmi) && !imageID.MatchString(c.SourceAmi):
		errs = append(errs, errors.New("source_ami must be an id where source_ami_filter is set as well: keep one of "+
			"them"))
	case c.SourceAmi == "" && len(filter.Owners) == 0:
		errs = append(errs, errors.New("source_ami_filter: owners is needed, because anyone can publish an image "+
			"under any name; set account ids, \"amazon\" or \"self\""))
	case strings.HasPrefix(c.SourceAmi, "ami-") && !setting.Unknown(c.SourceAmi) && !imageID.MatchString(c.SourceAmi):
		errs = append(errs, fmt.Errorf("source_ami: %q is not an image id, which is ami- and 8 or 17 digits of 0-9 "+
			"and a-f", c.SourceAmi))
	case c.SourceAmi == ssmPrefix:
		errs = append(errs, errors.New("source_ami: resolve:ssm: is to be followed by the name of an SSM parameter"))
	}
	return nil, errs
}
