// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// persistent changes a launch to one of a Spot Instance that can be stopped.
func persistent(in *ec2.RunInstancesInput) {
	in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot,
		SpotOptions: &types.SpotMarketOptions{
			SpotInstanceType:             types.SpotInstanceTypePersistent,
			InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorStop,
		}}
	in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeSpotInstancesRequest,
		Tags: []types.Tag{{Key: aws.String("bake"), Value: aws.String("1")}}}}
}

func once(in *ec2.RunInstancesInput) {
	in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot}
}

// request returns the state, the status and the instance of the only Spot Instance request.
func (s shell) request(t *testing.T) []string {
	t.Helper()
	var all [][]string
	decode(t, s.aws(t, "ec2", "describe-spot-instance-requests", "--query",
		"SpotInstanceRequests[].[State,Status.Code,InstanceId]"), &all)
	if len(all) != 1 {
		t.Fatalf("%d requests: %v", len(all), all)
	}
	return all[0]
}

func TestReclaimSpotInstance(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		launch         func(*ec2.RunInstancesInput)
		state          types.InstanceStateName
		reason, status string
	}{
		"one that stops": {persistent, types.InstanceStateNameStopped, "Server.SpotInstanceShutdown",
			"instance-stopped-no-capacity"},
		"one that ends": {once, types.InstanceStateNameTerminated, "Server.SpotInstanceTermination",
			"instance-terminated-no-capacity"},
	} {
		s := newShell(t, lab.Options{})
		c := ec2.NewFromConfig(sdk(s.lab))
		i := run(t, c, tc.launch)
		untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
		if got := s.request(t); got[0] != "active" || got[1] != "fulfilled" || got[2] != *i.InstanceId {
			t.Errorf("%s: the request %v", name, got)
		}
		if status, text := control(t, s.lab, http.MethodPost, "reclaim?instance="+*i.InstanceId,
			""); status != http.StatusOK {
			t.Fatalf("%s: %d %s", name, status, text)
		}
		got := untilState(t, c, *i.InstanceId, tc.state)
		if aws.ToString(got.StateReason.Code) != tc.reason ||
			got.InstanceLifecycle != types.InstanceLifecycleTypeSpot || aws.ToString(got.SpotInstanceRequestId) == "" {
			t.Errorf("%s: %+v", name, got)
		}
		if got := s.request(t); got[1] != tc.status {
			t.Errorf("%s: the request afterwards %v", name, got)
		}
	}
}

func TestReclaimRefusesOnDemandInstances(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Options{})
	i := run(t, ec2.NewFromConfig(sdk(l)), nil)
	if status, text := control(t, l, http.MethodPost, "reclaim?instance="+*i.InstanceId,
		""); status != http.StatusBadRequest {
		t.Errorf("%d %s", status, text)
	}
}

func TestReclaimMarksTheRequestDuringTheNotice(t *testing.T) {
	t.Parallel()
	s := newShell(t, lab.Options{})
	c := ec2.NewFromConfig(sdk(s.lab))
	i := run(t, c, persistent)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	control(t, s.lab, http.MethodPost, "reclaim?notice=1h&instance="+*i.InstanceId, "")
	if got := s.request(t); got[0] != "active" || got[1] != "marked-for-stop" {
		t.Errorf("the request %v", got)
	}
}

func TestAPersistentRequestLaunchesAgainUnlessItIsCancelled(t *testing.T) {
	t.Parallel()
	s, ctx := newShell(t, lab.Options{}), t.Context()
	c := ec2.NewFromConfig(sdk(s.lab))
	first := run(t, c, persistent)
	untilState(t, c, *first.InstanceId, types.InstanceStateNameRunning)
	s.aws(t, "ec2", "terminate-instances", "--instance-ids", *first.InstanceId)
	untilState(t, c, *first.InstanceId, types.InstanceStateNameTerminated)
	again := s.request(t)
	if again[0] != "active" || again[2] == *first.InstanceId {
		t.Fatalf("the request after its instance was terminated: %v", again)
	}
	untilState(t, c, again[2], types.InstanceStateNameRunning)
	s.aws(t, "ec2", "stop-instances", "--instance-ids", again[2])
	untilState(t, c, again[2], types.InstanceStateNameStopped)
	if got := s.request(t); got[0] != "disabled" || got[1] != "instance-stopped-by-user" {
		t.Errorf("the request of a stopped instance: %v", got)
	}
	request := s.get(t, "SpotInstanceRequests[0].SpotInstanceRequestId", "describe-spot-instance-requests", "--filters",
		"Name=tag:bake,Values=1")
	s.aws(t, "ec2", "cancel-spot-instance-requests", "--spot-instance-request-ids", request)
	if _, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{again[2]}}); err != nil {
		t.Fatal(err)
	}
	untilState(t, c, again[2], types.InstanceStateNameTerminated)
	if got := s.request(t); got[0] != "cancelled" || got[2] != again[2] {
		t.Errorf("a cancelled request: %v", got)
	}
	s.refused(t, "InvalidSpotInstanceRequestID.NotFound", "ec2", "cancel-spot-instance-requests",
		"--spot-instance-request-ids", "sir-0123456789abcdef0")
}

