// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"strings"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
)

// setXen makes the machine one whose console comes ten minutes after its stop.
func (b *testBuild) setXen() {
	b.config.InstanceType = "t2.micro"
	b.account.Hypervisors = map[string]string{"t2.micro": "xen"}
	b.account.ConsoleLag = 10 * time.Minute
}

const lateConsole = "t2.micro runs on Xen, and EC2 shows the console of such a machine only minutes after it has " +
	"stopped"

func TestLateConsoleIsToldBeforeLaunch(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*testBuild)
		said bool
	}{
		"Xen": {(*testBuild).setXen, true},
		"one type of several": {func(b *testBuild) {
			b.setSpot()
			b.account.Hypervisors = map[string]string{"t2.micro": "xen"}
			b.config.SpotInstanceTypes = []string{"t3.small", "t2.micro"}
		}, true},
		"Xen with staging": {func(b *testBuild) {
			b.setXen()
			b.setStaging()
			b.uploadLog(10*time.Second, []string{"begin 1", awsfake.Success})
		}, false},
		"Xen whose stop is success": {func(b *testBuild) {
			b.setXen()
			b.config.Verdict = "stop"
		}, false},
		"Nitro": {func(*testBuild) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, c.set)
			if err != nil {
				t.Error(err)
			}
			before, _, _ := strings.Cut(b.ui.String(), "Launching")
			if strings.Contains(before, lateConsole) != c.said || strings.Count(b.ui.String(), lateConsole) > 1 {
				t.Errorf("the console is late, but the bake says:\n%s", b.ui)
			}
		})
	}
}

// With staging, the verdict of a machine on Xen comes from the bucket. Without its commitment there, no verdict on its
// console could be a success.
func TestLateConsoleIsNotWaitedForWithStaging(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*testBuild)
		want string
		took time.Duration // from the stop on, at least; a minute more at most
	}{
		"verdict in the bucket": {func(b *testBuild) {
			b.uploadLog(10*time.Second, []string{"begin 1", awsfake.Success})
		}, "", 0},
		"no way to the bucket": {func(b *testBuild) { b.account.NoCommitment = true }, "without a verdict",
			2 * time.Minute},
		"verdict on the console only": {func(*testBuild) {}, "", 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.setXen()
				b.setStaging()
				c.set(b)
			})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			at := b.account.RequestedAt["CreateImage"]
			if c.want != "" {
				at = b.account.RequestedAt["TerminateInstances"]
			}
			took := at.Sub(b.account.Instance.LaunchedAt.Add(b.account.StopsAfter))
			if took < c.took || took > c.took+time.Minute {
				t.Errorf("it took %s from the stop on, want %s", took, c.took)
			}
		})
	}
}

func TestTimeoutOnXenSaysThatConsoleIsLate(t *testing.T) {
	_, _, err := runBuild(t, func(b *testBuild) {
		b.setXen()
		b.account.StopsAfter = 0
		b.config.InstanceTimeout = 3 * time.Minute
	})
	checkErrorSays(t, err, "instance_timeout of 3m0s is over",
		"EC2 shows the console of a t2.micro only minutes after "+
			"the stop")
}
