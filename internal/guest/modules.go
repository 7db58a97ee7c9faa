// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"slices"
	"strings"
)

// modulesOf names the modules of cloud-init that a top-level key configures, where they are not called like the key.
// Source: the meta of cloudinit/config/cc_*.py. Names with underscores; older versions write dashes.
var modulesOf = map[string][]string{
	"apt":                        {"apt_configure"},
	"chpasswd":                   {"set_passwords"},
	"fqdn":                       {"set_hostname", "update_hostname"},
	"fs_setup":                   {"disk_setup"},
	"groups":                     {"users_groups"},
	"hostname":                   {"set_hostname", "update_hostname"},
	"manage_etc_hosts":           {"update_etc_hosts"},
	"package_reboot_if_required": {"package_update_upgrade_install"},
	"package_update":             {"package_update_upgrade_install"},
	"package_upgrade":            {"package_update_upgrade_install"},
	"packages":                   {"package_update_upgrade_install"},
	"password":                   {"set_passwords"},
	"resize_rootfs":              {"resizefs"},
	"ssh_authorized_keys":        {"ssh"},
	"ssh_deletekeys":             {"ssh"},
	"ssh_genkeytypes":            {"ssh"},
	"ssh_import_id":              {"ssh_import_id"},
	"ssh_keys":                   {"ssh"},
	"ssh_pwauth":                 {"set_passwords"},
	"swap":                       {"mounts"},
	"user":                       {"users_groups"},
	"users":                      {"users_groups"},
	"write_files":                {"write_files", "write_files_deferred"},
	"yum_repos":                  {"yum_add_repo"},
	"zypper":                     {"zypper_add_repo"},
}

// modules are those whose errors fail the bake; "*" stands for all.
func (p Program) modules() []string {
	if p.Opaque {
		return []string{"*"}
	}
	var names []string
	for _, key := range p.Keys {
		if m, ok := modulesOf[key]; ok {
			names = append(names, m...)
			continue
		}
		names = append(names, strings.ReplaceAll(key, "-", "_"))
	}
	slices.Sort(names)
	return slices.Compact(names)
}
