// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/problem"
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
	"merge_how":                  {},
	"merge_type":                 {},
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
	"power_state":                {},
	"preserve_hostname":          {"set_hostname", "update_hostname"},
	"random_seed":                {"seed_random"},
	"reporting":                  {},
	"resize_rootfs":              {"resizefs"},
	"rpi":                        {"raspberry_pi"},
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
}

// ownModule are the keys of cloud-init's schema whose module has the name of the key.
const ownModule = "ansible apt_pipelining bootcmd ca-certs ca_certs chef disable_ec2_metadata disk_setup fan " +
	"final_message growpart grub-dpkg grub_dpkg keyboard landscape locale lxd mcollective mounts ntp phone_home " +
	"puppet " +
	"resolv_conf rh_subscription rsyslog runcmd salt_minion snap spacewalk ssh_import_id timezone wireguard"

// modulesFor returns the modules that a key configures.
func modulesFor(key string) []string {
	if modules, ok := modulesOf[key]; ok {
		return modules
	}
	return []string{strings.ReplaceAll(key, "-", "_")}
}

// unnamed stands for errors of cloud-init that name no module.
const unnamed = "_"

// moduleLines lists the top-level keys of the cloud-config, each with its modules, for cloud_init.py. The first module
// is the one that the key has no effect without. Of an opaque program, it lists all keys after a line "*".
func (p Program) moduleLines() []byte {
	keys := slices.Compact(slices.Sorted(slices.Values(p.Keys)))
	var b bytes.Buffer
	if p.Opaque {
		b.WriteString("*\n")
		keys = slices.Sorted(maps.Keys(modulesOf))
	}
	for _, key := range keys {
		b.WriteString(strings.Join(append([]string{key}, modulesFor(key)...), " ") + "\n")
	}
	return b.Bytes()
}

// The names in IgnoreFailures that are no keys of a cloud-config.
const (
	ignoreBoothooks = "boothooks"    // boothooks that fail, or cannot run
	ignoreParts     = "parts"        // parts of user data that cloud-init drops
	ignoreUnknown   = "unknown_keys" // keys of a cloud-config that nothing on the machine reads
)

// CheckIgnored returns what is wrong with names of failures to ignore. Each is a top-level key of a cloud-config, or
// one of "boothooks", "parts" and "unknown_keys".
func CheckIgnored(names []string) []error {
	other := []string{ignoreBoothooks, ignoreParts, ignoreUnknown}
	known := slices.Concat(other, strings.Fields(ownModule), slices.Sorted(maps.Keys(modulesOf)))
	var problems []error
	for _, name := range names {
		switch {
		case name == "runcmd":
			problems = append(
				problems,
				errors.New("ignore_failures: a failing command of runcmd always fails the bake: "+
					"end the command with \"|| true\""),
			)
		case name == unnamed || !slices.Contains(known, name):
			hint := ""
			if nearest := problem.Nearest(name, known); nearest != "" {
				hint = fmt.Sprintf(": did you mean %q?", nearest)
			}
			problems = append(problems, fmt.Errorf("ignore_failures: %q is none of %s, and no top-level key of a "+
				"cloud-config, such as \"bootcmd\" or \"packages\"%s", name, strings.Join(other, ", "), hint))
		}
	}
	return problems
}
