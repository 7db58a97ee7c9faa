// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package guest contains the guest program, the POSIX sh program that bakes a machine while it runs on it. The package
// renders the user data that brings the program to the machine, and reads its reports from the console.
//
// The names belong to three phases of a bake:
//
//   - compile: a [Program] describes what the machine has to do; [Document] renders it as one MIME document.
//   - launch: [Deliver] adds what is known only then (bake id, presigned URLs); [Compress] makes it user data. What is
//     too large for EC2 is staged by [Stage], and launched by [Fetch].
//   - watch: [Reader] finds the reports in console text, [Judge] the verdict in the reports.
//
// The package is pure: it does not know AWS APIs, Packer or the file system. It may not know where a Program comes
// from.
package guest

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// MaxUserData is the largest user data that EC2 accepts, in bytes, compressed but before base64.
// Source: docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html.
const MaxUserData = 16384

// Command is one item of a part's runcmd.
type Command struct {
	Index  int    // its position in the part's runcmd, from 0
	Script string // POSIX sh text
}

// Step is one part of the Image-Source that the machine runs between the end of cloud-init and the verdict.
// Exactly one of Commands and Script is set.
type Step struct {
	// Name is the name of the step in reports and messages, such as "60_app.cfg".
	Name string
	// Commands run one after another in one shell, so that a cd or a variable is still in effect for the next command.
	// A failing command fails the bake, under a name such as "60_app.cfg runcmd[3]".
	Commands []Command
	// Script is executed as a file; it begins with its own #! line.
	Script []byte
}

// Files describes where the machine gets the tar.gz of fs/. The zero value means there is none.
type Files struct {
	Inline []byte // the tar.gz itself, when it is part of the user data
	SHA256 string // of the staged tar.gz, hex
	Size   int64  // of the staged tar.gz, bytes
	// S3URL, such as s3://bucket/path/fs.tgz, and Region are where a machine without a delivery downloads it, with the
	// credentials of its instance profile.
	S3URL, Region string
}

// Staged reports whether the machine has to download the tar.gz.
func (f Files) Staged() bool { return len(f.Inline) == 0 && f.SHA256 != "" }

// Part is a part of user data that is not parsed.
type Part struct {
	Name    string
	Content []byte
}

// TypedPart is a part of user data that somebody wrote and that cannot be checked before the machine has it, such as an
// include or a jinja template. cloud-init gets it unchanged.
type TypedPart struct {
	Type    string // the MIME type, such as text/x-include-url
	Name    string // its file name
	Content []byte
}

// Program is what the machine has to do, as far as it is known when the bundle is compiled.
type Program struct {
	CloudConfig []byte   // the merged "#cloud-config" document, without runcmd and power_state; ASCII
	Keys        []string // its top-level keys; errors of cloud-init's other modules come from the base image
	Boothooks   []Part   // run before everything else, at every boot of cloud-init
	Before      []Step   // priorities below 50
	Files       Files    // priorities 50 and 51
	Install     []byte   // script/install.sh, priority 51
	After       []Step   // priorities from 50 up
	// Unchecked are parts that cloud-init gets after the CloudConfig; with any, set Opaque.
	Unchecked []TypedPart
	// Opaque means that the program contains user data that this project did not compile and cannot parse, so that the
	// machine finds out its keys.
	Opaque bool
	// IgnoreFailures is that of the delivery, for MakeLive.
	IgnoreFailures []string
}

// Launch is what a machine reports with. It is in the user data that EC2 has, and not in what is staged: who reads the
// bucket must not know the key.
type Launch struct {
	Reader

	// CommitURL is a presigned PUT for the machine's commitment, which S3 takes only once; "" without staging.
	CommitURL     string
	CommitHeaders []string // of a request to CommitURL, each as "name: value"
}

// Delivery is what the builder adds when it launches the machine.
type Delivery struct {
	Timeout time.Duration // after this the machine fails the bake and powers itself off
	FSURL   string        // where the staged tar.gz is: a presigned URL, or a plain one with Profile
	LogURL  string        // presigned PUT for the log; empty: the log is not uploaded
	// LogHeaders are the headers of a request to LogURL, each as "name: value".
	LogHeaders []string
	Profile    bool   // sign FSURL on the machine, with the credentials of the instance profile
	Region     string // of the bucket of FSURL, with Profile: it is part of the signature
	Live       Way    // how the machine sends what the steps print while they run
	// Key encrypts the lines on the console; it is not that of the reports. Without a key, no lines are sent, and those
	// of a failed step are not encrypted.
	Key *Key
	// KeyPair means that the machine has a key pair, whose key the clean-up has to remove.
	KeyPair bool
	// SkipCleanup names the sections of the clean-up to leave out; see Sections.
	SkipCleanup []string
	// IgnoreFailures names the failures of cloud-init that are only warnings; see CheckIgnored.
	IgnoreFailures []string
	// WipeFreeSpace overwrites the free space of all disks.
	WipeFreeSpace bool
	// Recording is what the template's provisioners did; nil when there was none. RecordingURL is the URL of its
	// archive when that is staged: presigned, or plain with Profile.
	Recording    *Recording
	RecordingURL string
}

// Way is how the machine sends the lines that its steps print, while they run.
type Way string

// The ways. The zero value sends no lines.
const (
	ByConsole Way = "console" // encrypted on the console, as many as fit
	ByStore   Way = "s3"      // uploaded to LogURL, and by the console when that fails
)

// Recording is what provisioners would have done over SSH. The machine does it without a connection.
type Recording struct {
	// Files is the archive. It contains the operations of each provisioner in order, as var/lib/bakery/replay/DIR/NNNN.
	// Each is a fragment of sh that calls one of bakery_upload, bakery_updir, bakery_command, bakery_accept and
	// bakery_try of the guest program. The contents they refer to are in var/lib/bakery/replay/blob/SHA256.
	Files Files
	// First run before the Image-Source, Provisioners after its install.sh and before its later parts, Last at the end.
	First, Provisioners, Last []Provisioner
	// User is the user that Packer would have logged in as; empty means root.
	User string
	// Accepts says that some operations call bakery_accept.
	Accepts bool
	// Facts says that some operations begin with "# facts:": the machine puts its id and its address into them.
	Facts bool
	// Interface says which address that is, as ssh_interface of amazon-ebs does.
	Interface string
}

// Provisioner is one recorded provisioner.
type Provisioner struct {
	Dir  string // of its operations, such as "003"
	Name string // in reports and messages, such as "provisioner 3 (shell setup.sh)"
}

// Sections are the parts of the clean-up that Delivery.SkipCleanup may name. Sections that EC2 Image Builder has too
// are named as there, without "skip_cleanup_". Source:
// docs.aws.amazon.com/imagebuilder/latest/userguide/security-best-practices.html.
var Sections = []string{
	"cloudinit_files", "instance_files", "ssh_files", "instance_log_files", "ssm_log_files", "package_caches",
	"temporary_files", "network_files", "shell_history",
}

// NewBakeID returns a random id of 16 hex digits.
func NewBakeID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand aborts the program instead
	return hex.EncodeToString(b[:])
}
