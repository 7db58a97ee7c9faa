// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/fault"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// withFaults starts a lab with faults.
func withFaults(t *testing.T, faults ...string) *labtest.Lab {
	t.Helper()
	var o lab.Options
	for _, text := range faults {
		f, err := fault.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		o.Faults = append(o.Faults, f)
	}
	return labtest.Start(t, o)
}

// statusAnd returns the HTTP status and the code of an error.
func statusAnd(err error) string {
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return strconv.Itoa(answer.HTTPStatusCode()) + " " + codeOf(err)
	}
	return codeOf(err)
}

func TestErrorFaultsOfEachService(t *testing.T) {
	words := []string{"throttle", "500", "503", "denied", "expired", "quota", "capacity"}
	for service, c := range map[string]struct {
		call func(*labtest.Lab) error
		want []string
	}{
		"ec2": {func(l *labtest.Lab) error {
			_, err := ec2.NewFromConfig(sdk(l)).RunInstances(t.Context(),
				&ec2.RunInstancesInput{MinCount: aws.Int32(1), MaxCount: aws.Int32(1)})
			return err
		}, []string{
			"503 RequestLimitExceeded", "500 InternalError", "503 Unavailable", "403 UnauthorizedOperation",
			"400 RequestExpired", "400 VcpuLimitExceeded",
			"500 InsufficientInstanceCapacity",
		}},
		"s3": {func(l *labtest.Lab) error {
			_, err := s3Client(l).GetObject(t.Context(),
				&s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("x")})
			return err
		}, []string{"503 SlowDown", "500 InternalError", "503 ServiceUnavailable", "403 AccessDenied",
			"400 ExpiredToken"}},
		"a HEAD of s3, which has no body": {func(l *labtest.Lab) error {
			_, err := s3Client(l).HeadObject(t.Context(),
				&s3.HeadObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("x")})
			return err
		}, []string{"503 ServiceUnavailable", "500 InternalServerError", "503 ServiceUnavailable", "403 Forbidden",
			"400 BadRequest"}},
		"sts": {func(l *labtest.Lab) error {
			_, err := sts.NewFromConfig(sdk(l)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			return err
		}, []string{"400 Throttling", "500 InternalFailure", "503 ServiceUnavailable", "403 AccessDenied",
			"403 ExpiredToken"}},
		"iam": {func(l *labtest.Lab) error {
			_, err := iam.NewFromConfig(sdk(l)).CreateRole(t.Context(),
				&iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String("{}")})
			return err
		}, []string{"400 Throttling", "500 ServiceFailure", "503 ServiceUnavailable", "403 AccessDenied",
			"403 ExpiredToken", "409 LimitExceeded"}},
		"ssm": {func(l *labtest.Lab) error {
			_, err := ssm.NewFromConfig(sdk(l)).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("x")})
			return err
		}, []string{"400 ThrottlingException", "500 InternalServerError", "503 ServiceUnavailable",
			"400 AccessDeniedException", "400 ExpiredTokenException"}},
	} {
		t.Run(service, func(t *testing.T) {
			var got []string
			for _, word := range words[:len(c.want)] {
				got = append(got, statusAnd(c.call(withFaults(t, "*="+word))))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("the answers to %v (-want +got):\n%s", words[:len(c.want)], diff)
			}
		})
	}
}

