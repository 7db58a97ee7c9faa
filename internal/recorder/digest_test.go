// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// steps returns the directories and names of the steps of a recording.
func steps(log *Log) []string {
	var all []string
	for _, p := range log.Provisioners {
		all = append(all, p.Dir+" "+p.Name)
	}
	return all
}

// digests returns the digests of the steps that provisioners record.
func digests(t *testing.T, all ...provisioner) [][32]byte {
	t.Helper()
	log, err := newHarness(t).record(all...)
	if err != nil {
		t.Fatal(err)
	}
	var sums [][32]byte
	for _, p := range log.Provisioners {
		sum, err := log.Digest(p)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sum)
	}
	return sums
}

func TestADigestDoesNotDependOnPackersRandomNames(t *testing.T) {
	src := files(t, map[string]string{"site.yml": "p\n", "galaxy.yml": "g\n", "role/tasks/main.yml": "t\n"})
	build := func(number, uuid string) []provisioner {
		return []provisioner{
			shellBlock{inline: "id\n", remote: "/tmp/script_" + number + ".sh"},
			shellBlock{
				scripts: map[string]string{"a.sh": "a\n", "b.sh": "b\n"},
				remote:  "~/script_1" + number + ".sh",
				envFile: "/tmp/varfile_" + number + ".sh",
				envText: "export A='1'\n",
				execute: ". /tmp/varfile_" + number + ".sh && {{P}}",
			},
			ansibleLocal{
				staging:  "/tmp/packer-provisioner-ansible-local/" + uuid,
				playbook: src + "/site.yml", galaxy: src + "/galaxy.yml", role: src + "/role",
			},
		}
	}
	one := digests(t, build("7", "65f2c7a1-0000-1111-2222-0123456789ab")...)
	other := digests(t, build("812", "65f2c7a1-ffff-3333-4444-ba9876543210")...)
	if diff := cmp.Diff(one, other); diff != "" || len(one) != 4 {
		t.Errorf("%d steps (-one +other):\n%s", len(one), diff)
	}
}

func TestADigestDependsOnEveryPropertyOfAProvisioner(t *testing.T) {
	src := files(t, map[string]string{"a": "a\n", "b": "b\n", "x.sh": "a\n", "dir/a": "a\n", "other/a": "b\n"})
	seen := map[[32]byte]string{}
	for name, p := range map[string]provisioner{
		"a script":                        shellBlock{inline: "id\n", remote: "/tmp/script_1.sh"},
		"a script with another content":   shellBlock{inline: "id \n", remote: "/tmp/script_1.sh"},
		"a script in another folder":      shellBlock{inline: "id\n", remote: "/opt/script_1.sh"},
		"a script with a chosen name":     shellBlock{inline: "id\n", remote: "/tmp/script.sh"},
		"a script with skip_clean":        shellBlock{inline: "id\n", remote: "/tmp/script_1.sh", skip: true},
		"a script with a variable":        shellBlock{inline: "id\n", remote: "/tmp/script_1.sh", vars: "A='1' "},
		"a script with another value":     shellBlock{inline: "id\n", remote: "/tmp/script_1.sh", vars: "A='2' "},
		"a file":                          fileBlock{sources: []string{src + "/a"}, dst: "/tmp/x"},
		"a file with another content":     fileBlock{sources: []string{src + "/b"}, dst: "/tmp/x"},
		"a file with another mode":        fileBlock{sources: []string{src + "/x.sh"}, dst: "/tmp/x"},
		"a file with another destination": fileBlock{sources: []string{src + "/a"}, dst: "/tmp/y"},
		"a directory":                     fileBlock{sources: []string{src + "/dir"}, dst: "/tmp"},
		"a directory with another name":   fileBlock{sources: []string{src + "/other"}, dst: "/tmp"},
		"a command":                       commandOnly("true"),
		"another command":                 commandOnly("true "),
	} {
		for _, sum := range digests(t, p) {
			if other, ok := seen[sum]; ok {
				t.Errorf("%s and %s have the same digest", name, other)
			}
			seen[sum] = name
		}
	}
}
