// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/instanceprofile"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// StagingConfig says where in S3 files go that do not fit into user data, and how the machine gets them.
type StagingConfig struct {
	// Where to put files: `s3://bucket` or `s3://bucket/prefix`. Required within `staging`. An `fs/` that an earlier
	// bake has uploaded and kept is not uploaded again. In a bucket [with
	// versions](https://github.com/amibakery/packer-plugin-bakery/blob/main/docs/iam/README.md#buckets-with-versions),
	// the bake removes those of what it has staged. A bucket with Object Lock must have no default retention.
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
	// Keep the machine's log, which is then `logs/`, the bake's id and `/log.gz` below the prefix, in its last version.
	// Default: `false`: it is deleted when the bake ends; `log_file` is a copy of it.
	KeepLog bool `mapstructure:"keep_log"`
	// The id of the account the bucket must belong to: S3 refuses every call, and every URL the machine has, when it
	// belongs to another, such as one who has taken the name of a bucket that was deleted. `"any"` does not check.
	// Default: the account of the credentials, or `"any"` with `skip_credential_validation`.
	ExpectedBucketOwner string `mapstructure:"expected_bucket_owner"`
	// How S3 encrypts what is staged, and the machine's log: `"AES256"`, `"aws:kms"` or `"aws:kms:dsse"`. Default: the
	// default of the bucket, which is `AES256` unless somebody has changed it.
	ServerSideEncryption string `mapstructure:"server_side_encryption"`
	// The KMS key to encrypt with: its id, ARN or alias. Whoever bakes needs `kms:GenerateDataKey` and `kms:Decrypt`
	// for it, and so does the machine's role with `delivery = "profile"`. Needs `server_side_encryption` to be
	// `"aws:kms"`, which is its default then, or `"aws:kms:dsse"`. Default: the account's own key of S3.
	KMSKeyID string `mapstructure:"kms_key_id"`
}

// anyOwner is the expected_bucket_owner that says not to check.
const anyOwner = "any"

// owner is the account the bucket must belong to, or "" when it may be anybody's. Account is that of the credentials.
func (s *StagingConfig) owner(account string) string {
	switch s.ExpectedBucketOwner {
	case "":
		return account
	case anyOwner:
		return ""
	}
	return s.ExpectedBucketOwner
}

// keyName is made of what ids, ARNs and aliases of KMS keys are made of; it becomes a header that the machine sends.
var keyName = regexp.MustCompile(`^[A-Za-z0-9:/_-]+$`)

func (s *StagingConfig) checkProtection() []error {
	var errs []error
	if o := s.ExpectedBucketOwner; setting.Known(o) && o != anyOwner && !setting.AccountID.MatchString(o) {
		errs = append(errs, fmt.Errorf("staging: expected_bucket_owner is %q; it must be the 12 digits of an "+
			"account, or %q", o, anyOwner))
	}
	if s.KMSKeyID != "" && s.ServerSideEncryption == "" {
		s.ServerSideEncryption = encryptionKMS
	}
	if s.ServerSideEncryption != "" {
		if err := setting.CheckOneOf("staging: server_side_encryption", &s.ServerSideEncryption, encryptionAES,
			encryptionKMS, encryptionDSSE); err != nil {
			errs = append(errs, err)
		}
	}
	if s.ServerSideEncryption == encryptionAES && s.KMSKeyID != "" {
		errs = append(errs, errors.New("staging: kms_key_id has no place in server_side_encryption = \"AES256\": "+
			"leave one of them out"))
	}
	if setting.Known(s.KMSKeyID) && !keyName.MatchString(s.KMSKeyID) {
		errs = append(errs, fmt.Errorf("staging: kms_key_id is %q, which is no id, ARN or alias of a key", s.KMSKeyID))
	}
	return errs
}

const (
	encryptionAES  = "AES256"
	encryptionKMS  = "aws:kms"
	encryptionDSSE = "aws:kms:dsse"
)

// longestPrefix is how many bytes a prefix may have, so that S3 takes all keys of a bake: the longest is of an fs/ that
// is kept, below its digest.
const longestPrefix = staging.LongestKey - len("/") - 2*sha256.Size - len("/"+bundle.FSName)

const (
	deliveryPresigned = "presigned"
	deliveryProfile   = "profile"
)

func (c *Config) checkStaging() ([]string, []error) {
	s := c.Staging
	if s == nil {
		return nil, nil
	}
	var errs []error
	if s.URL == "" {
		errs = append(errs, errors.New("staging: url is needed: s3://bucket/prefix"))
	} else if !setting.Unknown(s.URL) {
		at, err := staging.ParseURL(s.URL)
		if err != nil {
			errs = append(errs, fmt.Errorf("staging: url: %w", err))
		}
		if n := len(at.Prefix); n > longestPrefix {
			errs = append(errs, fmt.Errorf("staging: url: the prefix has %d bytes; it must have at most %d: S3 takes "+
				"keys of %d, and the bake adds up to %d", n, longestPrefix, staging.LongestKey,
				staging.LongestKey-longestPrefix))
		}
	}
	if err := setting.CheckOneOf("staging: delivery", &s.Delivery, deliveryPresigned, deliveryProfile); err != nil {
		errs = append(errs, err)
	}
	if s.Delivery == deliveryProfile && c.IamInstanceProfile == "" && c.TemporaryProfilePolicy == nil {
		errs = append(errs, errors.New("staging: delivery = \"profile\" needs iam_instance_profile, or a "+
			instanceprofile.SettingPolicy+": the machine fetches with its credentials"))
	}
	return nil, append(errs, s.checkProtection()...)
}
