// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package bundle compiles an Image-Source to a bundle and reads bundles.
//
// A bundle is a directory that can be copied to another machine and used by another job, with other rights:
//
//	userdata.gz   the user data to launch an instance with: gzip'd MIME multipart with the guest program
//	fs.tgz        fs/ of the Image-Source, when it is too large for the user data
//	vars.env      NAME='value' lines that a POSIX shell can source: the inputs and the results
//
// The package may not know AWS or Packer. What it writes depends only on the Image-Source and the [Options]: compiling
// twice gives the same bytes.
package bundle

// The defaults of the [Options], which are those of the original compile script.
const (
	DefaultRegion      = "ap-northeast-1"
	DefaultInlineLimit = 8192 // bytes of tar.gz; user data may have 16,384 in all
)

// The files of a bundle.
const (
	UserDataName = "userdata.gz"
	FSName       = "fs.tgz"
	VarsName     = "vars.env"
)

// Options say what to compile, and with what.
type Options struct {
	Source string // the Image-Source directory
	Target string // the directory for the bundle; it is made when it does not exist

	Region string // AWS region of S3URL, for bundles launched by hand; default DefaultRegion
	S3URL  string // s3://bucket/path/to/fs.tgz, where a bundle launched by hand downloads a staged fs.tgz
	// InlineLimit is how many bytes of compressed fs/ may be in the user data. 0 is DefaultInlineLimit; with a negative
	// limit, fs/ is never in the user data.
	InlineLimit int64
	Env         map[string]string // added to the environment of script/compile.sh
	Strict      bool              // warnings are errors
	Ignored     []string          // what is a warning instead of an error; see cloudconfig.Options

	// Output is called at once with each line that compile.sh prints and each warning, without the line end. Calls do
	// not overlap. It may be nil.
	Output func(line string)
}

// File is one file of a bundle.
type File struct {
	Path   string
	SHA256 string // lower case hexadecimal
	Size   int64  // bytes
}

// Bundle is the result of Compile or Read.
type Bundle struct {
	Dir          string
	UserData     File              // userdata.gz
	FS           File              // fs.tgz; zero when fs/ is in the user data, or there is none
	FSInline     bool              // fs/ is in the user data
	NeedsStaging bool              // fs.tgz exists, or the user data is larger than guest.MaxUserData
	Name         string            // NAME of ami.env
	Version      string            // VERSION of ami.env
	Env          map[string]string // all of vars.env
	Warnings     []string          // about the Image-Source; only after Compile
}