func TestErrorsOfSpotRequests(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Options{})
	c := ec2.NewFromConfig(sdk(l), func(o *ec2.Options) { o.RetryMaxAttempts = 1 })
	control(t, l, http.MethodPost, "faults", "RunInstances=InsufficientInstanceCapacity:InstanceType=t3.nano")
	for want, change := range map[string]func(*ec2.RunInstancesInput){
		"InsufficientInstanceCapacity": func(in *ec2.RunInstancesInput) { in.InstanceType = types.InstanceTypeT3Nano },
		"SpotMaxPriceTooLow": func(in *ec2.RunInstancesInput) {
			in.InstanceMarketOptions.SpotOptions.MaxPrice = aws.String("0.0001")
		},
		"InvalidParameterCombination": func(in *ec2.RunInstancesInput) {
			in.InstanceMarketOptions.SpotOptions.SpotInstanceType = types.SpotInstanceTypeOneTime
		},
	} {
		in := &ec2.RunInstancesInput{ImageId: aws.String(l.Value("BAKERY_LAB_AMI")),
			InstanceType: types.InstanceTypeT3Micro, MinCount: aws.Int32(1), MaxCount: aws.Int32(1)}
		persistent(in)
		change(in)
		_, err := c.RunInstances(t.Context(), in)
		code(t, want, err)
	}
	i := run(t, c, func(in *ec2.RunInstancesInput) { once(in); in.InstanceType = types.InstanceTypeT3Micro })
	untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	_, err := c.StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{*i.InstanceId}})
	code(t, "UnsupportedOperation", err)
}

func TestSpotPricesDifferByTypeAndZone(t *testing.T) {
	t.Parallel()
	s := newShell(t, lab.Options{})
	got := s.get(t, "SpotPriceHistory[].[InstanceType,AvailabilityZone,SpotPrice]", "describe-spot-price-history",
		"--instance-types", "t3.nano", "m5.large",
		"--product-descriptions", "Linux/UNIX")
	want := "t3.nano\tus-east-1a\t0.008500\nt3.nano\tus-east-1b\t0.007650\n" +
		"m5.large\tus-east-1a\t0.016000\nm5.large\tus-east-1b\t0.014400"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDescribeInstancesShowsLaunchParameters(t *testing.T) {
	t.Parallel()
	s := newShell(t, lab.Options{})
	c := ec2.NewFromConfig(sdk(s.lab))
	host, reservation := "h-0123456789abcdef0", "cr-0123456789abcdef0"
	license := "arn:aws:license-manager:us-east-1:123456789012:license-configuration:lic-1"
	i := run(t, c, func(in *ec2.RunInstancesInput) {
		in.InstanceType = types.InstanceTypeM5Xlarge
		in.Placement = &types.Placement{Tenancy: types.TenancyHost, HostId: &host,
			AvailabilityZone: aws.String("us-east-1b")}
		in.LicenseSpecifications = []types.LicenseConfigurationRequest{{LicenseConfigurationArn: &license}}
		in.CapacityReservationSpecification = &types.CapacityReservationSpecification{
			CapacityReservationTarget: &types.CapacityReservationTarget{CapacityReservationId: &reservation},
		}
		in.EnclaveOptions = &types.EnclaveOptionsRequest{Enabled: aws.Bool(true)}
		in.EbsOptimized = aws.Bool(true)
		in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired,
			HttpPutResponseHopLimit: aws.Int32(2), InstanceMetadataTags: types.InstanceMetadataTagsStateEnabled}
		in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeNetworkInterface,
			Tags: []types.Tag{{Key: aws.String("n"), Value: aws.String("i")}}}}
	})
	query := "Reservations[0].Instances[0].[Placement.[Tenancy,HostId,AvailabilityZone],Licenses[0].LicenseConfigurationArn," +
		"CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId,EnclaveOptions.Enabled,EbsOptimized," +
		"MetadataOptions.[HttpTokens,HttpPutResponseHopLimit,InstanceMetadataTags],SubnetId][]"
	var got []any
	decode(t, s.aws(t, "ec2", "describe-instances", "--instance-ids", *i.InstanceId, "--query", query), &got)
	want := []any{"host", host, "us-east-1b", license, reservation, true, true, "required", 2.0, "enabled",
		"subnet-0bace000000000002"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := s.get(t, "NetworkInterfaces[0].[Attachment.InstanceId,TagSet[0].Value]", "describe-network-interfaces",
		"--filters", "Name=tag:n,Values=i"); got != *i.InstanceId+"\ti" {
		t.Errorf("network interface: %q", got)
	}
	credits := run(t, c, func(in *ec2.RunInstancesInput) {
		in.CreditSpecification = &types.CreditSpecificationRequest{CpuCredits: aws.String("standard")}
	})
	if got := s.get(t, "InstanceCreditSpecifications[].CpuCredits", "describe-instance-credit-specifications",
		"--instance-ids", *credits.InstanceId); got != "standard" {
		t.Errorf("credits: %q", got)
	}
}

