// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

// layer is one row of the architecture: the packages that match a pattern, and what their code may import of this
// repository. Tests may import more; see prohibited.
type layer struct {
	pkg string // a path below the module, or a pattern such as cmd/...
	// imports are paths or patterns below internal/. ./ is the top of the repository, ... is everything in internal/.
	imports string
	sdks    string // the SDKs that it may use, also through other packages of this repository: packer, aws
}

// layers has one row for each package. docs/architecture.md shows the same table; after a change here, write it with
// go test ./internal/repotest -run TestTheArchitecturePage -update.
var layers = []layer{
	// Pure packages: they reach neither SDK, not even through other modules.
	{"internal/problem", "", ""},
	{"internal/inputfile", "", ""},
	{"internal/placeholder", "", ""},
	{"internal/shell", "", ""},
	{"internal/terminal", "", ""},
	{"internal/timeless", "", ""},
	{"internal/redact", "terminal", ""},
	{"internal/scratch", "", ""},
	{"internal/wholefile", "scratch", ""},
	{"internal/archive", "shell", ""},
	{"internal/cloudconfig", "problem shell", ""},
	{"internal/imagesource", "cloudconfig inputfile problem shell", ""},
	{"internal/guest", "problem shell terminal", ""},
	{"internal/userdata", "cloudconfig guest imagesource problem", ""},
	{"internal/bundle", "archive cloudconfig guest imagesource inputfile problem scratch shell", ""},
	// Packer alone.
	{"internal/recorder", "bundle placeholder shell", "packer"},
	{"internal/template", "inputfile", "packer"},
	// AWS. internal/awsconfig reaches a HashiCorp module too, the client of Vault.
	{"internal/awserror", "", "aws"},
	{"internal/staging", "awserror", "aws"},
	{"internal/awsconfig", "awserror placeholder redact", "packer aws"},
	{"internal/awscall", "awserror", "aws"},
	// What every concern of a bake shares.
	{"internal/setting", "awscall placeholder", "packer aws"},
	{"internal/bake", "guest redact scratch shell", "packer aws"},
	{"internal/ownership", "awscall bake", "packer aws"},
	{"internal/blockdevice", "awscall setting", "packer aws"},
	// The concerns of a bake: each has its settings, its check, its calls and its undoing.
	{"internal/network", "awscall bake ownership setting", "packer aws"},
	{"internal/instanceprofile", "awscall bake ownership setting", "packer aws"},
	{"internal/machinelog", "awscall bake guest redact scratch setting staging wholefile", "packer aws"},
	{"internal/instance", "awscall bake blockdevice guest machinelog network ownership setting", "packer aws"},
	{"internal/ami", "awscall bake blockdevice ownership setting", "packer aws"},
	{"internal/reuse", "ami awscall bake ownership recorder timeless", "packer aws"},
	{"internal/sweep", "ami awscall bake guest instanceprofile network ownership staging", "packer aws"},
	// The components of the plugin.
	{"datasource/imagesource", "bundle guest placeholder problem redact", "packer"},
	{"provisioner/imagesource", "bundle guest placeholder redact scratch", "packer"},
	{
		"builder/userdata", "ami archive awscall awsconfig bake blockdevice bundle guest inputfile instance " +
			"instanceprofile machinelog network recorder redact reuse scratch setting shell staging sweep template " +
			"timeless userdata wholefile", "packer aws",
	},
	{".", "./builder/userdata ./datasource/imagesource ./provisioner/imagesource ./version", "packer aws"},
	{"version", "", "packer"},
	// The lab, and programs for development.
	{"internal/lab/...", "lab/... guest", "aws"},
	{"cmd/bakery-lab", "lab/...", "aws"},
	{"internal/bench", "bundle", "aws"},
	{"internal/awstrial", "", "aws"},
	{"internal/notices", "", ""},
	// Tests alone, and what they share.
	{"internal/awsfake", "awscall bake guest", "packer aws"},
	{"internal/userdata/userdatatest", "", ""},
	{"internal/packertest", "", ""},
	{"internal/repotest", "", ""},
	{"internal/e2e/...", "", "packer"},
}

// prohibited are imports that no package may have, whatever its row allows.
var prohibited = []struct {
	imports string   // a list of patterns
	from    string   // a pattern of the packages that may not import them
	except  []string // patterns of packages that may
	tests   bool     // tests may not either
}{
	// Nothing below imports a component or a command.
	{
		imports: "./builder/... ./provisioner/... ./datasource/... ./cmd/...",
		from:    "internal/...", except: []string{"internal/e2e/...", "internal/bench"}, tests: true,
	},
	// The plugin does not contain the lab.
	{imports: "lab/...", from: "...", except: []string{"internal/lab/...", "cmd/...", "internal/bench"}},
	// Only tests use the fake account.
	{imports: "awsfake", from: "..."},
	{imports: "userdata/userdatatest", from: "..."},
}
