// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/template"
)

func TestBuildVariablesWithoutAValueAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		block    string // the type of the provisioner
		variable string
		settings map[string]any
		want     string // "" when it is accepted
	}{
		"a port": {"shell", "Port", nil,
			"t.pkr.hcl:7:9: build.Port has no value: nothing connects to the machine, so there is no port. Remove it"},
		"a password":        {"file", "Password", nil, "build.Password has no value: nothing connects"},
		"Windows' password": {"shell", "WinRMPassword", nil, "build.WinRMPassword has no value"},
		"a private key":     {"shell", "SSHPrivateKey", nil, "there is no key pair"},
		"a public key":      {"shell", "SSHPublicKey", nil, "there is no key pair"},
		"the file of a key": {"shell", "SSHPrivateKeyFile", map[string]any{"ssh_private_key_file": "key.pem"},
			"t.pkr.hcl:7:9: build.SSHPrivateKeyFile has no value: nothing connects to the machine, so there is no " +
				"key file. Remove it"},
		"Packer's HTTP":         {"shell", "PackerHTTPAddr", nil, "serves no files over HTTP; upload them"},
		"Packer's HTTP port":    {"shell-local", "PackerHTTPPort", nil, "this builder serves no files over HTTP"},
		"a port of shell-local": {"shell-local", "Port", nil, "there is no port. Remove it"},
		"an id of shell-local": {"shell-local", "ID", nil,
			"build.ID has no value: shell-local runs on this computer, before the machine is launched. Use a shell " +
				"block"},
		"a host of shell-local":  {"shell-local", "Host", nil, "build.Host has no value: shell-local runs"},
		"an id":                  {"shell", "ID", nil, ""},
		"a host":                 {"file", "Host", nil, ""},
		"a user":                 {"shell-local", "User", nil, ""},
		"the way to connect":     {"shell", "ConnType", nil, ""},
		"the run":                {"shell", "PackerRunUUID", nil, ""},
		"the source image":       {"shell", "SourceAMI", nil, ""},
		"a port that is set":     {"shell", "Port", map[string]any{"ssh_port": 2222}, ""},
		"a password that is set": {"shell", "Password", map[string]any{"ssh_password": "x"}, ""},
		"a host that is set":     {"shell-local", "Host", map[string]any{"ssh_host": "web.internal"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var b Builder
			if _, _, err := b.Prepare(templateWith(c.settings)); err != nil {
				t.Fatal(err)
			}
			b.config.provisioners = []template.Provisioner{{Type: c.block, Uses: []template.Variable{
				{Name: c.variable, File: "t.pkr.hcl", Line: 7, Column: 9},
			}}}
			err := errors.Join(b.config.checkVariables()...)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestCleanupMayUseTheIDOfTheMachine(t *testing.T) {
	var b Builder
	b.config.provisioners = []template.Provisioner{{Type: "shell-local", Cleanup: true,
		Uses: []template.Variable{{Name: "ID"}, {Name: "Port"}}}}
	errs := b.config.checkVariables()
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "build.Port") {
		t.Error(errs)
	}
}

// A post-processor has the id of the machine, which is gone. A function would change the text that stands for a value.
func TestVariablesWhereTheirValueIsNotKnown(t *testing.T) {
	for name, c := range map[string]struct {
		block template.Provisioner
		use   template.Variable
		want  string
	}{

		"an id of a post-processor": {template.Provisioner{Processor: true}, template.Variable{Name: "ID"}, ""},

		// The other values are those of the connection.
		"its host": {template.Provisioner{Processor: true}, template.Variable{Name: "Host"}, "is gone"},
		"its port": {template.Provisioner{Processor: true}, template.Variable{Name: "Port"}, "no port"},
		"an id of a post-processor, changed": {template.Provisioner{Processor: true},
			template.Variable{Name: "ID", Changed: "upper"}, ""},
		"an id, changed": {template.Provisioner{Type: "shell"}, template.Variable{Name: "ID", Changed: "upper"},
			"upper would change the text"},
		"the source image, changed": {template.Provisioner{Type: "shell"},
			template.Variable{Name: "SourceAMI", Changed: "upper"}, ""},
	} {
		config := Config{provisioners: []template.Provisioner{c.block}}
		config.provisioners[0].Uses = []template.Variable{c.use}
		err := errors.Join(config.checkVariables()...)
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestKnownVariables(t *testing.T) {
	for name, c := range map[string]struct {
		settings map[string]any
		want     map[string]any
	}{
		"none": {nil, map[string]any{"User": "root"}},
		"all": {map[string]any{"ssh_username": "admin", "ssh_host": "web", "ssh_port": 22, "ssh_password": "pw",
			"ssh_private_key_file": "key.pem"},
			map[string]any{"User": "admin", "Host": "web", "Port": 22, "Password": "pw"}},
		"the session manager": {map[string]any{"ssh_interface": "session_manager"},
			map[string]any{"User": "root", "Host": "localhost"}},
		"another interface": {map[string]any{"ssh_interface": "private_ip"}, map[string]any{"User": "root"}},
	} {
		var b Builder
		if _, _, err := b.Prepare(templateWith(c.settings)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, b.config.knownVariables()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// TestProvisionersThatDoNotRunAsBefore checks what is said of blocks that run otherwise than with amazon-ebs.
func TestProvisionersThatDoNotRunAsBefore(t *testing.T) {
	three := template.Provisioner{Type: "shell", File: "t.pkr.hcl", Line: 7, ExitCodes: []int{0, 3}}
	plain := template.Provisioner{Type: "shell"}
	elsewhere := template.Provisioner{Type: "file", Unknown: []string{"amazon-ebs.web"}}
	type blocks = []template.Provisioner
	for name, c := range map[string]struct {
		provisioners blocks
		warning, err string
		accepted     int
	}{
		"nothing":                        {blocks{plain}, "", "", 0},
		"exit codes of all shell blocks": {blocks{three, three}, "", "", 1},
		"exit codes of some shell blocks": {
			blocks{plain, three}, "t.pkr.hcl:7: shell: valid_exit_codes = [0, 3]: ", "", 0,
		},
		"exit codes of a variable": {
			blocks{{Type: "shell", File: "t.pkr.hcl", Line: 7, HasCodes: true}}, "7: shell: valid_exit_codes: the " +
				"machine takes 0 only", "", 0,
		},
		"a source that is not there":     {blocks{elsewhere}, "this build has no source amazon-ebs.web", "", 0},
		"a cleanup that needs a machine": {blocks{{Type: "shell", Cleanup: true}}, "use shell-local", "", 0},
		"a cleanup on this computer":     {blocks{{Type: "shell-local", Cleanup: true}}, "", "", 0},
		"a download":                     {blocks{{Type: "file", Downloads: true}}, "", "nothing can be downloaded", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var config Config
			config.provisioners = c.provisioners
			warnings, errs := strings.Join(config.warnOfProvisioners(), "\n"), errors.Join(config.checkDownloads()...)
			if (warnings != "") != (c.warning != "") || !strings.Contains(warnings, c.warning) {
				t.Errorf("warnings %q, want %q", warnings, c.warning)
			}
			if (errs != nil) != (c.err != "") || errs != nil && !strings.Contains(errs.Error(), c.err) {
				t.Errorf("errors %v, want %q", errs, c.err)
			}
			if got := config.acceptedExitCodes(); len(got) != c.accepted {
				t.Errorf("accepted %v", got)
			}
		})
	}
}
