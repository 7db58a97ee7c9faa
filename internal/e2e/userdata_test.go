// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// plainUserData is user data without an Image-Source. It is wrapped unless verdict is stop.
var plainUserData = map[string]struct {
	userData string
	vars     []string
	want     string // in the file /done of the image
	fails    []string
}{
	"a script": {userData: "#!/bin/sh\necho script >/done\n", want: "script"},
	"a script that fails": {
		userData: "#!/bin/sh\necho on the way\nexit 4\n",
		fails:    []string{"scripts", "on the way"},
	},
	"cloud-config that powers off, in base64 in MIME": {
		userData: "Content-Type: multipart/mixed; boundary=\"B\"\nMIME-Version: 1.0\n\n--B\n" +
			"Content-Type: text/cloud-config\n" +
			"MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n" +
			base64.StdEncoding.EncodeToString([]byte("#cloud-config\npower_state: {mode: poweroff}\n"+
				"runcmd: [echo mime >/done]\n")) + "\n\n--B--\n",
		want: "mime",
	},
	"a script that powers off by itself": {
		userData: "#!/bin/sh\necho stopped >/done\nsync\npoweroff\n",
		vars:     []string{"verdict=stop"},
		want:     "stopped",
	},
}

// TestUserDataFile bakes plain user data, with a verdict and without.
func TestUserDataFile(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	t.Run("each", func(t *testing.T) {
		for name, c := range plainUserData {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				image := strings.NewReplacer(",", "").Replace(testName(t))
				file := filepath.Join(write(t, map[string]string{"user-data": c.userData}), "user-data")
				vars := append([]string{"name=" + image, "file=" + file}, c.vars...)
				if c.fails != nil {
					r := l.build(t, absolute(t, "testdata/userdata.pkr.hcl"), vars...)
					requireFailed(t, l, image, r.Code, r.Output, c.fails...)
					return
				}
				id := l.bake(t, image, absolute(t, "testdata/userdata.pkr.hcl"), vars...)
				if got := l.cli(t, "cat", id, "/done"); got != c.want {
					t.Errorf("/done says %q", got)
				}
			})
		}
	})
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestLargeUserData bakes user data that is too large for EC2: it is staged and included, and its commands share one
// shell.
func TestLargeUserData(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	var part strings.Builder
	part.WriteString("#cloud-config\nruncmd:\n- 'IFS=:'\n- set -Cuf\n")
	for i := range 20 {
		random := []byte(incompressible(20000)[i*1000 : (i+1)*1000])
		fmt.Fprintf(&part, "- echo %s >>/big\n", base64.RawStdEncoding.EncodeToString(random))
	}
	source := write(t, map[string]string{"cloudinit/60_big.cfg": part.String()})
	id := l.bake(t, image, absolute(t, template), "name="+image, "source="+source)
	if lines := strings.Count(l.cli(t, "cat", id, "/big"), "\n") + 1; lines != 20 {
		t.Errorf("%d of 20 commands ran", lines)
	}
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestTwoAtOnce checks that two bakes of one source in one build do not remove each other's files.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	source := write(t, map[string]string{"fs/opt/blob": incompressible(20000)})
	r := l.build(t, absolute(t, "testdata/two.pkr.hcl"), "name="+image, "source="+source)
	if r.Code != 0 || len(l.images(t, image+"-*")) != 2 {
		t.Errorf("exit status %d, images %v", r.Code, l.images(t, image+"-*"))
	}
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
