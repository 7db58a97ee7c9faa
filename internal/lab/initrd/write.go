// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package initrd

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Program is this program, built for the machines.
type Program struct {
	Path    string
	Machine elf.Machine // of the machines
}

// Write writes an uncompressed initrd with a program as its init. modules are paths of kernel modules, which are loaded
// in this order.
func Write(w io.Writer, p Program, c Config, modules []string) error {
	if err := p.check(); err != nil {
		return fmt.Errorf("make an initrd: %w", err)
	}
	for _, m := range modules {
		c.Modules = append(c.Modules, filepath.Base(m))
	}
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("make an initrd: %w", err)
	}
	a := &archive{w: w}
	for _, dir := range []string{"dev", "proc", "sysroot", "modules"} {
		a.add(entry{name: dir, mode: modeDir | 0o755})
	}
	// The kernel opens it for init, before anything is mounted.
	a.add(entry{name: "dev/console", mode: modeDevice | 0o600, major: 5, minor: 1})
	a.add(entry{name: configFile, mode: modeFile | 0o600, content: text})
	a.file(program, 0o755, p.Path)
	for _, m := range modules {
		a.file("modules/"+filepath.Base(m), 0o644, m)
	}
	if err := a.end(); err != nil {
		return fmt.Errorf("make an initrd: %w", err)
	}
	return nil
}

// check returns an error for a program of another architecture than the machines', and for one that needs a C library,
// which the initrd does not have.
func (p Program) check() (err error) {
	f, err := elf.Open(p.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if f.Machine != p.Machine {
		return fmt.Errorf("%s is for %v, and the machines are %v", p.Path, f.Machine, p.Machine)
	}
	for _, part := range f.Progs {
		if part.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is linked dynamically; build it with CGO_ENABLED=0, as make build does", p.Path)
		}
	}
	return nil
}

// File types of an entry's mode (inode(7)).
const (
	modeDir    = 0o040000
	modeFile   = 0o100000
	modeDevice = 0o020000
)

// entry is one file of a cpio archive.
type entry struct {
	name         string
	mode         uint32
	major, minor int // of a device
	content      []byte
}

// archive writes the "new ASCII" cpio format, which the kernel unpacks
// (https://docs.kernel.org/driver-api/early-userspace/buffer-format.html).
type archive struct {
	w     io.Writer
	inode int
	err   error // the first error; nothing is written after it
}

func (a *archive) file(name string, mode uint32, path string) {
	content, err := os.ReadFile(path)
	if err != nil && a.err == nil {
		a.err = err
	}
	a.add(entry{name: name, mode: modeFile | mode, content: content})
}

func (a *archive) add(e entry) {
	if a.err != nil {
		return
	}
	a.inode++
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, e.mode, 0, 0, 1, 0, len(e.content), 0, 0, e.major, e.minor, len(e.name)+1, 0, e.name)
	for _, part := range [][]byte{[]byte(header), e.content} {
		if a.err == nil {
			_, a.err = a.w.Write(part)
		}
		if pad := -len(part) & 3; a.err == nil && pad > 0 { // the size of each part is a multiple of four
			_, a.err = a.w.Write(make([]byte, pad))
		}
	}
}

func (a *archive) end() error {
	a.add(entry{name: "TRAILER!!!"})
	return a.err
}
