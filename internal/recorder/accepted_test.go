// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// script is a provisioner that makes calls, one a line:
//
//	say LINE, message LINE   prints it
//	run COMMAND              runs a command, and fails unless it ends with 0
//	ask COMMAND              runs a command, and goes on whatever its exit status is
//	put DESTINATION          uploads a file without file information
//	dir DESTINATION SOURCE   uploads a directory
//	get FILE                 downloads a file
type script string

func (s script) provision(b *harness) error {
	for line := range strings.Lines(string(s)) {
		verb, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if err := s.call(b, verb, text); err != nil {
			return err
		}
	}
	return nil
}

func (script) call(b *harness, verb, text string) error {
	switch verb {
	case "say":
		b.ui.Say(text)
	case "message":
		b.ui.Message(text) //nolint:staticcheck // as provisioners do
	case "run":
		return commandOnly(text).provision(b)
	case "ask":
		_, err := b.run(text)
		return err
	case "put":
		return b.rec.Upload(text, strings.NewReader("x"), nil)
	case "dir":
		to, from, _ := strings.Cut(text, " ")
		return b.rec.UploadDir(to, from, nil)
	case "get":
		return b.rec.Download(text, io.Discard)
	case "":
	default:
		return fmt.Errorf("the script has no %q", verb)
	}
	return nil
}

// puppet makes the calls of puppet-masterless of packer-plugin-puppet 1.0.1; puppet-server differs in its uploads.
const puppet = `say Provisioning with Puppet...
message Creating Puppet staging directory...
message Creating directory: /tmp/packer-puppet-masterless
run sudo mkdir -p '/tmp/packer-puppet-masterless'
run sudo chmod 0777 '/tmp/packer-puppet-masterless'
message Uploading manifests...
message Creating directory: /tmp/packer-puppet-masterless/manifests
run sudo mkdir -p '/tmp/packer-puppet-masterless/manifests'
run sudo chmod 0777 '/tmp/packer-puppet-masterless/manifests'
message Uploading manifest file from: site.pp
put /tmp/packer-puppet-masterless/manifests/site.pp
message Running Puppet: cd /tmp/packer-puppet-masterless && sudo puppet apply --detailed-exitcodes site.pp
ask cd /tmp/packer-puppet-masterless && sudo puppet apply --detailed-exitcodes site.pp
message Removing directory: /tmp/packer-puppet-masterless
run sudo rm -rf '/tmp/packer-puppet-masterless'
`

// salt returns the calls of salt-masterless of packer-plugin-salt 1.0.0, with these arguments for salt-call.
func salt(source, arguments string) script {
	return script(`say Provisioning with Salt...
message Downloading saltstack bootstrap to /tmp/install_salt.sh
ask curl -L https://bootstrap.saltproject.io -o /tmp/install_salt.sh || wget -O /tmp/install_salt.sh x
message Installing Salt with command sudo sh /tmp/install_salt.sh 
ask sudo sh /tmp/install_salt.sh 
message Creating remote temporary directory: /tmp/salt
message Creating directory: /tmp/salt
run sudo mkdir -p '/tmp/salt'
message Uploading local state tree: ` + source + `
dir states ` + source + `
message Moving states to /tmp/salt/states
run sudo mv 'states' '/tmp/salt/states'
message Verifying Path: /srv/salt
run sudo stat '/srv/salt'
message Moving /tmp/salt/states to /srv/salt
run sudo mv '/tmp/salt/states' '/srv/salt'
message Running: salt-call --local  state.highstate --file-root=/srv/salt` + arguments + `
ask sudo salt-call --local  state.highstate --file-root=/srv/salt` + arguments + "\n")
}

