// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"cmp"
	"errors"
	"io"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
)

// replay is where the recording is in the tree, and on the machine below /.
const replay = "var/lib/bakery/replay"

// Log is what was recorded, a directory tree for the machine:
//
//	var/lib/bakery/replay/003/0001     the first operation of the third step: a call of one function of the guest program
//	var/lib/bakery/replay/blob/SHA256  a file that was uploaded, or the manifest of a directory that was
//
// The functions, whose words are quoted for sh, are
//
//	bakery_upload SHA256 MODE DEST         one file; DEST may begin with an unquoted ~ or ~user
//	bakery_updir DEST NAME MANIFEST        one directory, as scp -r would: NAME is '' when only what it holds is meant.
//	                                       MANIFEST is the sha256 of lines "d MODE ./PATH/" and "f MODE SHA256 ./PATH/";
//	                                       with a NAME, the first is "d MODE ./"
//	bakery_command COMMAND                 a command line for the login shell
//	bakery_try COMMAND                     the same, whose exit status does not matter
//	bakery_pause SECONDS                   nothing, for as long as Packer has waited here
type Log struct {
	Dir          string        // the tree
	Provisioners []Provisioner // the steps, in order
	Joined       []Join        // Image-Sources that provisioners ask to bake as well
	Count        int           // how many provisioners recorded something: their steps may be more
	Commands     int
	Files        int   // uploaded ones, those of directories included
	Bytes        int64 // of the files, as many times as they were uploaded
}

// Provisioner is a step of the machine: one provisioner, or one script of a shell provisioner that has several.
type Provisioner struct {
	Dir  string // its operations, such as "003"
	Name string // for people, such as "provisioner 3 (shell setup.sh)"; printable ASCII, never content

	madeUp []string // names that its operations hold and Packer makes up anew for each build
}

// Join is a wish of the provisioner bakery-image-source: bake this Image-Source too, at this place of the order.
type Join struct {
	bundle.Join

	After int // how many steps come before it
}

var errOneJoin = errors.New("an earlier provisioner joins an Image-Source already, and a bake takes one: bake an image of the first, " +
	"and the second from that image")

// joinLimit is more than any Join needs: the path of a directory and some variables.
const joinLimit = 1 << 20

func (r *Recorder) join(content io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(content, joinLimit))
	if err != nil {
		return err
	}
	wish, err := bundle.ParseJoin(text)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.speaker.block = &block{kind: "bakery-image-source", ended: true}
	if err = cmp.Or(r.always, r.noJoin, err); err != nil {
		return r.refuse(r.speaker.block, err)
	}
	r.noJoin = errOneJoin
	r.log.Joined = append(r.log.Joined, Join{Join: wish, After: len(r.steps)})
	return nil
}
