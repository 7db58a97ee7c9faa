// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/instance"
)

// EC2 shows the console of a machine that is not of Nitro minutes after its stop, or never.
func TestLateConsoleIsWaitedFor(t *testing.T) {
	const machine = "t3.nano" // the default of the settings, whatever it runs on
	onXen := map[string]string{machine: "xen"}
	xen, onNitro := instance.Hypervisors{machine: "xen"}, instance.Hypervisors{machine: "nitro"}
	const slow, short, long = 10 * time.Minute, 2 * time.Minute, 15 * time.Minute
	reports := []string{"begin 1", "start 1 check.sh", "end 1 0 check.sh", awsfake.Success}
	for name, c := range map[string]struct {
		hypervisors map[string]string
		known       instance.Hypervisors
		reports     []string
		lag         time.Duration // from the stop on
		want        string        // in the error; "" for a success
		took        time.Duration // from the stop on, at least; a minute more at most
	}{
		"Xen, at once":         {onXen, xen, reports, 0, "", 0},
		"Xen, ten minutes":     {onXen, xen, reports, slow, "", slow},
		"Xen, never":           {onXen, xen, reports, time.Hour, "without a verdict", long},
		"not known, with Xen":  {onXen, nil, reports, slow, "", slow},
		"of metal, with Nitro": {nil, instance.Hypervisors{machine: ""}, reports[:1], 0, "without a verdict", short},
		"Nitro, no verdict":    {nil, onNitro, reports[:1], 0, "without a verdict", short},
		"Xen, failure": {
			onXen, xen, []string{"begin 1", "verdict fail 3 check.sh"}, slow,
			"check.sh failed with exit status 3", slow,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				account := awsfake.New(t)
				account.Hypervisors, account.ConsoleLag = c.hypervisors, c.lag
				account.SetReports(c.reports...)
				ui := new(bytes.Buffer)
				m, err := launchOn(t, account, ui, c.known)
				checkError(t, err, c.want)
				took := account.RequestedAt["TerminateInstances"].Sub(m.Launched.Add(account.StopsAfter))
				if took < c.took || took > c.took+time.Minute {
					t.Errorf("it took %s from the stop on, want %s", took, c.took)
				}
				wait := strings.Count(ui.String(), "waiting for its verdict, up to 15m0s: EC2 shows the console of a "+
					"t3.nano only minutes after the stop")
				if (wait == 1) != (c.took > 2*time.Minute) || wait > 1 {
					t.Errorf("the wait is explained %d times:\n%s", wait, ui)
				}
			})
		})
	}
}