func TestFaultHang(t *testing.T) {
	l := withFaults(t, "CreateSecurityGroup=hang=1h:after:1")
	c := ec2.NewFromConfig(sdk(l))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for ctx.Err() == nil && len(l.Calls()) == 0 { // it is recorded as soon as it hangs
			time.Sleep(time.Millisecond)
		}
	}()
	in := &ec2.CreateSecurityGroupInput{GroupName: aws.String("g"), Description: aws.String("d")}
	if _, err := c.CreateSecurityGroup(ctx, in); !errors.Is(err, context.Canceled) {
		t.Errorf("the call: %v", err)
	}
	if calls := l.Calls(); calls[0].Code != "hang" || calls[0].Status != 0 {
		t.Errorf("the call is %+v", calls[0])
	}
	if _, err := c.CreateSecurityGroup(t.Context(), in); codeOf(err) != "InvalidGroup.Duplicate" {
		t.Errorf("once more: %v", err)
	}
	began := time.Now()
	l2 := withFaults(t, "DescribeVpcs=hang=100ms")
	_, err := ec2.NewFromConfig(sdk(l2)).DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
	if err == nil || time.Since(began) < 100*time.Millisecond {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

func TestFaultCut(t *testing.T) {
	big := bytes.Repeat([]byte("12345678"), 64<<10)
	t.Run("an upload", func(t *testing.T) {
		l := withFaults(t, "PutObject=cut=100000:1")
		c := s3Client(l)
		put := func() error {
			_, err := c.PutObject(t.Context(),
				&s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("x"), Body: bytes.NewReader(big)})
			return err
		}
		if err := put(); err == nil || !strings.HasPrefix(statusAnd(err), "0 ") {
			t.Errorf("the upload was answered: %v", err)
		}
		if left := l.Left(); len(left) > 0 {
			t.Errorf("half an object is there: %v", left)
		}
		if err := put(); err != nil {
			t.Errorf("once more: %v", err)
		}
	})
	t.Run("a download", func(t *testing.T) {
		l := withFaults(t, "GetObject=cut=100000:1")
		c := s3Client(l)
		if _, err := c.PutObject(t.Context(),
			&s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("x"),
				Body: bytes.NewReader(big)}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for range 2 {
			out, err := c.GetObject(t.Context(),
				&s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("x")})
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(out.Body)
			got = append(got, strconv.Itoa(len(body)), strconv.FormatBool(err == nil))
			_ = out.Body.Close()
		}
		if diff := cmp.Diff([]string{"100000", "false", strconv.Itoa(len(big)), "true"}, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("an answer of EC2", func(t *testing.T) {
		l := withFaults(t, "DescribeVpcs=cut=50")
		if _, err := ec2.NewFromConfig(sdk(l)).DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{}); err == nil {
			t.Error("it was read")
		}
	})
}

func TestFaultExpiredOfPresignedURLs(t *testing.T) {
	l := withFaults(t, "GetObject=expired:Presigned=true", "PutObject=SlowDown:Key=*/log.gz")
	c := s3Client(l)
	for key, want := range map[string]string{"a": "", "bake/1/log.gz": "503 SlowDown"} {
		_, err := c.PutObject(t.Context(),
			&s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String(key), Body: strings.NewReader("x")})
		if got := statusAnd(err); got != want {
			t.Errorf("an upload to %s: %s", key, got)
		}
	}
	if _, err := c.GetObject(t.Context(),
		&s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a")}); err != nil {
		t.Errorf("a call that is signed in its header: %v", err)
	}
	signed, err := s3.NewPresignClient(c).PresignGetObject(t.Context(),
		&s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a")})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, signed.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusForbidden ||
		!strings.Contains(string(text), "<Message>Request has expired</Message>") {
		t.Errorf("%d %s %v", answer.StatusCode, text, err)
	}
}

// TestEventualConsistency tests all kinds of ids.
func TestEventualConsistency(t *testing.T) {
	const young = 700 * time.Millisecond
	l := labtest.Start(t, lab.Options{Runner: labtest.Runner{Guest: powerOff}, Eventual: young})
	c, roles := ec2.NewFromConfig(sdk(l)), iam.NewFromConfig(sdk(l))
	ctx := t.Context()
	// first returns the error code of a call's first try, when its resource is not visible yet. It tries until the call
	// succeeds.
	first := func(what string, call func() error) string {
		t.Helper()
		code := codeOf(call())
		until(t, what, func() bool { return call() == nil })
		return code
	}
	got := map[string]string{}
	group, err := c.CreateSecurityGroup(ctx,
		&ec2.CreateSecurityGroupInput{GroupName: aws.String("g"), Description: aws.String("d")})
	if err != nil {
		t.Fatal(err)
	}
	named := &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{{Name: aws.String("group-name"),
		Values: []string{"g"}}}}
	if out, err := c.DescribeSecurityGroups(ctx, named); err != nil || len(out.SecurityGroups) > 0 {
		t.Errorf("a new group is listed: %v", err)
	}
	in := &ec2.RunInstancesInput{
		ImageId: aws.String(l.Value("BAKERY_LAB_AMI")), InstanceType: types.InstanceTypeT3Nano, MinCount: aws.Int32(1),
		MaxCount:         aws.Int32(1),
		SecurityGroupIds: []string{*group.GroupId},
		InstanceMarketOptions: &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot,
			SpotOptions: &types.SpotMarketOptions{
				SpotInstanceType:             types.SpotInstanceTypePersistent,
				InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorStop,
			}},
	}
	var i types.Instance
	got["security group"] = first("the launch", func() error {
		out, err := c.RunInstances(ctx, in)
		if err == nil {
			i = out.Instances[0]
		}
		return err
	})
	got["spot request"] = first("the spot request", func() error {
		_, err := c.DescribeSpotInstanceRequests(ctx,
			&ec2.DescribeSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{*i.SpotInstanceRequestId}})
		return err
	})
	in.InstanceMarketOptions, in.ClientToken = nil, nil // the SDK has set one
	launched, err := c.RunInstances(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	i = launched.Instances[0]
	got["instance"] = first("the instance", func() error {
		_, err := c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{*i.InstanceId}})
		return err
	})
	untilState(t, c, *i.InstanceId, types.InstanceStateNameStopped)
	image, err := c.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("web")})
	if err != nil {
		t.Fatal(err)
	}
	var snapshot string
	for _, r := range l.State() {
		if r.Kind == "snapshot" {
			snapshot = r.ID
		}
	}
	got["snapshot"] = codeOf(func() error {
		_, err := c.CreateTags(ctx,
			&ec2.CreateTagsInput{Resources: []string{snapshot},
				Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
		return err
	}())
	got["image"] = first("the image", func() error {
		_, err := c.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{*image.ImageId}})
		return err
	})
	name := aws.String("p")
	if _, err := roles.CreateInstanceProfile(ctx,
		&iam.CreateInstanceProfileInput{InstanceProfileName: name}); err != nil {
		t.Fatal(err)
	}
	_, err = c.RunInstances(ctx, &ec2.RunInstancesInput{
		ImageId: in.ImageId, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		IamInstanceProfile: &types.IamInstanceProfileSpecification{Name: name},
	})
	got["instance profile at a launch"] = codeOf(err)
	got["instance profile"] = first("the instance profile", func() error {
		_, err := roles.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: name})
		return err
	})
	want := map[string]string{
		"security group": "InvalidGroup.NotFound", "spot request": "InvalidSpotInstanceRequestID.NotFound",
		"instance": "InvalidInstanceID.NotFound",
		"snapshot": "InvalidSnapshot.NotFound", "image": "InvalidAMIID.NotFound", "instance profile": "NoSuchEntity",
		"instance profile at a launch": "InvalidParameterValue",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFaultUnknownOfOneAction(t *testing.T) {
	l := withFaults(t, "DescribeInstances=unknown=1h")
	c := ec2.NewFromConfig(sdk(l))
	i := run(t, c, nil)
	_, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{*i.InstanceId}})
	if codeOf(err) != "InvalidInstanceID.NotFound" {
		t.Error(err)
	}
	if _, err := c.TerminateInstances(t.Context(),
		&ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}}); err != nil {
		t.Error(err)
	}
}
