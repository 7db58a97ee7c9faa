// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package limit

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// burst returns how many requests are allowed at once.
func burst(l *Limits, r Request) int {
	n := 0
	for n < 10_000 && l.Allow(r) {
		n++
	}
	return n
}

func TestBucketsOfActionsRefill(t *testing.T) {
	for name, c := range map[string]struct {
		request Request
		want    [3]int // at once, a second later, and a quarter of an hour later
	}{
		"launches":                        {Request{Action: "RunInstances", Instances: 1}, [3]int{5, 2, 5}},
		"launches of many":                {Request{Action: "RunInstances", Instances: 400}, [3]int{2, 0, 2}},
		"what reads with a filter":        {Request{Action: "DescribeInstances", Bounded: true}, [3]int{100, 20, 100}},
		"what reads everything":           {Request{Action: "DescribeInstances"}, [3]int{50, 10, 50}},
		"what reads and is never smaller": {Request{Action: "DescribeImages"}, [3]int{100, 20, 100}},
		"what writes":                     {Request{Action: "CreateImage"}, [3]int{50, 5, 50}},
		"copies":                          {Request{Action: "CopyImage"}, [3]int{100, 1, 100}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(EC2())
				var got [3]int
				for i, pause := range []time.Duration{0, time.Second, 15 * time.Minute} {
					time.Sleep(pause)
					got[i] = burst(l, c.request)
				}
				if got != c.want {
					t.Errorf("%v pass, want %v", got, c.want)
				}
				other := c.request
				other.Region = "eu-west-1"
				if n := burst(l, other); n != c.want[0] {
					t.Errorf("%d pass in another region", n)
				}
			})
		})
	}
}

func TestNothingIsLimitedWithoutRates(t *testing.T) {
	if n := burst(New(nil), Request{Action: "RunInstances", Instances: 1000}); n != 10_000 {
		t.Errorf("%d pass", n)
	}
	only, err := Parse("CreateImage=3/0.5")
	if err != nil {
		t.Fatal(err)
	}
	l := New(only)
	if n, m := burst(l, Request{Action: "CreateImage"}), burst(l, Request{Action: "RunInstances"}); n != 3 ||
		m != 10_000 {
		t.Errorf("%d and %d pass", n, m)
	}
}

func TestParse(t *testing.T) {
	got, err := Parse("RunInstances=1/0.25,ec2,CreateImage=2/1")
	if err != nil {
		t.Fatal(err)
	}
	want := EC2()
	want.Actions["RunInstances"], want.Actions["CreateImage"] = Rate{1, 0.25}, Rate{2, 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{"", "aws", "RunInstances", "RunInstances=5", "RunInstances=x/1", "RunInstances=0/1",
		"=5/2"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
