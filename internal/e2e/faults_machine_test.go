// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// TestFaultsOfMachines breaks the requests of real machines with presigned URLs. TestFaults breaks everything else.
func TestFaultsOfMachines(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	for name, c := range map[string]struct {
		faults []string // of objects below the name of the image
		fails  []string // what is said; none for a bake that succeeds
	}{
		"a download that breaks and a log that is refused": {
			[]string{"GetObject=cut=5000:2:Key=NAME/*fs.tgz", "PutObject=denied:Key=NAME/*log.gz"}, nil,
		},
		"a URL that has expired": {
			[]string{"GetObject=expired:Key=NAME/*fs.tgz"}, []string{"fs download failed with exit status 1", "403"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			image := testName(t)
			l.control(t, http.MethodPost, "faults", strings.ReplaceAll(strings.Join(c.faults, "\n"), "NAME", image))
			r := l.build(t, absolute(t, template), "name="+image,
				"source="+write(t, map[string]string{"fs/opt/blob": incompressible(20000)}))
			if c.fails != nil {
				requireFailed(t, l, image, r.Code, r.Output, c.fails...)
				return
			}
			if images := l.images(t, image); r.Code != 0 || len(images) != 1 {
				t.Errorf("packer ended with %d, and there are %v", r.Code, images)
			}
		})
	}
}