func TestCreateFleetLaunchesTheCheapestType(t *testing.T) {
	t.Parallel()
	s, ctx := newShell(t, lab.Options{}), t.Context()
	c := ec2.NewFromConfig(sdk(s.lab))
	name, ami := aws.String("fleet"), aws.String(s.lab.Value("BAKERY_LAB_AMI"))
	data := &types.RequestLaunchTemplateData{
		ImageId: ami,
		InstanceMarketOptions: &types.LaunchTemplateInstanceMarketOptionsRequest{
			MarketType: types.MarketTypeSpot,
		},
		TagSpecifications: []types.LaunchTemplateTagSpecificationRequest{{ResourceType: types.ResourceTypeInstance,
			Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}},
	}
	fleet := func() (*ec2.CreateFleetOutput, error) {
		return c.CreateFleet(ctx, &ec2.CreateFleetInput{
			Type:                        types.FleetTypeInstant,
			TargetCapacitySpecification: &types.TargetCapacitySpecificationRequest{TotalTargetCapacity: aws.Int32(1)},
			LaunchTemplateConfigs: []types.FleetLaunchTemplateConfigRequest{{
				LaunchTemplateSpecification: &types.FleetLaunchTemplateSpecificationRequest{LaunchTemplateName: name,
					Version: aws.String("1")},
				Overrides: []types.FleetLaunchTemplateOverridesRequest{{InstanceType: "none.such"},
					{InstanceType: types.InstanceTypeM5Large}, {InstanceType: types.InstanceTypeT3Nano}},
			}},
		})
	}
	_, err := fleet()
	code(t, "InvalidLaunchTemplateName.NotFoundException", err)
	for _, want := range []string{"", "InvalidLaunchTemplateName.AlreadyExistsException"} {
		_, err := c.CreateLaunchTemplate(ctx,
			&ec2.CreateLaunchTemplateInput{LaunchTemplateName: name, LaunchTemplateData: data})
		code(t, want, err)
	}
	out, err := fleet()
	if err != nil || len(out.Instances) != 1 || out.Instances[0].InstanceType != types.InstanceTypeT3Nano ||
		len(out.Errors) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	i := untilState(t, c, out.Instances[0].InstanceIds[0], types.InstanceStateNameRunning)
	if i.InstanceLifecycle != types.InstanceLifecycleTypeSpot || len(i.Tags) != 1 {
		t.Errorf("%+v", i)
	}
	s.aws(t, "ec2", "delete-launch-template", "--launch-template-name", "fleet")
	if got := s.get(t, "LaunchTemplates", "describe-launch-templates"); got != "" {
		t.Errorf("left: %s", got)
	}
}
