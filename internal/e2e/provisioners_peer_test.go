// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build peer

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// setUpTools is a provisioner that installs Puppet, and a program in place of Salt, which Debian does not have: its
// salt-call keeps its arguments, and ends with the status that is in the state tree.
const setUpTools = `  provisioner "shell" {
    inline = [
      "sudo apt-get -q update",
      "get() { sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends \"$1\"; }",
      "get puppet-agent || get puppet",
      "sudo install -d -m 0755 /opt/salt /srv",
      "echo '#!/bin/sh' | sudo tee /opt/salt/salt-call",
      "echo 'echo \"$@\" >>/opt/salt/calls; exit $(cat /srv/salt/status)' | sudo tee -a /opt/salt/salt-call",
      "sudo chmod 0755 /opt/salt/salt-call",
    ]
  }
`

// toolBlocks returns blocks of the real plugins, whose files are in a folder: a puppet run that changes something,
// which ends with 2, and salt runs that succeed, and fail with no_exit_on_failure.
func toolBlocks(dir string) string {
	return fmt.Sprintf(setUpTools+`
  provisioner "puppet-masterless" {
    manifest_file  = "%[1]s/site.pp"
    puppet_bin_dir = "/usr/bin"
  }

  provisioner "salt-masterless" {
    skip_bootstrap   = true
    local_state_tree = "%[1]s/states"
    salt_bin_dir     = "/opt/salt"
  }

  provisioner "shell" {
    inline = ["sudo rm -rf /srv/salt"]
  }

  provisioner "salt-masterless" {
    skip_bootstrap     = true
    local_state_tree   = "%[1]s/failing"
    salt_bin_dir       = "/opt/salt"
    no_exit_on_failure = true
  }
`, dir)
}

// TestPeerProvisioners bakes with the real plugins of Puppet and Salt, over SSH and here: what they accept, the machine
// accepts too, and a failure fails both.
func TestPeerProvisioners(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	dir := write(t, map[string]string{
		"site.pp": "file { '/opt/puppet-was-here': content => \"${facts['packer_build_name']}\\n\", mode => '0640' }\n",
		"fail.pp": "exec { '/bin/false': }\n", "states/status": "0\n", "failing/status": "1\n",
	})
	onPeerGuests(t, func(t *testing.T, suite string) {
		t.Run("success", func(t *testing.T) {
			t.Parallel()
			before, after := l.bakeBoth(t, peerTemplate(t, "amazon-ebs", toolBlocks(dir)),
				peerTemplate(t, "bakery-userdata", toolBlocks(dir)), l.peerSettings(suite))
			for _, image := range []string{before, after} {
				if got := l.cli(t, "cat", image, "/opt/puppet-was-here"); got != "peer" {
					t.Errorf("puppet wrote %q", got)
				}
				if got := l.cli(t, "cat", image, "/opt/salt/calls"); strings.Count(got, "state.highstate") != 2 {
					t.Errorf("salt-call was called as\n%s", got)
				}
			}
		})
		t.Run("failure", func(t *testing.T) {
			t.Parallel()
			block := setUpTools + fmt.Sprintf("  provisioner \"puppet-masterless\" {\n    manifest_file = %q\n"+
				"    puppet_bin_dir = \"/usr/bin\"\n  }\n", dir+"/fail.pp")
			_, results := l.buildBoth(t, peerTemplate(t, "amazon-ebs", block),
				peerTemplate(t, "bakery-userdata", block), l.peerSettings(suite))
			for _, r := range results {
				if r.Code == 0 {
					t.Errorf("a manifest that fails succeeds:\n%s", r.Output)
				}
			}
			if !strings.Contains(results[1].Output, "provisioner 2 (puppet) failed with exit status") {
				t.Error("the failure is not named")
			}
		})
	})
}
