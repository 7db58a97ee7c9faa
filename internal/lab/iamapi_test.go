// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
	`"Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// newProfile creates an instance profile with a role that has one inline policy.
func (s shell) newProfile(t *testing.T, name, policy string) {
	t.Helper()
	s.aws(t, "iam", "create-instance-profile", "--instance-profile-name", name, "--tags", "Key=a,Value=b")
	s.aws(t, "iam", "create-role", "--role-name", name, "--assume-role-policy-document", trust, "--description", "d")
	s.aws(t, "iam", "put-role-policy", "--role-name", name, "--policy-name", "p", "--policy-document", policy)
	s.aws(t, "iam", "add-role-to-instance-profile", "--instance-profile-name", name, "--role-name", name)
}

func TestCreateAndDeleteInstanceProfile(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	s := newShell(t, lab.Options{Runner: labtest.Runner{Guest: func(m *labtest.Machine) {
		_, role := m.Metadata("/latest/meta-data/iam/security-credentials/")
		_, text := m.Metadata("/latest/meta-data/iam/security-credentials/" + role)
		got <- role + " " + text
	}}})
	ami := s.lab.Value("BAKERY_LAB_AMI")
	launch := []string{"ec2", "run-instances", "--image-id", ami, "--instance-type", "t3.nano",
		"--iam-instance-profile"}
	s.refused(t, "InvalidParameterValue", append(launch, "Name=temporary")...)
	s.aws(t, "iam", "create-instance-profile", "--instance-profile-name", "empty")
	s.refused(t, "InvalidParameterValue", append(launch, "Name=empty")...)
	s.newProfile(t, "temporary",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject"],"Resource":"*"}]}`)
	s.refused(t, "EntityAlreadyExists", "iam", "create-instance-profile", "--instance-profile-name", "temporary")
	s.refused(t, "LimitExceeded", "iam", "add-role-to-instance-profile", "--instance-profile-name", "temporary",
		"--role-name", "bakery")
	if text := s.aws(t, "iam", "get-instance-profile", "--instance-profile-name", "temporary", "--query",
		"InstanceProfile.[Tags[0].Value,Roles[0].RoleName]", "--output", "text"); text != "b\ttemporary" {
		t.Errorf("instance profile: %q", text)
	}
	if text := s.aws(t, "iam", "get-role-policy", "--role-name", "temporary", "--policy-name", "p", "--query",
		"PolicyDocument.Statement[0].Effect", "--output", "text"); text != "Allow" {
		t.Errorf("policy: %q", text)
	}
	s.aws(t, append(launch, "Name=temporary")...)
	role, text, _ := strings.Cut(<-got, " ")
	var c struct{ AccessKeyId, SecretAccessKey, Token string } //nolint:revive,staticcheck // AWS's names
	decode(t, text, &c)
	as := sdk(s.lab, c.AccessKeyId, c.SecretAccessKey, c.Token)
	_, put := s3.NewFromConfig(as).PutObject(t.Context(),
		&s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("k"), Body: strings.NewReader("x")})
	_, images := ec2.NewFromConfig(as).DescribeImages(t.Context(), &ec2.DescribeImagesInput{})
	if role != "temporary" || put != nil || codeOf(images) != "UnauthorizedOperation" {
		t.Errorf("role %q may: %v; may not: %v", role, put, images)
	}
	s.refused(t, "DeleteConflict", "iam", "delete-instance-profile", "--instance-profile-name", "temporary")
	s.refused(t, "DeleteConflict", "iam", "delete-role", "--role-name", "temporary")
	s.aws(t, "iam", "remove-role-from-instance-profile", "--instance-profile-name", "temporary", "--role-name",
		"temporary")
	s.refused(t, "DeleteConflict", "iam", "delete-role", "--role-name", "temporary")
	s.aws(t, "iam", "delete-role-policy", "--role-name", "temporary", "--policy-name", "p")
	s.aws(t, "iam", "delete-role", "--role-name", "temporary")
	s.aws(t, "iam", "delete-instance-profile", "--instance-profile-name", "temporary")
	s.refused(t, "NoSuchEntity", "iam", "get-role", "--role-name", "temporary")
	s.refused(t, "NoSuchEntity", "iam", "get-instance-profile", "--instance-profile-name", "temporary")
	s.refused(t, "MalformedPolicyDocument", "iam", "put-role-policy", "--role-name", "bakery", "--policy-name", "p",
		"--policy-document", "{")
	wrong := shell{s.lab, append(s.env, "AWS_SECRET_ACCESS_KEY=wrong")}
	wrong.refused(t, "SignatureDoesNotMatch", "iam", "list-roles")
}

func TestEC2KnowsANewInstanceProfileAfterTheDelay(t *testing.T) {
	t.Parallel()
	s := newShell(t, lab.Options{IAMDelay: time.Hour})
	s.newProfile(t, "new", `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	try := func(profile string) []string {
		return []string{"ec2", "run-instances", "--dry-run", "--image-id", s.lab.Value("BAKERY_LAB_AMI"),
			"--instance-type", "t3.nano", "--iam-instance-profile", profile}
	}
	s.refused(t, "InvalidParameterValue", try("Name=new")...)
	s.refused(t, "InvalidParameterValue", try("Arn=arn:aws:iam::"+cloud.Account+":instance-profile/new")...)
	s.refused(t, "DryRunOperation", try("Name=bakery")...)
	s.refused(t, "DryRunOperation", try("Arn=arn:aws:iam::"+cloud.Account+":instance-profile/bakery")...)
}
