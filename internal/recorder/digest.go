// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// Digest is the sha256 of what a step does, with the contents of what it uploads: the same for every recording of the same
// provisioner. The names that Packer makes up anew for each build do not count.
func (l *Log) Digest(p Provisioner) ([sha256.Size]byte, error) {
	var none [sha256.Size]byte
	dir := filepath.Join(l.Dir, replay, p.Dir)
	entries, err := os.ReadDir(dir) // sorted, which is the order of the operations
	if err != nil {
		return none, fmt.Errorf("read what %s did: %w", p.Name, err)
	}
	sum := sha256.New()
	for _, entry := range entries {
		op, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return none, fmt.Errorf("read what %s did: %w", p.Name, err)
		}
		op = []byte(p.withoutMadeUp(string(op)))
		fmt.Fprintf(sum, "%d\n%s", len(op), op)
	}
	return [sha256.Size]byte(sum.Sum(nil)), nil
}

// ansibleNames are the directory and the inventory that ansible-local makes up.
var ansibleNames = regexp.MustCompile(`packer-provisioner-ansible-local(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]+)`)

func (p Provisioner) withoutMadeUp(op string) string {
	for _, name := range p.madeUp {
		op = strings.ReplaceAll(op, name, "*")
	}
	return ansibleNames.ReplaceAllString(op, "packer-provisioner-ansible-local/*")
}

// scriptName is what Packer's shell provisioner calls its script, unless the template does; the number is below 9999.
var scriptName = regexp.MustCompile(`^script_[0-9]{1,4}\.sh$`)

// madeUp are the names of the block's files on the machine that are others in the next build.
func (b *block) madeUp() []string {
	var names []string
	if name := path.Base(b.remote); scriptName.MatchString(name) {
		names = append(names, name)
	}
	if b.envFile != "" {
		names = append(names, path.Base(b.envFile))
	}
	return names
}