// goss makes the calls of packer-plugin-goss 3.2.9. Its three last commands come in any order.
const goss = `say Provisioning with Goss
say Configured to run on Linux
message Creating directory: /tmp/goss
run mkdir -p '/tmp/goss'
message Installing Goss from, https://x/goss-linux-amd64
message Downloading Goss to /tmp/goss-0.4.2-linux-amd64
ask curl -sL   -o /tmp/goss-0.4.2-linux-amd64 https://x || wget -q   -O /tmp/goss-0.4.2-linux-amd64 https://x
ask chmod 555 /tmp/goss-0.4.2-linux-amd64 && /tmp/goss-0.4.2-linux-amd64 --version
say Uploading goss tests...
message Uploading goss.yaml
put /tmp/goss/goss.yaml
say Running goss tests...
say Running GOSS render debug command: cd /tmp/goss &&  /tmp/goss-0.4.2-linux-amd64    render -d > /tmp/debug.yaml
ask cd /tmp/goss &&  /tmp/goss-0.4.2-linux-amd64    render -d > /tmp/debug.yaml
say Goss render debug ran successfully
say Running GOSS validate command: cd /tmp/goss &&   /tmp/goss-0.4.2-linux-amd64    validate
ask cd /tmp/goss &&   /tmp/goss-0.4.2-linux-amd64    validate
say Goss validate ran successfully
`

const itamae = `say Provisioning with Itamae...
message Installing Itamae...
message Executing: sudo -E gem install itamae
run sudo -E gem install itamae
message Executing Itamae...
message Executing: cd /tmp/packer-itamae && sudo -E itamae local --detailed-exitcode --color='false' a.rb
ask cd /tmp/packer-itamae && sudo -E itamae local --detailed-exitcode --color='false' a.rb
`

func TestExitStatusesThatProvisionersAccept(t *testing.T) {
	source := files(t, map[string]string{"top.sls": "base: {}\n"})
	const install = "any: curl\nany: sudo sh /tmp/install_salt.sh\n: sudo mkdir\n: sudo mv\nany: sudo stat\n: sudo mv\n"
	for name, c := range map[string]struct {
		block    provisioner
		settings []string // types of blocks that ignore failures
		want     string   // the accepted exit statuses of the commands, with the beginnings of the commands
	}{
		"puppet": {script(puppet), nil,
			": sudo mkdir\n: sudo chmod\n: sudo mkdir\n: sudo chmod\n2: cd\n: sudo rm\n"},
		"puppet with ignore_exit_codes": {script(puppet), []string{"puppet-masterless"},
			": sudo mkdir\n: sudo chmod\n: sudo mkdir\n: sudo chmod\nany: cd\n: sudo rm\n"},
		"another's setting": {script(puppet), []string{"goss"},
			": sudo mkdir\n: sudo chmod\n: sudo mkdir\n: sudo chmod\n2: cd\n: sudo rm\n"},
		"salt": {salt(source, " --retcode-passthrough -l info"), nil,
			install + ": sudo salt-call\n"},
		"salt with no_exit_on_failure": {salt(source, " -l info"), nil, install + "any: sudo salt-call\n"},
		"goss":                         {script(goss), nil, ": mkdir\nany: curl\nany: chmod\n: cd\n: cd\n"},
		"goss with inspect": {script(goss), []string{"goss"},
			": mkdir\nany: curl\nany: chmod\nany: cd\nany: cd\n"},
		"itamae":                        {script(itamae), nil, ": sudo -E\n2: cd\n"},
		"itamae with ignore_exit_codes": {script(itamae), []string{"itamae-local"}, ": sudo -E\nany: cd\n"},
		"what follows": {calls(func(b *harness) error {
			_ = script(puppet).provision(b)
			b.ui.Say("Provisioning with Foo")
			return commandOnly("true").provision(b)
		}), nil, ": sudo mkdir\n: sudo chmod\n: sudo mkdir\n: sudo chmod\n2: cd\n: sudo rm\n: true\n"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.rec.SetTemplateSettings(c.settings, nil)
			log, err := b.record(c.block)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, acceptedStatuses(text(t, log), c.want)); diff != "" {
				t.Errorf("-want +got:\n%s\n%s", diff, text(t, log))
			}
		})
	}
}

