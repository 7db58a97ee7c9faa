// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// TestQuickBakesHaveVerdicts checks that the builder takes a goroutine of labtest for a real machine: steps, output,
// failures and verdicts.
func TestQuickBakesHaveVerdicts(t *testing.T) {
	t.Parallel()
	steps := []string{"10_first.cfg runcmd[0]", "60_app.cfg runcmd[3]"}
	for name, c := range map[string]struct {
		baker labtest.Baker
		more  map[string]any
		want  []string // in what is said, or in the error
		fails bool
	}{
		"the steps of the user data succeed": {labtest.Baker{}, nil, []string{"the machine is up", "verdict: success"},
			false},
		"other steps succeed": {labtest.Baker{Steps: steps, Lines: 3}, nil,
			[]string{"with 2 steps to do", "verdict: success"}, false},
		"a step fails": {
			labtest.Baker{Steps: steps, Lines: 50, Fail: 2, Code: 7, Reason: "it is Friday"}, nil,
			[]string{"60_app.cfg runcmd[3] failed with exit status 7: it is Friday", "prints line 50 of 50",
				"prints line 11 of 50"}, true,
		},
		"a verdict that the console lost is in the log": {labtest.Baker{Console: labtest.Mute("verdict")}, nil,
			[]string{"verdict: success"}, false},
		"a step hangs until the time is up": {
			labtest.Baker{Steps: steps, Hang: 1, Speedup: 100}, nil,
			[]string{"failed with exit status 124", "raise instance_timeout"}, true,
		},
		"reports are split": {labtest.Baker{Steps: steps, Console: labtest.Split(50 * time.Millisecond)}, nil,
			[]string{"verdict: success"}, false},
		"reports are doubled": {labtest.Baker{Steps: steps, Console: labtest.Doubled}, nil,
			[]string{"verdict: success"}, false},
		"reports are interleaved": {labtest.Baker{Steps: steps, Console: labtest.Interleaved(3)}, nil,
			[]string{"verdict: success"}, false},
		"user data is small": {labtest.Baker{}, map[string]any{"user_data": "#!/bin/sh\ntrue\n"},
			[]string{"verdict: success"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := startBakerLab(t, c.baker)
			settings := maps.Clone(reportVerdict)
			maps.Copy(settings, c.more)
			_, printed, err := q.bake(t, settings)
			if (err != nil) != c.fails {
				t.Fatalf("the error is %v\n%s", err, printed)
			}
			if err != nil {
				printed = err.Error()
			}
			for _, want := range c.want {
				if !strings.Contains(printed, want) {
					t.Errorf("the builder does not print %q:\n%s", want, printed)
				}
			}
		})
	}
}

// TestQuickBakesShowLiveLines checks that the builder prints a line of a step before the step ends: the step ends only
// then.
func TestQuickBakesShowLiveLines(t *testing.T) {
	t.Parallel()
	const step, line = "60_app.cfg runcmd[3]", "60_app.cfg runcmd[3] prints line 3 of 3"
	for name, more := range map[string]map[string]any{
		"by the staged log": nil,
		"by the console":    {"user_data": "#!/bin/sh\ntrue\n", "staging": nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			printed := make(chan struct{})
			q := startBakerLab(t, labtest.Baker{Steps: []string{step}, Lines: 3,
				Console: func(m *labtest.Machine, report string) {
					if strings.Contains(report, " end 1 ") {
						select {
						case <-printed:
						case <-time.After(time.Minute):
							t.Errorf("the builder does not print %q while the step runs", line)
						}
					}
					m.Print(report)
				}})
			var once sync.Once
			q.onLine = func(text string) {
				if strings.Contains(text, line) {
					once.Do(func() { close(printed) })
				}
			}
			settings := maps.Clone(reportVerdict)
			maps.Copy(settings, more)
			if _, printed, err := q.bake(t, settings); err != nil || !strings.Contains(printed, "verdict: success") {
				t.Errorf("the error is %v\n%s", err, printed)
			}
		})
	}
}

// TestQuickBakesFetchFiles checks that such a machine downloads what is staged, with a URL and with its own role.
func TestQuickBakesFetchFiles(t *testing.T) {
	t.Parallel()
	source := write(t, map[string]string{"fs/etc/big": incompressible(20000)})
	for name, c := range map[string]struct {
		delivery, fault string
		fails           string
	}{
		"by a presigned URL":            {"presigned", "DescribeVpcs=slow=1ms", ""},
		"by the machine's role":         {"profile", "GetObject=denied:Presigned=true", ""},
		"by a URL that is broken twice": {"presigned", "GetObject=cut=5000:2:Presigned=true", ""},
		"by a URL that has expired":     {"presigned", "GetObject=expired:Presigned=true", "fetching fs.tgz failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := startBakerLab(t, labtest.Baker{Speedup: 50}, c.fault)
			settings := map[string]any{
				"verdict": "report", "user_data": "", "image_source": source,
				"iam_instance_profile": q.Value("BAKERY_LAB_INSTANCE_PROFILE"),
				"staging": map[string]any{"url": "s3://" + q.Value("BAKERY_LAB_BUCKET") + "/quick",
					"delivery": c.delivery},
			}
			_, printed, err := q.bake(t, settings)
			if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Fatalf("the error is %v\n%s", err, printed)
			}
		})
	}
}
