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

// Digest returns the sha256 of what a step does, including the contents of its uploads. It is the same for every
// recording of the same provisioner: the random names that Packer makes for each build are left out.
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
		op = []byte(p.withoutSynthetic(string(op)))
		fmt.Fprintf(sum, "%d\n%s", len(op), op)
	}
	return [sha256.Size]byte(sum.Sum(nil)), nil
}

// ansibleNames matches the random names of ansible-local's directory and inventory.
var ansibleNames = regexp.MustCompile(
	`packer-provisioner-ansible-local(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]+)`,
)

func (p Provisioner) withoutSynthetic(op string) string {
	for _, name := range p.synthetic {
		op = strings.ReplaceAll(op, name, "*")
	}
	return ansibleNames.ReplaceAllString(op, "packer-provisioner-ansible-local/*")
}

// scriptName matches the name that Packer's shell provisioner gives its script, unless the template names it; the
// number is below 9999.
var scriptName = regexp.MustCompile(`^script_[0-9]{1,4}\.sh$`)

// synthetic returns the names of the block's files on the machine that Packer chose at random for this build.
func (b *block) synthetic() []string {
	var names []string
	if name := path.Base(b.remote); scriptName.MatchString(name) {
		names = append(names, name)
	}
	if b.envFile != "" {
		names = append(names, path.Base(b.envFile))
	}
	return names
}
