// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"cmp"
	"errors"
	"io"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
)

// replay is the directory of the recording, below the tree, and on the machine below /.
const replay = "var/lib/bakery/replay"

// Log is a recording: a directory tree for the machine.
//
//	var/lib/bakery/replay/003/0001     the third step's first operation: a call to a function of the guest program
//	var/lib/bakery/replay/blob/SHA256  a file that was uploaded, or the manifest of a directory that was
//
// The functions, whose words are quoted for sh, are
//
//	bakery_upload SHA256 MODE DEST         one file; DEST may begin with an unquoted ~ or ~user
//	bakery_updir DEST NAME MANIFEST        one directory, as scp -r would: NAME is '' for its contents alone.
//	                                       MANIFEST is the sha256 of lines "d MODE ./PATH/" and
//	                                       "f MODE SHA256 ./PATH/"; with a NAME, the first is "d MODE ./"
//	bakery_command COMMAND                 a command line for the login shell
//	bakery_try COMMAND                     the same, but its exit status is ignored
//	bakery_accept STATUSES COMMAND         the same, and these exit statuses are as good as 0; 'any' are all
//	bakery_pause SECONDS                   a pause, as long as Packer has waited here
//
// An operation whose first line is "# facts: SHA256..." has placeholders of [FactID] and [FactHost], or these blobs
// have them. The machine replaces them by its own values, which consist of letters, digits, dots, colons and hyphens.
type Log struct {
	Dir          string        // the tree
	Provisioners []Provisioner // the steps, in order
	Joined       []Join        // Image-Sources that provisioners add to the bake
	Count        int           // provisioners that recorded something; they may have more steps than one
	Commands     int
	Files        int   // uploaded files, including those of directories
	Bytes        int64 // of these files; a file that is uploaded twice counts twice
	Facts        bool  // some operation has placeholders that the machine replaces
	Accepts      bool  // some operation is a bakery_accept

	Local    int      // scripts of shell-local, which have run on this computer and recorded nothing
	Warnings []string // of provisioners that recorded less than they seem to do
}

// Provisioner is a step of the machine: one provisioner, or one script of a shell provisioner that has several.
type Provisioner struct {
	Dir  string // its operations, such as "003"
	Name string // for people, such as "provisioner 3 (shell setup.sh)"; printable ASCII, never content

	synthetic []string // names in its operations that Packer chose at random for this build
}

// Join is an Image-Source that the provisioner bakery-image-source adds to the bake.
type Join struct {
	bundle.Join

	After int // the number of steps before it
}

var errOneJoin = errors.New(
	"an earlier provisioner already adds an Image-Source, and a bake takes one: bake an image of " +
		"the first, and the second from that image",
)

// joinLimit is larger than any Join, which is the path of a directory and some variables.
const joinLimit = 1 << 20

func (r *Recorder) join(content io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(content, joinLimit))
	if err != nil {
		return err
	}
	join, err := bundle.ParseJoin(text)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tracker.begin(&block{kind: "bakery-image-source", ended: true, called: true})
	if err = cmp.Or(r.refuseAll, r.joinErr, err); err != nil {
		return r.refuse(r.tracker.block, err)
	}
	r.joinErr = errOneJoin
	r.log.Joined = append(r.log.Joined, Join{Join: join, After: len(r.steps)})
	return nil
}
