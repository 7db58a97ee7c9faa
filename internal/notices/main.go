// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Notices prints the licences of everything that is linked into a release of the plugin, on all its platforms. It fails
// when a licence is not allowed or not known. Releases contain its output as THIRD_PARTY. It finds the modules with go
// list, and downloads nothing but modules.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(context.Background(), ".", os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

// run writes the notices of the module in a folder.
func run(ctx context.Context, top string, out io.Writer) error {
	modules, err := linked(ctx, top)
	if err != nil {
		return err
	}
	if err := check(modules); err != nil {
		return err
	}
	own, err := os.ReadFile(filepath.Join(top, "internal", "cloudconfig", "NOTICE"))
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, format(modules, string(own)))
	return err
}

const rule = "\n----------------------------------------------------------------------------------------\n"

// format returns the text of all notices. A text that several modules share appears once.
func format(modules []module, own string) string {
	var b strings.Builder
	b.WriteString("packer-plugin-bakery is under the Mozilla Public License 2.0, see LICENSE. It contains the " +
		"following, unchanged.\n\n")
	for _, m := range modules {
		fmt.Fprintf(&b, "%s: %s\n", strings.TrimSpace(m.Path+" "+m.Version), strings.Join(m.ids(), ", "))
	}
	b.WriteString("\nThe source of each Go module can be downloaded with go mod download MODULE@VERSION.\n" + rule +
		own)
	users := map[string][]string{}
	var order []string
	for _, m := range modules {
		for _, n := range m.Notices {
			if users[n.Text] == nil {
				order = append(order, n.Text)
			}
			users[n.Text] = append(users[n.Text], m.Path+": "+n.Name)
		}
	}
	for _, text := range order {
		b.WriteString(rule + strings.Join(users[text], "\n") + "\n\n" + strings.TrimSpace(text) + "\n")
	}
	return b.String()
}
