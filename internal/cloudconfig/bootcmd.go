// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// bootScript collects the bootcmd of all parts. cloud-init makes one script of all items, of which only the last status
// counts (cloudinit/config/cc_bootcmd.py). So each item is followed by a line that ends the script when the item has
// failed, and that leaves on the machine, for cloud_init.py of the guest program: the command that began last, after
// the number of those after it, in /run/bakery-bootcmd; and the status and the name of one that failed, in
// /run/bakery-bootcmd.failed. With /run/bakery-bootcmd.ignore, it continues after a failure.
type bootScript struct {
	names, scripts []string
}

func (b *bootScript) add(part string, commands []Command) {
	for _, c := range commands {
		b.names = append(b.names, fmt.Sprintf("%s bootcmd[%d]", part, c.Index))
		b.scripts = append(b.scripts, c.Script)
	}
}

// bootBookkeeping defines the function that is called between two commands. It uses only what is part of every shell,
// and no command's options, IFS, PATH or directory matter to it. set -x does not show it. Only "trap", "exec" with
// another program, and a function with its own name or named "command" can break it.
const bootBookkeeping = `__bakery_item() {
__bakery_status=$?
case $__bakery_status in
0) ;;
*)
command printf '%s\n' "$__bakery_status $__bakery_name" >>/run/bakery-bootcmd.failed
[ -e /run/bakery-bootcmd.ignore ] || exit "$__bakery_status"
;;
esac
__bakery_name=${1#* }
command printf '%s\n' "$1" >|/run/bakery-bootcmd
}
`

// appendTo appends the script to the mapping, as one item.
func (b *bootScript) appendTo(root *yaml.Node) {
	if len(b.names) == 0 {
		return
	}
	var script strings.Builder
	script.WriteString(bootBookkeeping + ":\n")
	for i, name := range b.names {
		item := shell.Quote(fmt.Sprintf("%d %s", len(b.names)-1-i, name))
		fmt.Fprintf(&script, "{ __bakery_item %s; } 2>/dev/null\n%s\n\n", item, b.scripts[i])
	}
	script.WriteString("{ __bakery_item ''; } 2>/dev/null\n")
	root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "bootcmd"}, &yaml.Node{
		Kind: yaml.SequenceNode,
		Content: []*yaml.Node{{
			Kind: yaml.ScalarNode, Tag: tagString, Value: script.String(), Style: yaml.LiteralStyle,
		}},
	})
}
