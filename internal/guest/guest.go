// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package guest holds the guest program, the POSIX sh that bakes a machine from the inside, renders the user data that
// carries it there, and reads its reports back from the console.
//
// Three moments, three groups of names:
//
//   - compile: a [Program] says what the machine shall do; [Document] renders it as one MIME document.
//   - launch: [Deliver] adds what is known only then (bake id, presigned URLs); [Compress] makes it user data.
//   - watch: [ReadReports] finds the reports in console text, [Judge] the verdict in the reports.
//
// The package is pure: it knows no AWS API, no Packer, no file system. What it may not know is where a Program came from.
package guest

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// MaxUserData is the largest user data EC2 takes, in bytes, compressed but before base64.
// Source: docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html.
const MaxUserData = 16384

// Command is one item of a part's runcmd.
type Command struct {
	Index  int    // its position in the part's runcmd, from 0
	Script string // POSIX sh text
}

// Step is one thing the machine does between the end of cloud-init and the verdict.
// Exactly one of Commands and Script is set.
type Step struct {
	// Name is what reports and messages call the step, such as "60_app.cfg".
	Name string
	// Commands run one after another in one sh, so that a cd or a variable carries over from one to the next. The
	// first that fails is the bake's verdict, named "60_app.cfg runcmd[3]".
	Commands []Command
	// Script is executed as a file; it begins with its own #! line.
	Script []byte
}

// Files says where the tar.gz of fs/ comes from. The zero value means there is none.
type Files struct {
	Inline []byte // the tar.gz itself, when it travels in the user data
	SHA256 string // of the staged tar.gz, hex
	Size   int64  // of the staged tar.gz, bytes
	// S3URL, such as s3://bucket/path/fs.tgz, and Region are where a machine that got no delivery fetches it, with the
	// credentials of its instance profile.
	S3URL, Region string
}

// Staged reports whether the machine has to fetch the tar.gz.
func (f Files) Staged() bool { return len(f.Inline) == 0 && f.SHA256 != "" }

// Part is a MIME part that goes to cloud-init as it is.
type Part struct {
	Name    string
	Content []byte
}

// Program is everything a machine is told when its bundle is compiled.
type Program struct {
	CloudConfig []byte   // the merged "#cloud-config" document, without runcmd and power_state; ASCII
	Keys        []string // its top-level keys: errors of other modules of cloud-init are the base image's own
	Boothooks   []Part   // run by cloud-init before everything else
	Before      []Step   // priorities below 50
	Files       Files    // priorities 50 and 51
	Install     []byte   // script/install.sh, priority 51
	After       []Step   // priorities from 50 up
	// Opaque says that the cloud-config comes from user data this project did not compile and cannot take apart, so that
	// every error of cloud-init counts.
	Opaque bool
}

// Delivery is what the builder adds when it launches.
type Delivery struct {
	BakeID  string        // see NewBakeID; every report carries it
	Timeout time.Duration // after this the machine fails the bake and powers itself off
	FSURL   string        // where the staged tar.gz is: a presigned URL, or a plain one with Profile
	LogURL  string        // presigned PUT for the log; empty: the log is not uploaded
	// LogHeaders are what LogURL is to be used with, each as "name: value".
	LogHeaders []string
	Profile    bool   // sign FSURL on the machine, with the credentials of the instance profile
	Region     string // of the bucket of FSURL, with Profile: it is part of the signature
	Live       Way    // how what the steps print is told while they run
	// Key is what lines on the console are encrypted with; nil: none are told, and those of a failed step are not encrypted.
	Key *Key
	// SkipCleanup names the sections of the clean-up to leave out; see Sections.
	SkipCleanup []string
	// WipeFreeSpace overwrites everything on the disks that no file has.
	WipeFreeSpace bool
	// Recording is what the template's provisioners did; nil when there was none. RecordingURL is where its archive is when
	// that is staged: a presigned URL, or a plain one with Profile.
	Recording    *Recording
	RecordingURL string
}

// Way is how the lines come from the machine that its steps print, while they do.
type Way string

// The ways; the zero value is none.
const (
	ByConsole Way = "console" // encrypted on the console, as many as fit
	ByStore   Way = "s3"      // at LogURL, and where that does not work, by the console
)

// Recording is what provisioners would have done on the machine over SSH, for the machine to do by itself.
type Recording struct {
	// Files is the archive: var/lib/bakery/replay/DIR/NNNN, the operations of each provisioner in order, each a fragment
	// of sh that calls one of bakery_upload, bakery_updir, bakery_command and bakery_try of the guest program, and the
	// contents they refer to as var/lib/bakery/replay/blob/SHA256.
	Files Files
	// First run before everything of the Image-Source, Provisioners after its install.sh and before its later parts, Last
	// after everything.
	First, Provisioners, Last []Provisioner
	// User is whom Packer would have logged in as; empty is root.
	User string
}

// Provisioner is one recorded provisioner.
type Provisioner struct {
	Dir  string // of its operations, such as "003"
	Name string // what reports and messages call it: "provisioner 3 (shell setup.sh)"
}

// Sections are the parts of the clean-up that Delivery.SkipCleanup may name. Those that EC2 Image Builder has too carry
// its names without "skip_cleanup_". Source:
// docs.aws.amazon.com/imagebuilder/latest/userguide/security-best-practices.html.
var Sections = []string{
	"cloudinit_files", "instance_files", "ssh_files", "instance_log_files", "ssm_log_files", "package_caches",
	"temporary_files", "network_files", "shell_history",
}

// NewBakeID returns 16 hex digits that no other bake has.
func NewBakeID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand aborts the program instead
	return hex.EncodeToString(b[:])
}
