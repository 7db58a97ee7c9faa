// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"strings"
	"testing"
	"time"
)

// noRouteService takes the way to S3 from a machine of the lab, which reaches it at its loopback address.
const noRouteService = `[Unit]
DefaultDependencies=no
Before=cloud-init-local.service
[Service]
Type=oneshot
ExecStart=/bin/ip link set lo down
[Install]
WantedBy=cloud-init.target
`

// TestNoWayToS3 bakes from an image whose machines cannot reach S3. With staging, the bake ends soon, and says what is
// missing.
func TestNoWayToS3(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	closed := testName(t) + "-closed"
	id := l.bake(t, closed, absolute(t, template), "name="+closed, "source="+write(t, map[string]string{
		"fs/etc/systemd/system/no-route.service": noRouteService,
		"script/install.sh":                      "#!/bin/sh\nsystemctl enable no-route\n",
	}))
	began := time.Now()
	r := l.build(t, absolute(t, template), "name="+testName(t), "source_ami="+id,
		"source="+write(t, map[string]string{"fs/opt/blob": incompressible(20000)}))
	took := time.Since(began)
	// A minute, and its boot and end, of the machine's time of 19 minutes.
	if r.Code == 0 || took > 15*time.Minute {
		t.Errorf("exit status %d after %s", r.Code, took)
	}
	for _, want := range []string{"S3", "subnet", "NAT gateway"} {
		if !strings.Contains(r.Output, want) {
			t.Errorf("the bake does not say %q", want)
		}
	}
}
