// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/userdata/userdatatest"
)

// bakedUserData are user data of userdatatest that are baked: of each kind of content and of each form one.
var bakedUserData = []string{
	"a script as a part in gzip",
	"a script of bash as base64 of gzip",
	"a script of Python",
	"a script with line ends of Windows",
	"a script with other characters",
	"a script with an archive behind it",
	"a script that mails",
	"a boothook as a part in base64",
	"a boothook with blank lines in it",
	"a boothook without its first line",
	"bootcmd as a part in quoted-printable",
	"files as a typed entry of an archive",
	"runcmd as a message of Windows",
	"runcmd below a line of jinja",
	"other characters as a part in base64",
	"blank lines before cloud-config",
	"capitals in the first line",
	"a template",
	"a template in a part",
	"an if over several items",
	"Terraform's message",
	"an archive of texts",
	"two parts without an end",
	"parts in three levels",
	"scripts that are sorted by their names",
	"parts that are merged as one says",
	"a part that replaces",
}

// refusedUserData are user data that look nearly right.
var refusedUserData = []string{
	"a blank too many as it is",
	"a misspelt key as a part in base64",
	"no MIME-Version",
	"another boundary before the second part",
	"another name of a script's type",
	"a blank in the first line",
	"a script below a blank line",
	"a boothook without #! as an entry of an archive",
}

// TestUserDataForms bakes user data of many forms with one packer build, and looks into each image. None of what
// cloud-init would drop is baked.
func TestUserDataForms(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	prefix := testName(t)
	t.Run("good", func(t *testing.T) {
		cases := casesNamed(t, bakedUserData)
		file := writeForms(t, prefix, cases)
		r := l.packerBuild(t, filepath.Dir(file), l.environ(t), "-parallel-builds=4", file)
		if r.Code != 0 {
			t.Errorf("packer build: exit status %d", r.Code)
		}
		for i, c := range cases {
			images := l.images(t, formName(prefix, i))
			if len(images) != 1 {
				t.Errorf("%s: there are %d images", c.Name, len(images))
				continue
			}
			if got := l.cli(t, "cat", images[0], "/result"); got != c.Left {
				t.Errorf("%s: /result says %q, want %q", c.Name, got, c.Left)
			}
		}
	})
	t.Run("bad", func(t *testing.T) {
		cases := casesNamed(t, refusedUserData)
		file := writeForms(t, prefix+"-bad", cases)
		r := l.packerBuild(t, filepath.Dir(file), l.environ(t), file)
		var want []string
		for _, c := range cases {
			want = append(want, c.Error)
		}
		requireFailed(t, l, prefix+"-bad*", r.Code, r.Output, want...)
	})
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// casesNamed returns the cases of userdatatest with these names.
func casesNamed(t *testing.T, names []string) []userdatatest.Case {
	t.Helper()
	byName := map[string]userdatatest.Case{}
	for _, c := range userdatatest.All() {
		byName[c.Name] = c
	}
	var cases []userdatatest.Case
	for _, name := range names {
		c, ok := byName[name]
		if !ok {
			t.Fatalf("there is no user data %q", name)
		}
		cases = append(cases, c)
	}
	return cases
}

func formName(prefix string, i int) string { return fmt.Sprintf("%s-%02d", prefix, i) }

// writeForms writes a template with one source for each user data.
func writeForms(t *testing.T, prefix string, cases []userdatatest.Case) string {
	t.Helper()
	dir := t.TempDir()
	var template, names strings.Builder
	for i, c := range cases {
		file := filepath.Join(dir, fmt.Sprintf("user-data-%02d", i))
		if err := os.WriteFile(file, []byte(c.Content), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&template, `source "bakery-userdata" "form%02d" {
  user_data_file   = %q
  source_ami       = "resolve:ssm:/aws/service/debian/release/12/latest/amd64"
  ami_name         = %q
  instance_timeout = "20m"
}
`, i, file, formName(prefix, i))
		fmt.Fprintf(&names, "    %q,\n", fmt.Sprintf("source.bakery-userdata.form%02d", i))
	}
	fmt.Fprintf(&template, "build {\n  sources = [\n%s  ]\n}\n", names.String())
	file := filepath.Join(dir, "forms.pkr.hcl")
	if err := os.WriteFile(file, []byte(template.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
