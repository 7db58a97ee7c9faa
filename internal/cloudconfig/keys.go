// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// otherKeys are the top-level keys that some cloud-init from 19.3 to 26.2 reads, but that the schema of 25.1.4 does not
// list: those of other versions, and those that are meant for /etc/cloud but work here too. Source: the reads of cfg in
// cloudinit/config/cc_*.py, cloudinit/stages.py and cloudinit/log.py of these versions; and for repo_*, which only the
// cloud-init of Amazon Linux has, https://docs.aws.amazon.com/linux/al2/ug/amazon-linux-cloud-init.html.
var otherKeys = []string{
	"add_apt_repo_match", "apt_custom_sources_list", "apt_ftp_proxy", "apt_http_proxy", "apt_https_proxy", "apt_mirror",
	"apt_mirror_search", "apt_mirror_search_dns", "apt_preserve_sources_list", "apt_proxy", "apt_sources",
	"cc_ready_cmd", "datasource", "datasource_list", "datasource_pkg_list", "debconf_selections", "debug",
	"def_log_file", "disable_vmware_customization", "log_basic", "log_cfgs", "logcfg", "manage-resolv-conf",
	"manual_cache_clean", "repo_update",
	"repo_upgrade", "repo_upgrade_exclude", "rpi", "snappy", "ssh_svcname", "syslog_fix_perms", "ubuntu-advantage",
	"unverified_modules", "vendor_data2", "warnings",
}

// elsewhere are keys of cloud-init's that it reads from another place than user data.
var elsewhere = map[string]string{
	"network": "cloud-init reads it from /etc/cloud/cloud.cfg.d and from the data source only: write a file " +
		"there",
	"users_groups":  "this is the name of a module: its keys are users and groups",
	"set_passwords": "this is the name of a module: its key is chpasswd",
}

// IsKey reports whether some version of cloud-init reads the top-level key.
func IsKey(name string) bool {
	_, keys := compiledSchema()
	return slices.Contains(keys, name) || slices.Contains(otherKeys, name)
}

// maxSuggestions is after how many problems no more key is compared with all that are known.
const maxSuggestions = 100

// unknownKey reports a top-level key that no cloud-init reads, and that so is dropped in silence.
func (p *part) unknownKey(key *yaml.Node, keys []string) {
	name := key.Value
	switch {
	case slices.Contains(otherKeys, name):
		p.warnAt(key, "key %q is not known to every version of cloud-init: one that does not know it ignores it",
			shorten(name))
	case p.ignoreUnknown:
		p.warnAt(key, "unknown key %q, which cloud-init ignores", shorten(name))
	case p.shared[name]:
		p.warnAt(key, "unknown key %q, which cloud-init ignores; only its anchors are used", shorten(name))
	case elsewhere[name] != "":
		p.errorAt(key, "cloud-init would ignore the key %q: %s", name, elsewhere[name])
	case len(p.problems) > maxSuggestions:
		p.errorAt(key, "unknown key %q, which cloud-init would ignore", shorten(name))
	default:
		p.errorAt(key, "unknown key %q, which cloud-init would ignore%s", shorten(name),
			didYouMean(name, slices.Concat(keys, otherKeys)))
	}
}

// sharedKeys returns the top-level keys whose values have an anchor that is used below another key. A key that is
// unknown to cloud-init may hold what several others share.
func sharedKeys(root *yaml.Node) map[string]bool {
	shared := map[string]bool{}
	owner := map[*yaml.Node]string{}
	each := func(visit func(key string, n *yaml.Node)) {
		for i := 0; i+1 < len(root.Content); i += 2 {
			walk(root.Content[i+1], func(n *yaml.Node) { visit(root.Content[i].Value, n) })
		}
	}
	each(func(key string, n *yaml.Node) {
		if n.Anchor != "" && n.Kind != yaml.AliasNode {
			owner[n] = key
		}
	})
	each(func(key string, n *yaml.Node) {
		if from := owner[n.Alias]; n.Kind == yaml.AliasNode && from != "" && from != key {
			shared[from] = true
		}
	})
	return shared
}

// removeShared removes the keys that only hold what others share: the machine would look for their modules.
func (p *part) removeShared(root *yaml.Node) {
	for name := range p.shared {
		if !IsKey(name) {
			removeEntry(root, name)
		}
	}
}

// walk visits a node and all below it, without following aliases.
func walk(n *yaml.Node, visit func(*yaml.Node)) {
	visit(n)
	for _, child := range n.Content {
		walk(child, visit)
	}
}

// ignoreKeys makes warnings of the errors within some top-level keys: from the key to the next one.
func (p *part) ignoreKeys(root *yaml.Node, names []string) {
	for _, name := range names {
		key, _ := entry(root, name)
		if key == nil {
			continue
		}
		var next *yaml.Node
		for i := 0; i+1 < len(root.Content); i += 2 {
			other := root.Content[i]
			if before(key.Line, key.Column, other.Line, other.Column) &&
				(next == nil || before(other.Line, other.Column, next.Line, next.Column)) {
				next = other
			}
		}
		p.problems.Demote(func(line, column int) bool {
			return !before(line, column, key.Line, key.Column) &&
				(next == nil || before(line, column, next.Line, next.Column))
		})
	}
}

// before reports whether one position is before another.
func before(line, column, otherLine, otherColumn int) bool {
	return line < otherLine || line == otherLine && column < otherColumn
}
