// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"slices"
	"strings"
)

// modulesOf maps a top-level key to the modules of cloud-init that it configures, when their names differ from the key.
// A key that all of cloud-init reads has none. Source: the schema's keys and the meta of cloudinit/config/cc_*.py. The
// names have underscores; older versions write dashes.
var modulesOf = map[string][]string{
	"allow_public_ssh_keys":      {"ssh"},
	"apk_repos":                  {"apk_configure"},
	"apt":                        {"apt_configure"},
	"apt_reboot_if_required":     {"package_update_upgrade_install"},
	"apt_update":                 {"package_update_upgrade_install"},
	"apt_upgrade":                {"package_update_upgrade_install"},
	"authkey_hash":               {"ssh_authkey_fingerprints"},
	"autoinstall":                {"ubuntu_autoinstall"},
	"byobu_by_default":           {"byobu"},
	"chpasswd":                   {"set_passwords"},
	"cloud_config_modules":       {},
	"cloud_final_modules":        {},
	"cloud_init_modules":         {},
	"create_hostname_file":       {"set_hostname", "update_hostname"},
	"datasource":                 {},
	"datasource_list":            {},
	"device_aliases":             {"disk_setup"},
	"disable_root":               {"ssh"},
	"disable_root_opts":          {"ssh"},
	"drivers":                    {"ubuntu_drivers"},
	"fqdn":                       {"set_hostname", "update_hostname", "update_etc_hosts"},
	"fs_setup":                   {"disk_setup"},
	"groups":                     {"users_groups"},
	"hostname":                   {"set_hostname", "update_hostname", "update_etc_hosts"},
	"launch-index":               {},
	"locale_configfile":          {"locale"},
	"manage_etc_hosts":           {"update_etc_hosts"},
	"manage_resolv_conf":         {"resolv_conf"},
	"migrate":                    {"migrator"},
	"mount_default_fields":       {"mounts"},
	"no_ssh_fingerprints":        {"ssh_authkey_fingerprints"},
	"output":                     {},
	"package_reboot_if_required": {"package_update_upgrade_install"},
	"package_update":             {"package_update_upgrade_install"},
	"package_upgrade":            {"package_update_upgrade_install"},
	"packages":                   {"package_update_upgrade_install"},
	"password":                   {"set_passwords"},
	"prefer_fqdn_over_hostname":  {"set_hostname", "update_hostname"},
	"preserve_hostname":          {"set_hostname", "update_hostname"},
	"random_seed":                {"seed_random"},
	"reporting":                  {},
	"resize_rootfs":              {"resizefs"},
	"ssh":                        {"keys_to_console"},
	"ssh_authorized_keys":        {"ssh"},
	"ssh_deletekeys":             {"ssh"},
	"ssh_fp_console_blacklist":   {"keys_to_console"},
	"ssh_genkeytypes":            {"ssh"},
	"ssh_key_console_blacklist":  {"keys_to_console"},
	"ssh_keys":                   {"ssh"},
	"ssh_publish_hostkeys":       {"ssh"},
	"ssh_pwauth":                 {"set_passwords"},
	"ssh_quiet_keygen":           {"ssh"},
	"swap":                       {"mounts"},
	"system_info":                {},
	"ubuntu_advantage":           {"ubuntu_advantage", "ubuntu_pro"},
	"ubuntu_pro":                 {"ubuntu_advantage", "ubuntu_pro"},
	"updates":                    {"install_hotplug"},
	"user":                       {"users_groups", "ssh_import_id", "ssh_authkey_fingerprints"},
	"users":                      {"users_groups", "ssh_import_id", "ssh_authkey_fingerprints"},
	"vendor_data":                {},
	"version":                    {},
	"write_files":                {"write_files", "write_files_deferred"},
	"yum_repo_dir":               {"yum_add_repo"},
	"yum_repos":                  {"yum_add_repo"},
	"zypper":                     {"zypper_add_repo"},
	unnamed:                      {unnamed},
}

// modulesFor returns the modules that a key configures.
func modulesFor(key string) []string {
	if modules, ok := modulesOf[key]; ok {
		return modules
	}
	return []string{strings.ReplaceAll(key, "-", "_")}
}

// modules returns the modules whose errors fail the bake; "*" stands for all.
func (p Program) modules() []string {
	if p.Opaque {
		return []string{"*"}
	}
	var names []string
	for _, key := range p.Keys {
		names = append(names, modulesFor(key)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
