// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"archive/tar"
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

//go:embed program/live.sh
var liveSource []byte

//go:embed program/modules.py
var modulesSource []byte

// liveMark is where the live mode is inserted into the guest program: before its last lines, which select the
// subcommand.
const liveMark = "\ncase ${1:-} in\nsetup)"

// Live is a program for a machine that is already running, as one file: Head, fs.tgz when there is one, Tail. As root,
// `sh FILE` runs every step, with reports and all output on standard output. It exits with the status of the step that
// failed, and removes the file and everything else it has made.
type Live struct {
	Head, Tail []byte
}

// MakeLive renders a program for a machine that is already running. The reader is for its reports; fsSize is the size
// of the tar.gz of fs/, 0 when there is none. The program's Files are not used.
func MakeLive(p Program, r Reader, fsSize int64) (Live, error) {
	launch := Launch{Reader: r}
	if err := launch.check(); err != nil {
		return Live{}, err
	}
	files, err := p.liveFiles(launch, fsSize)
	if err != nil {
		return Live{}, err
	}
	// The archive contains its own length, as a number of fixed width.
	archive, err := liveArchive(files, fsSize)
	if err != nil {
		return Live{}, err
	}
	script := liveScript(0)
	script = liveScript(len(script))
	blocks := (len(script) + len(archive)) / tarBlock
	archive = bytes.Replace(archive, []byte(blocksUnknown), fmt.Appendf(nil, blocksKnown, blocks), 1)
	live := Live{Head: append(script, archive...)}
	if fsSize > 0 {
		live.Tail = make([]byte, (tarBlock-fsSize%tarBlock)%tarBlock)
	}
	live.Tail = append(live.Tail, make([]byte, 2*tarBlock)...)
	return live, nil
}

const (
	tarBlock      = 512
	blocksUnknown = "BAKERY_BLOCKS=0000000000"
	blocksKnown   = "BAKERY_BLOCKS=%010d"
)

// liveScript returns a script that unpacks the archive at the byte offset of the same file. It is padded to whole
// blocks.
func liveScript(offset int) []byte {
	script := fmt.Sprintf(`#!/bin/sh
# Made by packer-plugin-bakery: an Image-Source to be applied to this machine by root.
umask 077
dir=%[1]s
refuse() { echo "$1" >&2 && rm -f "$0" && exit 125; }
[ "$(id -u)" = 0 ] || refuse 'this is not root'
[ ! -e $dir/installed ] || refuse 'this machine is being baked by bakery-userdata'
! grep -qs bakery.sh "/proc/$(cat $dir/run/pid 2>/dev/null)/cmdline" ||
	refuse 'another Image-Source is being applied to this machine'
rm -rf $dir
mkdir -p $dir && tail -c +%010[2]d "$0" | tar -xf - -C $dir ||
	{ rm -rf $dir && refuse 'the payload cannot be unpacked: is the disk full?'; }
exec /bin/sh $dir/bakery.sh live "$0"
`, directory, offset+1)
	padding := tarBlock - len(script)%tarBlock
	return []byte(script + strings.Repeat("#", padding-1) + "\n")
}

// liveFiles returns the files of a program, except fs.tgz, by their path below directory.
func (p Program) liveFiles(l Launch, fsSize int64) (map[string][]byte, error) {
	p.Files = Files{}
	if fsSize > 0 {
		p.Files.Inline = []byte{0} // for the step that extracts it
	}
	files, units, err := p.layout()
	if err != nil {
		return nil, err
	}
	delete(files, "fs.tgz")
	var first strings.Builder
	for i, hook := range p.Boothooks {
		fmt.Fprintf(&first, "boothook %03d %s\n", i+1, boothookName(hook.Name))
	}
	p.layoutBoothooks(files)
	if len(p.CloudConfig) > 0 {
		first.WriteString("modules - cloud-init\n")
		files["cloud-config.cfg"], files["modules"] = p.CloudConfig, p.moduleLines()
		files["modules.py"], files["cloud_init.py"], files["cloud_keys.py"] = modulesSource, cloudInitSource,
			cloudKeysSource
	}
	// Nothing is recorded: the other provisioners use the connection.
	units = strings.Replace(units, "recorded - provisioners\n", "", 1)
	files["units"] = []byte(first.String() + units)
	if err := errors.Join(CheckIgnored(p.IgnoreFailures)...); err != nil {
		return nil, err
	}
	ignored := shell.Assign("BAKERY_IGNORE", strings.Join(p.IgnoreFailures, " "))
	files["env"], files["launch"] = []byte(ignored+"\n"+blocksUnknown+"\n"), []byte(l.assignments())
	files["bakery.sh"], err = liveProgram()
	return files, err
}

