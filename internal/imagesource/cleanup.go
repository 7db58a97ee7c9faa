// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"io/fs"
	"path"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/cloudconfig"
	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// Effect is what the clean-up of a bake does to a user's own file.
type Effect string

// The effects. They are verbs of messages, but for the last.
const (
	Removes  Effect = "removes"
	Empties  Effect = "empties"
	Replaces Effect = "replaces"
	// KeepsOwn is for paths where the clean-up removes only what it knows to be of the launch: by a comment of
	// cloud-init's, the address of the machine's network card, or the key of the launch. Whatever comes with fs/ stays.
	KeepsOwn Effect = ""
)

// Cleaned is a path in the image that the clean-up of the guest program touches.
type Cleaned struct {
	Pattern string // as a shell matches it; with a slash at its end: everything below; "~/" is every home
	Section string // of skip_cleanup
	Effect  Effect
}

// CleanUp lists every path that the functions bakery_clean_SECTION of internal/guest/program/bakery.sh, keys.py and
// rules.py touch on the disk. A test compares it with them.
var CleanUp = []Cleaned{
	{"/var/lib/cloud/instances", "cloudinit_files", Removes},
	{"/var/lib/cloud/instance", "cloudinit_files", Removes},
	{"/var/lib/cloud/data", "cloudinit_files", Removes},
	{"/var/lib/cloud/sem", "cloudinit_files", Removes},
	{"/var/log/cloud-init*.log", "cloudinit_files", Removes},
	{"/etc/sudoers.d/90-cloud-init-users", "cloudinit_files", KeepsOwn},
	{"/etc/doas.conf", "cloudinit_files", KeepsOwn},

	{"/etc/machine-id", "instance_files", Empties},
	{"/var/lib/dbus/machine-id", "instance_files", Replaces},
	{"/var/lib/systemd/random-seed", "instance_files", Removes},
	{"/var/lib/systemd/credential.secret", "instance_files", Removes},
	{"/etc/.updated", "instance_files", Removes},
	{"/var/.updated", "instance_files", Removes},

	{"/etc/ssh/ssh_host_*_key", "ssh_files", Removes},
	{"/etc/ssh/ssh_host_*_key.pub", "ssh_files", Removes},
	{"~/.ssh/authorized_keys", "ssh_files", KeepsOwn},

	{"/var/log/journal/*", "instance_log_files", Removes},
	{"/var/log/sa/sa*", "instance_log_files", Removes},
	{"/var/log/syslog", "instance_log_files", Empties},
	{"/var/log/messages", "instance_log_files", Empties},
	{"/var/log/secure", "instance_log_files", Empties},
	{"/var/log/*.log", "instance_log_files", Empties},
	{"/var/log/dmesg*", "instance_log_files", Empties},
	{"/var/log/cron", "instance_log_files", Empties},
	{"/var/log/wtmp", "instance_log_files", Empties},
	{"/var/log/btmp", "instance_log_files", Empties},
	{"/var/log/lastlog", "instance_log_files", Empties},
	{"/var/log/audit/*.log", "instance_log_files", Empties},

	{"/var/log/amazon/ssm/*", "ssm_log_files", Removes},

	{"/var/cache/apt/archives/*.deb", "package_caches", Removes},
	{"/var/cache/apt/*.bin", "package_caches", Removes},
	{"/var/cache/dnf/*", "package_caches", Removes},
	{"/var/cache/yum/*", "package_caches", Removes},

	{"/tmp/", "temporary_files", Removes},
	{"/var/tmp/", "temporary_files", Removes},

	{"~/.*_history", "shell_history", Removes},

	{"/etc/network/interfaces.d/50-cloud-init*", "network_files", KeepsOwn},
	{"/etc/netplan/50-cloud-init.yaml", "network_files", KeepsOwn},
	{"/etc/udev/rules.d/70-persistent-net.rules", "network_files", KeepsOwn},
	{"/etc/udev/rules.d/85-persistent-net-cloud-init.rules", "network_files", KeepsOwn},
	{"/etc/systemd/network/10-cloud-init-*", "network_files", KeepsOwn},
	{"/etc/NetworkManager/system-connections/cloud-init-*", "network_files", KeepsOwn},
	{"/etc/NetworkManager/conf.d/*-cloud-init*.conf", "network_files", KeepsOwn},
	{"/etc/sysconfig/network-scripts/ifcfg-*", "network_files", KeepsOwn},
	{"/etc/sysconfig/network-scripts/route-*", "network_files", KeepsOwn},
	{"/etc/sysconfig/network-scripts/route6-*", "network_files", KeepsOwn},
	{"/etc/sysconfig/network/ifcfg-*", "network_files", KeepsOwn},
	{"/etc/sysconfig/network/ifroute-*", "network_files", KeepsOwn},
	{"/var/lib/dhcp/dhclient*", "network_files", Removes},
	{"/var/lib/dhclient/*", "network_files", Removes},
	{"/var/lib/NetworkManager/*.lease", "network_files", Removes},
	{"/var/lib/NetworkManager/secret_key", "network_files", Removes},
	{"/var/lib/NetworkManager/no-auto-default.state", "network_files", Removes},
	{"/var/lib/NetworkManager/timestamps", "network_files", Removes},
	{"/var/lib/NetworkManager/seen-bssids", "network_files", Removes},
	{"/var/lib/dhcpcd*/*.lease*", "network_files", Removes},
	{"/var/lib/dhcpcd*/duid", "network_files", Removes},
	{"/var/lib/dhcpcd*/secret", "network_files", Removes},
	{"/var/db/dhcpcd/*", "network_files", Removes},
	{"/etc/dhcpcd.duid", "network_files", Removes},
	{"/etc/dhcpcd.secret", "network_files", Removes},
	{"/var/lib/wicked/*.xml", "network_files", Removes},
	{"/var/lib/systemd/network/*", "network_files", Removes},
}

