// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package bundle compiles an Image-Source to a bundle and reads bundles back.
//
// A bundle is a directory that can be carried to another machine, by another job, with other rights:
//
//	userdata.gz   the user data to launch an instance with: gzip'd MIME multipart, the guest program inside
//	fs.tgz        fs/ of the Image-Source, when it is too large to travel inside the user data
//	vars.env      NAME='value' lines a POSIX shell can source: what was used and what came out
//
// The package may not know AWS or Packer. What it writes depends on nothing but the Image-Source and the [Options]:
// compiled twice, the bytes are the same.
package bundle

// What an Image-Source is compiled with when nothing else is said, as in the compile script this came from.
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
	Target string // the directory the bundle goes to; made when it is not there

	Region      string            // AWS region of S3URL, for bundles launched by hand; default DefaultRegion
	S3URL       string            // s3://bucket/path/to/fs.tgz, where a bundle launched by hand fetches a staged fs.tgz
	InlineLimit int64             // up to this many bytes of compressed fs/ travel inside the user data; 0 is DefaultInlineLimit, negative is never
	Env         map[string]string // added to the environment of script/compile.sh
	Strict      bool              // warnings are errors

	// Output is called with each line compile.sh prints and each warning, without the line ending, as they happen.
	// Calls do not overlap. May be nil.
	Output func(line string)
}

// File is one file of a bundle.
type File struct {
	Path   string
	SHA256 string // lower case hexadecimal
	Size   int64  // bytes
}

// Bundle is what compiling left behind, or what Read found.
type Bundle struct {
	Dir          string
	UserData     File              // userdata.gz
	FS           File              // fs.tgz; zero when fs/ travels inside the user data, or there is none
	FSInline     bool              // fs/ travels inside the user data
	NeedsStaging bool              // fs.tgz exists, or the user data is larger than guest.MaxUserData
	Name         string            // NAME of ami.env
	Version      string            // VERSION of ami.env
	Env          map[string]string // all of vars.env
	Warnings     []string          // about the Image-Source; only after Compile
}
