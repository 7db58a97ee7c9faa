// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package baseimage

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"regexp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
)

// recipe is all that a base image is built from. Its hash is in the image's name, so that a change builds a new image.
type recipe struct {
	Suite    string
	Revision int               // version of the code that uses the rest
	Sources  []string          // lines of sources.list; empty: mmdebstrap's own
	AptOpts  []string          // apt's configuration in the image
	DpkgOpts []string          // dpkg's
	Packages []string          // beyond minbase
	Files    map[string]string // content by path; they replace those of the packages
	Masked   []string          // units that take time and are not needed
	// What is different from a plain image of the suite. A plain one has none of these.
	Variant    string          `json:",omitempty"` // its name
	Tweak      string          `json:",omitempty"` // script that runs in it
	FileSystem disk.FileSystem `json:",omitempty"` // ext4 when empty
	// Architecture is dpkg's, when it is not this computer's: QEMU runs the packages' scripts then.
	Architecture string `json:",omitempty"`
}

// packages are those of a bootable Debian with cloud-init, into which users can install more. There is no kernel,
// because the lab's machines use this computer's or the lab's.
var packages = []string{
	"systemd-sysv", "dbus", "udev", "kmod", "cloud-init", "openssh-server", "sudo",
	"curl", "ca-certificates", "iproute2", "netbase", "procps", "debian-archive-keyring",
}

// masked units are for machines that run longer than minutes.
var masked = []string{
	"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer",
	"e2scrub_all.timer", "e2scrub_reap.service", "systemd-tmpfiles-clean.timer",
	"systemd-hwdb-update.service", "systemd-pstore.service",
}

// cloudConfig makes cloud-init use the lab's metadata service. On EC2 it detects the service by the machine's DMI data,
// which a container does not have.
const cloudConfig = `# Written by bakery-lab: what tells a machine of the lab from one on EC2.
datasource_list: [Ec2]
datasource:
  Ec2:
    strict_id: false
    metadata_urls: ["http://169.254.169.254"]
    max_wait: 10
    timeout: 5
    apply_full_imds_network_config: false
` + networkIsSetUp + `# The mirror this image was made from stays.
apt: {preserve_sources_list: true}
# Other key types and a generated locale cost seconds a boot.
ssh_genkeytypes: [ed25519]
locale: C.UTF-8
`

// networkIsSetUp keeps cloud-init from writing a configuration of the network.
const networkIsSetUp = `# The lab has set up eth0 already, if the machine has one.
network: {config: disabled}
`

// files are the configuration files of the image.
var files = map[string]string{
	"etc/cloud/cloud.cfg.d/90_bakery-lab.cfg": cloudConfig,
	"etc/fstab":       "# / is the whole disk; what boots the machine mounts it.\n",
	"etc/hostname":    "debian\n",
	"etc/hosts":       "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
	"etc/machine-id":  "", // empty: created at the first boot
	"etc/resolv.conf": "", // another file is mounted over it when the machine runs
}

func newRecipe(v variant, m mirror, aptOpts []string) recipe {
	r := recipe{
		Suite:    v.suite,
		Revision: 1,
		Sources:  m.sourcesList(v.suite),
		AptOpts:  append([]string{`Acquire::Languages "none"`}, aptOpts...),
		DpkgOpts: append([]string{"path-exclude=/usr/share/man/*", "path-exclude=/usr/share/locale/*",
			"path-exclude=/usr/share/doc/*"}, v.dpkgOptions()...),
		Packages:   v.packages(),
		Files:      v.files(),
		Masked:     masked,
		Tweak:      v.script(),
		FileSystem: v.disk,

		Architecture: v.architecture,
	}
	if v.name != v.suite {
		r.Variant = v.name
	}
	return r
}

// image returns the name of the image: of the variant, or of the suite.
func (r recipe) image() string { return cmp.Or(r.Variant, r.Suite) }

// name returns the file name of the image without its extension: the image's name and the first 48 bits of the hash.
func (r recipe) name() string {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // cannot happen: there are only strings and numbers
	}
	sum := sha256.Sum256(text)
	return r.image() + "-" + hex.EncodeToString(sum[:6])
}

// inheritedOptions are the settings of this computer's apt that its mirror may need: a proxy, or no check of dates for
// a mirror with an old state.
var inheritedOptions = regexp.MustCompile(`(?m)^(Acquire::(?:Check-Valid-Until|Check-Date|https?::Proxy) "[^"]+");$`)

// aptOptions returns the inherited options of this computer; none when it does not have apt.
func aptOptions() []string {
	dump, _ := exec.Command("apt-config", "dump").Output()
	return matchOptions(string(dump))
}

func matchOptions(dump string) []string {
	var options []string
	for _, m := range inheritedOptions.FindAllStringSubmatch(dump, -1) {
		options = append(options, m[1])
	}
	return options
}