// homes are where the homes of users usually are; fs/ does not tell of others.
var homes = []string{"root", "home/*"}

// cleaned returns what the clean-up does to a path of fs/, or nil.
func cleaned(rel string) *Cleaned {
	for i, c := range CleanUp {
		for _, pattern := range c.patterns() {
			if matchesOrIsBelow(pattern, rel) {
				return &CleanUp[i]
			}
		}
	}
	return nil
}

// patterns returns the pattern without a leading slash, for each home.
func (c Cleaned) patterns() []string {
	rest, isHome := strings.CutPrefix(c.Pattern, "~/")
	if !isHome {
		return []string{strings.TrimPrefix(c.Pattern, "/")}
	}
	var all []string
	for _, home := range homes {
		all = append(all, home+"/"+rest)
	}
	return all
}

// matchesOrIsBelow reports whether a pattern of the shell matches a path or a directory above it. As in a shell, a
// pattern that begins with an asterisk does not match a name that begins with a dot.
func matchesOrIsBelow(pattern, rel string) bool {
	if below, ok := strings.CutSuffix(pattern, "/"); ok {
		return rel != below && isInside(rel, below)
	}
	want, names := strings.Split(pattern, "/"), strings.Split(rel, "/")
	if len(names) < len(want) {
		return false
	}
	for i, w := range want {
		ok, err := path.Match(w, names[i])
		if err != nil || !ok || w[0] == '*' && names[i][0] == '.' {
			return false
		}
	}
	return true
}

// CheckWritten warns of files of write_files that the clean-up removes or empties; file is the part's name in messages.
// Temporary files are meant to go.
func CheckWritten(file string, document *cloudconfig.Document) (problems problem.List) {
	for _, w := range document.WrittenFiles() {
		c := cleaned(strings.TrimPrefix(path.Clean(w.Path), "/"))
		if c == nil || c.Effect == KeepsOwn || c.Section == "temporary_files" || c.Section == "package_caches" {
			continue
		}
		problems.Warnf(file, w.Line, w.Column, "the clean-up of a bake %s %s, so its content will not be in the "+
			"image: write it elsewhere, or set skip_cleanup = [%q]", c.Effect, w.Path, c.Section)
	}
	return problems
}

// cleanUp warns of what the clean-up removes or empties. An empty directory is lost, too; another one is the path of
// its files.
func (t *tree) cleanUp(rel, full string, e fs.DirEntry) {
	c := cleaned(rel)
	switch {
	case c == nil || c.Effect == KeepsOwn:
		return
	case e.IsDir():
		if c.Effect != Removes || !t.isEmpty(full) {
			return
		}
	case c.Effect != Removes && !e.Type().IsRegular(): // a link stays, and leads elsewhere
		return
	case c.Effect == Empties:
		if info, err := e.Info(); err == nil && info.Size() == 0 {
			return
		}
	}
	t.warnf(rel, "the clean-up of a bake %s it, so its content will not be in the image: put it elsewhere, or set "+
		"skip_cleanup = [%q]", c.Effect, c.Section)
}
