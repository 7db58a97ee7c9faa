// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// machineWithOutlivingDisk returns a machine whose disk /dev/sdf is not deleted with it. EC2 shows the volumes or does
// not.
func machineWithOutlivingDisk(volumes bool, terminate error) *Instance {
	i := types.Instance{InstanceId: aws.String("i-1"),
		State: &types.InstanceState{Name: types.InstanceStateNameRunning}}
	if volumes {
		i.BlockDeviceMappings = []types.InstanceBlockDeviceMapping{{
			DeviceName: aws.String("/dev/sdf"), Ebs: &types.EbsInstanceBlockDevice{VolumeId: aws.String("vol-1")},
		}}
	}
	api := &awscall.EC2{
		DescribeInstances: func(
			context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options),
		) (*ec2.DescribeInstancesOutput, error) {
			return &ec2.DescribeInstancesOutput{Reservations: []types.Reservation{{Instances: []types.Instance{i}}}},
				nil
		},
		TerminateInstances: func(
			context.Context, *ec2.TerminateInstancesInput, ...func(*ec2.Options),
		) (*ec2.TerminateInstancesOutput, error) {
			if terminate == nil {
				i.State.Name = types.InstanceStateNameTerminated
			}
			return &ec2.TerminateInstancesOutput{}, terminate
		},
	}
	ui := new(bytes.Buffer)
	b := &bake.Bake{ID: "00000000000000aa", UI: &packersdk.BasicUi{Writer: ui, ErrorWriter: ui}}
	return &Instance{ID: "i-1", Launched: time.Now(), bake: b, api: api, outlivingDevices: []string{"/dev/sdf"}}
}

func TestErrorOfTerminationNamesVolumesThatStay(t *testing.T) {
	denied := &smithy.GenericAPIError{Code: "UnauthorizedOperation"}
	for name, c := range map[string]struct {
		volumes   bool
		terminate error
		want      string
	}{
		"when the machine stays": {true, denied, "; volumes that outlive it stay as well: vol-1"},
		"when EC2 does not say which they are": {false, nil,
			"the volumes of /dev/sdf outlive it, and EC2 did not say which they are; they have the tag " +
				"bakery:bake-id of 00000000000000aa"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := machineWithOutlivingDisk(c.volumes, c.terminate).terminate(t.Context())
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("the error is %v, want %q", err, c.want)
				}
			})
		})
	}
}
