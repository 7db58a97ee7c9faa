// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"

	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// StagingConfig says where in S3 files go that do not fit into user data, and how the machine gets them.
type StagingConfig struct {
	// Where to put files: `s3://bucket` or `s3://bucket/prefix`. Required within `staging`. An `fs/` that an earlier
	// bake has uploaded and kept is not uploaded again.
	URL string `mapstructure:"url" required:"true"`
	// The region of the bucket. Default: the region of the build.
	Region string `mapstructure:"region"`
	// How the machine gets the files. `"presigned"`, the default: through URLs that only the user data holds and
	// that end with the bake; the machine needs no rights in the account. `"profile"`: with the credentials of
	// `iam_instance_profile`, which needs `s3:GetObject` there. The log, and user data that is too large, go by
	// presigned URLs all the same.
	Delivery string `mapstructure:"delivery"`
	// Keep the `fs/` this bake has uploaded, for later bakes of the same one. Default: `false`: it is deleted when
	// the bake ends, however it ends. Keep it when several bakes share a large `fs/`, and let the bucket's lifecycle
	// remove it.
	Keep bool `mapstructure:"keep"`
	// The account id the bucket must belong to; an upload to anybody else's is refused. Default: not checked.
	ExpectedBucketOwner string `mapstructure:"expected_bucket_owner"`
}

const (
	deliveryPresigned = "presigned"
	deliveryProfile   = "profile"
)

func (c *Config) prepareStaging() ([]string, []error) {
	s := c.Staging
	if s == nil {
		return nil, nil
	}
	var errs []error
	if s.URL == "" {
		errs = append(errs, errors.New("staging: url is needed: s3://bucket/prefix"))
	} else if !unknown(s.URL) {
		if _, err := staging.ParseURL(s.URL); err != nil {
			errs = append(errs, fmt.Errorf("staging: url: %w", err))
		}
	}
	if err := checkOneOf("staging: delivery", &s.Delivery, deliveryPresigned, deliveryProfile); err != nil {
		errs = append(errs, err)
	}
	if s.Delivery == deliveryProfile && c.IamInstanceProfile == "" && c.TemporaryProfilePolicy == nil {
		errs = append(errs, errors.New("staging: delivery = \"profile\" needs iam_instance_profile, or a "+
			settingPolicy+": the machine fetches with its credentials"))
	}
	return nil, errs
}
