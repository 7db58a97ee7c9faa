// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package baseimage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"regexp"
	"slices"
)

// recipe is everything a base image is made from. Its hash names the image, so
// a change here makes a new one.
type recipe struct {
	Suite    string
	Revision int               // of what the code does with the rest
	Sources  []string          // lines of sources.list; none for mmdebstrap's own
	AptOpts  []string          // apt's configuration in the image
	DpkgOpts []string          // dpkg's
	Packages []string          // beyond minbase
	Files    map[string]string // written over what the packages bring, by path
	Masked   []string          // units that only cost time
}

// packages are what makes a bootable Debian with cloud-init that others can
// install more into. No kernel: the lab's machines share the host's.
var packages = []string{
	"systemd-sysv", "dbus", "udev", "kmod", "cloud-init", "openssh-server", "sudo",
	"curl", "ca-certificates", "iproute2", "netbase", "procps", "debian-archive-keyring",
}

// masked units prepare what a machine of minutes never needs.
var masked = []string{
	"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer",
	"e2scrub_all.timer", "e2scrub_reap.service", "systemd-tmpfiles-clean.timer",
	"systemd-hwdb-update.service", "systemd-pstore.service",
}

// cloudConfig makes cloud-init ask the lab's metadata service. On EC2 it finds
// out by the machine's DMI data, which a container does not show.
const cloudConfig = `# Written by bakery-lab: what tells a machine of the lab from one on EC2.
datasource_list: [Ec2]
datasource:
  Ec2:
    strict_id: false
    metadata_urls: ["http://169.254.169.254"]
    max_wait: 10
    timeout: 5
    apply_full_imds_network_config: false
# The lab has set up eth0 already, if the machine has one.
network: {config: disabled}
# The mirror this image was made from stays.
apt: {preserve_sources_list: true}
# Other key types and a generated locale cost seconds a boot.
ssh_genkeytypes: [ed25519]
locale: C.UTF-8
`

// files are the rest of the image's own configuration.
var files = map[string]string{
	"etc/cloud/cloud.cfg.d/90_bakery-lab.cfg": cloudConfig,
	"etc/fstab":       "# / is the whole disk; what boots the machine mounts it.\n",
	"etc/hostname":    "debian\n",
	"etc/hosts":       "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
	"etc/machine-id":  "", // empty: made at first boot
	"etc/resolv.conf": "", // laid over when it runs
}

func newRecipe(suite string, m mirror, aptOpts []string) recipe {
	r := recipe{
		Suite:    suite,
		Revision: 1,
		Sources:  m.lines(suite),
		AptOpts:  append([]string{`Acquire::Languages "none"`}, aptOpts...),
		DpkgOpts: []string{"path-exclude=/usr/share/man/*", "path-exclude=/usr/share/locale/*", "path-exclude=/usr/share/doc/*"},
		Packages: slices.Clone(packages),
		Files:    files,
		Masked:   masked,
	}
	if suite != "bullseye" {
		r.Packages = append(r.Packages, "usr-is-merged") // see mergedUsr
	}
	return r
}

// name is the file name of the image without its ending: the suite and the
// first 48 bits of the hash.
func (r recipe) name() string {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and numbers only
	}
	sum := sha256.Sum256(text)
	return r.Suite + "-" + hex.EncodeToString(sum[:6])
}

// inherited are the settings of this computer's apt that decide whether its
// mirror can be used at all: behind a proxy, or one that serves an old state.
var inherited = regexp.MustCompile(`(?m)^(Acquire::(?:Check-Valid-Until|Check-Date|https?::Proxy) "[^"]+");$`)

// aptOptions gives this computer's values of them; none where apt is not.
func aptOptions() []string {
	dump, _ := exec.Command("apt-config", "dump").Output()
	return matchOptions(string(dump))
}

func matchOptions(dump string) []string {
	var options []string
	for _, m := range inherited.FindAllStringSubmatch(dump, -1) {
		options = append(options, m[1])
	}
	return options
}