func liveProgram() ([]byte, error) {
	if bytes.Count(programSource, []byte(liveMark)) != 1 {
		return nil, errors.New("the guest program does not contain the line that its live mode is inserted before")
	}
	_, live, _ := bytes.Cut(liveSource, []byte("\n"))
	return strip(
		bytes.Replace(programSource, []byte(liveMark), append(slices.Concat([]byte("\n"), live), liveMark...), 1),
	), nil
}

// liveArchive returns the archive up to the content of fs.tgz, which is the last entry, so that it can be appended.
func liveArchive(files map[string][]byte, fsSize int64) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, mode int64, content []byte) error {
		kind := byte(tar.TypeReg)
		if strings.HasSuffix(name, "/") {
			kind = tar.TypeDir
		}
		err := w.WriteHeader(
			&tar.Header{Typeflag: kind, Name: name, Mode: mode, Size: int64(len(content)), Format: tar.FormatGNU},
		)
		if err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	}
	for _, dir := range directories(files) {
		if err := add(dir+"/", 0o700, nil); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := add(name, liveMode(name), files[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Flush(); err != nil || fsSize == 0 { // it pads the last file
		return b.Bytes(), err
	}
	err := w.WriteHeader(
		&tar.Header{Typeflag: tar.TypeReg, Name: "fs.tgz", Mode: 0o600, Size: fsSize, Format: tar.FormatGNU},
	)
	return b.Bytes(), err
}

// directories returns the directories of the files, parents first.
func directories(files map[string][]byte) []string {
	dirs := map[string]bool{}
	for name := range files {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(dirs))
}

func liveMode(name string) int64 {
	if executable(name) {
		return 0o700
	}
	return 0o600
}

// Probe is a command that prints what ReadFacts reads. It works for the login user of any machine, in any shell. It
// tests for the programs that the guest program needs and that the smallest systems do not have.
const Probe = `sh -c 'PATH=$PATH:/usr/local/bin:/usr/bin:/bin; echo bakery-uid=$(id -u); ` +
	`for c in tar gzip mkfifo cksum cloud-init; do command -v $c >/dev/null || echo bakery-lacks=$c; done; exit 0'`

// Facts describe a machine before anything is sent to it.
type Facts struct {
	Root      bool     // the login user is root
	CloudInit bool     // it has cloud-init
	Lacks     []string // programs that the guest program needs and the machine does not have
}

// ReadFacts reads the output of Probe, which may be mixed with what a login prints. It returns false when Probe did not
// run.
func ReadFacts(printed string) (Facts, bool) {
	facts, known := Facts{CloudInit: true}, false
	for word := range strings.FieldsSeq(printed) {
		uid, isUID := strings.CutPrefix(word, "bakery-uid=")
		lack, isLack := strings.CutPrefix(word, "bakery-lacks=")
		switch {
		case isUID:
			known, facts.Root = true, uid == "0"
		case isLack && lack == "cloud-init":
			facts.CloudInit = false
		case isLack:
			facts.Lacks = append(facts.Lacks, lack)
		}
	}
	return facts, known
}

// StopPath is the path of the guest program in live mode: `sh StopPath stop`, as root, stops it.
const StopPath = directory + "/bakery.sh"
