// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:generate go tool -modfile=../../tools/go.mod packer-sdc struct-markdown
//go:generate go tool -modfile=../../tools/go.mod packer-sdc mapstructure-to-hcl2 -type DatasourceOutput

package imagesource

import (
	"encoding/base64"
	"fmt"
	"os"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
)

// DatasourceOutput are the values that a template can refer to, such as `data.bakery-image-source.app.bundle`.
type DatasourceOutput struct {
	// The directory of the bundle, which is `bundle` of `bakery-userdata`.
	Bundle string `mapstructure:"bundle"`
	// The path of `userdata.gz`: the gzip'd user data to launch an instance with.
	UserDataFile string `mapstructure:"user_data_file"`
	// The content of `userdata.gz` in base64, such as for `user_data_base64` of Terraform's `aws_instance`.
	UserDataBase64 string `mapstructure:"user_data_base64"`
	// The SHA-256 of `userdata.gz`, in hexadecimal digits.
	UserDataSHA256 string `mapstructure:"user_data_sha256"`
	// The size of `userdata.gz` in bytes. EC2 accepts up to 16,384; larger user data needs staging.
	UserDataSize int64 `mapstructure:"user_data_size"`
	// The path of `fs.tgz`; empty when `fs/` is in the user data, or there is none.
	FSFile string `mapstructure:"fs_file"`
	// The SHA-256 of `fs.tgz`, in hexadecimal digits; empty when there is no `fs.tgz`.
	FSSHA256 string `mapstructure:"fs_sha256"`
	// The size of `fs.tgz` in bytes; 0 when there is no `fs.tgz`.
	FSSize int64 `mapstructure:"fs_size"`
	// `NAME` of `ami.env`, or the one `script/compile.sh` printed.
	Name string `mapstructure:"name"`
	// `VERSION` of `ami.env`, or the one `script/compile.sh` printed.
	Version string `mapstructure:"version"`
	// Everything in `vars.env`: all of `ami.env`, what `script/compile.sh` printed, and the lines of the bundle itself.
	Env map[string]string `mapstructure:"env"`
	// Whether this bundle needs an upload to S3, because there is an `fs.tgz` or because the user data is larger than
	// EC2 accepts. Then `bakery-userdata` needs `staging`.
	NeedsStaging bool `mapstructure:"needs_staging"`
}

func output(b *bundle.Bundle) (DatasourceOutput, error) {
	userData, err := os.ReadFile(b.UserData.Path)
	if err != nil {
		return DatasourceOutput{}, fmt.Errorf("read the user data: %w", err)
	}
	return DatasourceOutput{
		Bundle:         b.Dir,
		UserDataFile:   b.UserData.Path,
		UserDataBase64: base64.StdEncoding.EncodeToString(userData),
		UserDataSHA256: b.UserData.SHA256,
		UserDataSize:   b.UserData.Size,
		FSFile:         b.FS.Path,
		FSSHA256:       b.FS.SHA256,
		FSSize:         b.FS.Size,
		Name:           b.Name,
		Version:        b.Version,
		Env:            b.Env,
		NeedsStaging:   b.NeedsStaging,
	}, nil
}
