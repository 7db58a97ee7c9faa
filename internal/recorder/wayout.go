// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import "cmp"

// withoutDownload says how a provisioner does without the download that it asks for, by its kind.
var withoutDownload = map[string]string{
	"goss": "Set skip_download = true in the block: goss only downloads a copy of its specification, and its tests " +
		"run on the machine without it",
	"apt": "Remove the block, and install the packages with a shell block",
}

// downloadWayOut says what to do about a download.
func downloadWayOut(kind string) string {
	return cmp.Or(withoutDownload[kind],
		"Remove the block; to save a file of the machine, let it copy the file to S3 itself")
}

// withoutConnection says what to use in place of a provisioner that talks to the machine while it runs, by its kind.
var withoutConnection = map[string]string{
	"ansible": "Use ansible-local, and install Ansible on the machine first",
	"inspec": `Upload the profile with a file block, and run it with a shell block: ` +
		`inline = ["inspec exec /tmp/profile"]; where exit status 101 (skipped controls) is fine, add || [ $? = 101 ]`,
	"serverspec": "Upload the specs with a file block, set the backend of serverspec to :exec, and run rake in a " +
		"shell block",
	"cnspec": `Install cnspec on the machine, and run it with a shell block: inline = ["cnspec scan local"]`,
}

// connectionWayOut says what to use in place of a provisioner that talks to the machine.
func connectionWayOut(kind string) string {
	return cmp.Or(withoutConnection[kind], "Instead of ansible, use ansible-local, and install Ansible on the machine "+
		"first; instead of others, a shell block")
}

// windowsWayOut says what to do about a provisioner for Windows.
func windowsWayOut(kind string) string {
	if kind == "powershell" {
		return `For PowerShell on Linux, use a shell block with execute_command = "{{ .Vars }} pwsh -f {{ .Path }}". ` +
			"For Windows, keep the block for another source with only = [...]"
	}
	return "Remove the block, or keep it for another source with only = [...]"
}

// silentWayOut says what to use in place of a provisioner that has not used the communicator.
func silentWayOut(kind string) string {
	return cmp.Or(withoutConnection[kind], "What is to run on the machine goes into a shell block")
}
