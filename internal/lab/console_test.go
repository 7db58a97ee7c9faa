// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/fault"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

func TestFaultsOfTheConsole(t *testing.T) {
	guest := labtest.Runner{Guest: func(m *labtest.Machine) {
		m.Print("one\r\ntwo\r\n")
		m.PowerOff()
	}}
	for text, want := range map[string][2]string{ // without and with Latest
		"DescribeVpcs=throttle":                             {"one\r\ntwo\r\n", "one\r\ntwo\r\n"},
		"GetConsoleOutput=drop=two":                         {"one\r\n", "one\r\n"},
		"GetConsoleOutput=keep=6":                           {"\ntwo\r\n", "\ntwo\r\n"},
		"GetConsoleOutput=empty:Latest=true":                {"one\r\ntwo\r\n", ""},
		"GetConsoleOutput=lag=1h":                           {"", ""},
		"GetConsoleOutput=empty:1":                          {"", "one\r\ntwo\r\n"},
		"GetConsoleOutput=UnsupportedOperation:Latest=true": {"one\r\ntwo\r\n", "UnsupportedOperation"},
	} {
		t.Run(text, func(t *testing.T) {
			f, err := fault.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			l := labtest.Start(t, lab.Options{Runner: guest, Faults: []fault.Fault{f}})
			c := ec2.NewFromConfig(sdk(l))
			i := run(t, c, nil)
			untilState(t, c, *i.InstanceId, types.InstanceStateNameStopped)
			var got [2]string
			for n, latest := range []bool{false, true} {
				got[n] = console(t, c, *i.InstanceId, latest)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLatestConsoleOutputNeedsNitro(t *testing.T) {
	l := labtest.Start(t, lab.Options{Runner: labtest.Runner{Guest: powerOff}})
	c := ec2.NewFromConfig(sdk(l))
	i := run(t, c, func(in *ec2.RunInstancesInput) { in.InstanceType = types.InstanceTypeT2Micro })
	untilState(t, c, *i.InstanceId, types.InstanceStateNameStopped)
	if got := console(t, c, *i.InstanceId, true); got != "UnsupportedOperation" {
		t.Error(got)
	}
	if got := console(t, c, *i.InstanceId, false); got != "hello from the machine\r\n" {
		t.Error(got)
	}
}

// The console of a machine on Xen comes late, however it is looked at; that of one on Nitro does not.
func TestConsoleOfXenIsLate(t *testing.T) {
	for kind, want := range map[types.InstanceType]string{
		types.InstanceTypeT2Nano: "", types.InstanceTypeT2Micro: "", types.InstanceTypeM4Large: "",
		types.InstanceTypeT3Nano: "hello from the machine\r\n",
	} {
		l := labtest.Start(t, lab.Options{
			Runner: labtest.Runner{Guest: powerOff}, Delays: cloud.Delays{Console: time.Hour},
		})
		c := ec2.NewFromConfig(sdk(l))
		i := run(t, c, func(in *ec2.RunInstancesInput) { in.InstanceType = kind })
		untilState(t, c, *i.InstanceId, types.InstanceStateNameStopped)
		if got := console(t, c, *i.InstanceId, false); got != want {
			t.Errorf("the console of a %s is %q", kind, got)
		}
		out, err := c.DescribeInstanceTypes(t.Context(),
			&ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{kind}})
		if err != nil {
			t.Fatal(err)
		}
		hypervisor := map[bool]types.InstanceTypeHypervisor{
			true: types.InstanceTypeHypervisorNitro, false: types.InstanceTypeHypervisorXen,
		}[want != ""]
		if got := out.InstanceTypes[0].Hypervisor; got != hypervisor {
			t.Errorf("a %s runs on %s", kind, got)
		}
	}
}

func TestDryRunOfConsoleOutput(t *testing.T) {
	l := labtest.Start(t, lab.Options{Runner: labtest.Runner{Guest: powerOff}})
	c := ec2.NewFromConfig(sdk(l))
	i := run(t, c, nil)
	_, err := c.GetConsoleOutput(t.Context(),
		&ec2.GetConsoleOutputInput{InstanceId: i.InstanceId, DryRun: aws.Bool(true)})
	if codeOf(err) != "DryRunOperation" {
		t.Error(err)
	}
}

// console returns the console's text, or the code of the error.
func console(t *testing.T, c *ec2.Client, id string, latest bool) string {
	t.Helper()
	out, err := c.GetConsoleOutput(t.Context(), &ec2.GetConsoleOutputInput{InstanceId: &id, Latest: &latest})
	if err != nil {
		return codeOf(err)
	}
	text, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
