// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

func TestUnknownAccessKeysAreRefused(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	access := l.Value("AWS_ACCESS_KEY_ID")
	for _, c := range []struct {
		name                              string
		config                            aws.Config
		wantEC2, wantSTS, wantSSM, wantS3 string
	}{
		{"the right secret", sdk(l), "", "", "", ""},
		{"a wrong secret", sdk(l, access, "wrong"), "AuthFailure", "SignatureDoesNotMatch", "InvalidSignatureException",
			"SignatureDoesNotMatch"},
		{"an unknown key", sdk(l, "AKIAUNKNOWN00000", "x"), "AuthFailure", "InvalidClientTokenId",
			"UnrecognizedClientException", "InvalidAccessKeyId"},
	} {
		_, one := ec2.NewFromConfig(c.config).DescribeRegions(t.Context(), &ec2.DescribeRegionsInput{})
		_, two := sts.NewFromConfig(c.config).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		_, three := ssm.NewFromConfig(c.config).GetParameter(t.Context(),
			&ssm.GetParameterInput{Name: aws.String("/aws/service/debian/release/12/latest/amd64")})
		_, four := s3.NewFromConfig(c.config).ListObjectsV2(t.Context(),
			&s3.ListObjectsV2Input{Bucket: aws.String(lab.Bucket)})
		got := []string{codeOf(one), codeOf(two), codeOf(three), codeOf(four)}
		if diff := cmp.Diff([]string{c.wantEC2, c.wantSTS, c.wantSSM, c.wantS3}, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestPolicyOfTheLabsKey(t *testing.T) {
	policy, err := iam.Parse([]byte(`{"Statement": [
		{"Effect": "Allow", "Action": ["ec2:Describe*", "ec2:RunInstances", "s3:GetObject"], "Resource": "*"},
		{"Effect": "Deny", "Action": "ec2:DescribeVpcs", "Resource": "*"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	l := labtest.Start(t, lab.Options{Policy: policy})
	c, b, ctx := ec2.NewFromConfig(sdk(l)), s3.NewFromConfig(sdk(l)), t.Context()
	run(t, c, nil)
	launch := func(change func(*ec2.RunInstancesInput)) error {
		in := &ec2.RunInstancesInput{ImageId: aws.String(cloud.BaseImageID("bookworm")), MinCount: aws.Int32(1),
			MaxCount: aws.Int32(1)}
		change(in)
		_, err := c.RunInstances(ctx, in)
		return err
	}
	_, vpcs := c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	_, put := b.PutObject(ctx,
		&s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a"), Body: strings.NewReader("x")})
	_, get := b.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("none")})
	_, parameter := ssm.NewFromConfig(sdk(l)).GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/a")})
	_, identity := sts.NewFromConfig(sdk(l)).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	for _, step := range []struct {
		name string
		err  error
		want string
	}{
		{"denied", vpcs, "UnauthorizedOperation"},
		{"tags on launch need ec2:CreateTags", launch(func(in *ec2.RunInstancesInput) {
			in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeInstance,
				Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}}
		}), "UnauthorizedOperation"},
		{"a profile needs iam:PassRole", launch(func(in *ec2.RunInstancesInput) {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(lab.Profile)}
		}), "UnauthorizedOperation"},
		{"a dry run tells, too", launch(func(in *ec2.RunInstancesInput) { in.DryRun = aws.Bool(true) }),
			"DryRunOperation"},
		{"writing", put, "AccessDenied"},
		{"who may not list learns not what is missing", get, "AccessDenied"},
		{"parameters", parameter, "AccessDeniedException"},
		{"who one is needs no permission", identity, ""},
	} {
		if got := codeOf(step.err); got != step.want {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
	}
}

func TestCredentialsOfAnInstanceProfile(t *testing.T) {
	type answer struct {
		status int
		text   string
	}
	asked := make(chan answer, 1)
	l := labtest.Start(t, lab.Options{Runner: labtest.Runner{Guest: func(m *labtest.Machine) {
		status, text := m.Metadata("/latest/meta-data/iam/security-credentials/bakery")
		asked <- answer{status, text}
	}}})
	run(t, ec2.NewFromConfig(sdk(l)), func(in *ec2.RunInstancesInput) {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String("bakery")}
	})
	got := <-asked
	var c struct{ AccessKeyId, SecretAccessKey, Token string } //nolint:revive,staticcheck // AWS's names
	decode(t, got.text, &c)
	out, err := sts.NewFromConfig(sdk(l, c.AccessKeyId, c.SecretAccessKey, c.Token)).GetCallerIdentity(t.Context(),
		&sts.GetCallerIdentityInput{})
	if err != nil || *out.Arn != "arn:aws:sts::123456789012:assumed-role/bakery/lab" {
		t.Errorf("%d %v %v", got.status, out, err)
	}
}

func TestCredentialsOfAnAssumedRole(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	out, err := sts.NewFromConfig(sdk(l)).AssumeRole(t.Context(),
		&sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/ci"),
			RoleSessionName: aws.String("session")})
	if err != nil {
		t.Fatal(err)
	}
	who, err := sts.NewFromConfig(sdk(l, *out.Credentials.AccessKeyId,
		*out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)).GetCallerIdentity(t.Context(),
		&sts.GetCallerIdentityInput{})
	if err != nil || *who.Arn != *out.AssumedRoleUser.Arn {
		t.Errorf("%v %v", who, err)
	}
}