// TestExitCodesThatAllShellBlocksAccept records a shell block whose valid_exit_codes are [0, 3, 4].
func TestExitCodesThatAllShellBlocksAccept(t *testing.T) {
	block := script("say Provisioning with shell script: a.sh\nput /tmp/a.sh\nrun chmod 0755 /tmp/a.sh\n" +
		"ask chmod +x /tmp/a.sh; /tmp/a.sh\nrun rm -f /tmp/a.sh\n")
	for want, codes := range map[string][]int{
		": chmod 0755\n3 4: chmod\n: rm\n": {3, 4}, ": chmod 0755\n: chmod\n: rm\n": nil,
	} {
		b := newHarness(t)
		b.rec.SetTemplateSettings(nil, codes)
		log, err := b.record(block)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, acceptedStatuses(text(t, log), want)); diff != "" {
			t.Errorf("%v: -want +got:\n%s\n%s", codes, diff, text(t, log))
		}
	}
}

// acceptedStatuses returns the commands of a recording in the form of want, each with as many words as want has.
func acceptedStatuses(recorded, want string) string {
	var got strings.Builder
	wanted := strings.Split(want, "\n")
	for line := range strings.Lines(recorded) {
		function, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		statuses := ""
		switch function {
		case "bakery_accept":
			statuses, rest, _ = strings.Cut(strings.TrimPrefix(rest, "'"), "' ")
		case "bakery_command":
		default:
			continue
		}
		_, expected, _ := strings.Cut(wanted[0], ": ")
		wanted = append(wanted[1:], "")
		command := strings.Fields(strings.NewReplacer("'", "", `\`, "").Replace(rest))
		words := min(max(1, len(strings.Fields(expected))), len(command))
		fmt.Fprintf(&got, "%s: %s\n", statuses, strings.Join(command[:words], " "))
	}
	return got.String()
}

func TestRefusalsNameWhatWorks(t *testing.T) {
	input := "it sends input to a command"
	for name, c := range map[string]struct {
		block script
		want  []string
	}{
		"goss": {goss + "say Downloading spec file and debug info\nget /tmp/goss-spec.yaml\n",
			[]string{"provisioner 1 (goss): download /tmp/goss-spec.yaml", "Set skip_download = true"}},
		"apt": {"say Provisioning with APT...\nrun true\nget /var/cache/apt/archives",
			[]string{"provisioner 1 (apt): ", "packages with a shell block"}},
		"hcp-sbom":   {"get /tmp/sbom.json", []string{"provisioner 1: download", "copy the file to S3"}},
		"inspec":     {"say Provisioning with Inspec...\n", []string{"(inspec): " + input, "inspec exec /tmp/profile"}},
		"serverspec": {"say Provisioning with Serverspec...\n", []string{"(serverspec): " + input, ":exec"}},
		"cnspec": {"say Running Mondoo cnspec packer provisioner (Version: 1, Build: 2)\n",
			[]string{"(cnspec): " + input, "cnspec scan local"}},
		"ansible": {"say Provisioning with Ansible...\n",
			[]string{"(ansible): " + input, "Use ansible-local, and install Ansible on the machine first"}},
		"powershell": {"say Provisioning with Powershell...\nput c:/Windows/Temp/x.ps1\nrun true",
			[]string{"(powershell): ", "for PowerShell on Linux, use a shell block", "pwsh -f {{ .Path }}"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			block := provisioner(c.block)
			if strings.Contains(c.want[0], input) {
				block = calls(func(b *harness) error {
					return errors.Join(c.block.provision(b),
						started(&packersdk.RemoteCmd{Command: "sh", Stdin: strings.NewReader("")}).provision(b))
				})
			}
			_, err := b.record(block)
			for _, want := range c.want {
				if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) {
					t.Errorf("the refusal does not say %q: %v", want, err)
				}
			}
			if err != nil && strings.Contains(err.Error(), "Remove the block") && name != "hcp-sbom" && name != "apt" {
				t.Errorf("it is told to remove the block: %v", err)
			}
		})
	}
}
