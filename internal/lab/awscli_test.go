// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// shell runs awscli with the lab's environment only.
type shell struct {
	lab *labtest.Lab
	env []string
}

func newShell(t *testing.T, o lab.Options) shell {
	t.Helper()
	l := labtest.Start(t, o)
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1",
		"LC_ALL=C.UTF-8"}
	for _, v := range l.Env() {
		env = append(env, v.Name+"="+v.Value)
	}
	return shell{l, env}
}

// command returns a command of awscli. --endpoint-url is for versions before 2.13, which do not read AWS_ENDPOINT_URL.
func (s shell) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), packertest.AWSCLI(t),
		append([]string{"--endpoint-url", s.lab.URL, "--output", "json"}, args...)...)
	c.Env = s.env
	return c
}

// aws runs a command that must succeed and returns its output.
func (s shell) aws(t *testing.T, args ...string) string {
	t.Helper()
	c := s.command(t, args...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSpace(string(out))
}

// refused runs a command that must fail with an error code.
func (s shell) refused(t *testing.T, code string, args ...string) {
	t.Helper()
	out, err := s.command(t, args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "("+code+")") {
		t.Errorf("aws %s: got %v\n%s\nwant %s", strings.Join(args, " "), err, out, code)
	}
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAwscliBakes(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	s := newShell(t, lab.Options{Runner: labtest.Runner{Guest: func(m *labtest.Machine) {
		_, text := m.Metadata("/latest/user-data")
		asked <- text
		powerOff(m)
	}}})
	id := s.aws(t, "ec2", "run-instances", "--image-id", s.lab.Value("BAKERY_LAB_AMI"), "--instance-type", "t3.nano",
		"--subnet-id", s.lab.Value("BAKERY_LAB_SUBNET"), "--user-data", "file://"+file(t, "ud", "#!/bin/sh\necho hi\n"),
		"--tag-specifications", "ResourceType=instance,Tags=[{Key=Name,Value=cli}]", "--query",
		"Instances[0].InstanceId", "--output", "text")
	if got := <-asked; got != "#!/bin/sh\necho hi\n" {
		t.Errorf("user data: %q", got)
	}
	s.aws(t, "ec2", "wait", "instance-stopped", "--filters", "Name=tag:Name,Values=c*")
	if got := s.aws(t, "ec2", "get-console-output", "--instance-id", id, "--query", "Output"); !strings.Contains(got,
		"hello from the machine") {
		t.Errorf("console: %s", got)
	}
	image := s.aws(t, "ec2", "create-image", "--instance-id", id, "--name", "cli-1", "--query", "ImageId", "--output",
		"text")
	s.aws(t, "ec2", "wait", "image-available", "--image-ids", image)
	for _, filters := range [][]string{
		{"--filters", "Name=name,Values=cli-*"},
		{"--filters", "Name=name,Values=no,cli-?", "Name=architecture,Values=x86_64"}, {"--image-ids", image},
	} {
		args := append([]string{"ec2", "describe-images", "--owners", "self", "--query", "Images[].ImageId", "--output",
			"text"}, filters...)
		if got := s.aws(t, args...); got != image {
			t.Errorf("%v: found %q", filters, got)
		}
	}
	s.refused(t, "InvalidAMIName.Duplicate", "ec2", "create-image", "--instance-id", id, "--name", "cli-1")
	s.aws(t, "ec2", "create-tags", "--resources", image, "--tags", "Key=a,Value=b")
	if got := s.aws(t, "ec2", "describe-tags", "--filters", "Name=resource-id,Values="+image, "--query",
		"Tags[0].Value", "--output", "text"); got != "b" {
		t.Errorf("tag: %q", got)
	}
	s.aws(t, "ec2", "terminate-instances", "--instance-ids", id)
	s.aws(t, "ec2", "deregister-image", "--image-id", image)
}

func TestAwscliErrors(t *testing.T) {
	t.Parallel()
	s := newShell(t, lab.Options{})
	ami := s.lab.Value("BAKERY_LAB_AMI")
	s.refused(t, "InvalidParameterValue", "ec2", "run-instances", "--image-id", ami, "--user-data",
		"file://"+file(t, "ud", strings.Repeat("x", 16385)))
	s.refused(t, "InvalidAMIID.NotFound", "ec2", "run-instances", "--image-id", "ami-0123456789abcdef0")
	s.refused(t, "InvalidInstanceID.NotFound", "ec2", "describe-instances", "--instance-ids", "i-0123456789abcdef0")
	s.refused(t, "DryRunOperation", "ec2", "run-instances", "--image-id", ami, "--dry-run")
	s.refused(t, "ParameterNotFound", "ssm", "get-parameter", "--name", "/none")
	s.refused(t, "404", "s3api", "head-object", "--bucket", lab.Bucket, "--key", "none")
	wrong := shell{s.lab, append(s.env, "AWS_SECRET_ACCESS_KEY=wrong")}
	wrong.refused(t, "AuthFailure", "ec2", "describe-regions")
	wrong.refused(t, "SignatureDoesNotMatch", "sts", "get-caller-identity")
	wrong.refused(t, "SignatureDoesNotMatch", "s3api", "list-objects-v2", "--bucket", lab.Bucket)
}

func TestAwscliReadsParametersAndIdentity(t *testing.T) {
	t.Parallel()
	s := newShell(t, lab.Options{})
	got := s.aws(t, "ssm", "get-parameter", "--name", "/aws/service/debian/release/12/latest/amd64", "--query",
		"Parameter.Value", "--output", "text")
	if got != s.lab.Value("BAKERY_LAB_AMI") {
		t.Errorf("parameter: %q", got)
	}
	s.aws(t, "ssm", "put-parameter", "--name", "/mine/ami", "--value", "ami-1", "--type", "String")
	if got := s.aws(t, "ssm", "get-parameters-by-path", "--path", "/mine", "--query", "Parameters[].Value", "--output",
		"text"); got != "ami-1" {
		t.Errorf("by path: %q", got)
	}
	var who struct{ Account, Arn string }
	if err := json.Unmarshal([]byte(s.aws(t, "sts", "get-caller-identity")), &who); err != nil ||
		who.Account != "123456789012" {
		t.Errorf("%v %v", who, err)
	}
}

// TestAwscliCopies100MiB fails or is slow when the lab does not stream. awscli uploads in parts of 8 MiB.
func TestAwscliCopies100MiB(t *testing.T) {
	t.Parallel()
	s := newShell(t, lab.Options{})
	body := make([]byte, 100<<20)
	_, _ = rand.Read(body)
	path, back := filepath.Join(t.TempDir(), "up"), filepath.Join(t.TempDir(), "down")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	url := "s3://" + lab.Bucket + "/dir/big.bin"
	s.aws(t, "s3", "cp", "--no-progress", path, url)
	s.aws(t, "s3", "cp", "--no-progress", url, back)
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	if got := s.aws(t, "s3", "ls", "s3://"+lab.Bucket+"/dir/"); !strings.Contains(got, "104857600 big.bin") {
		t.Errorf("listed: %s", got)
	}
	presigned := s.aws(t, "s3", "presign", url, "--expires-in", "60")
	c := exec.CommandContext(t.Context(), "curl", "--silent", "--show-error", "--fail", "--noproxy", "*", presigned)
	if got, err := c.Output(); err != nil || !bytes.Equal(got, body) {
		t.Errorf("curl: %d bytes, %v", len(got), err)
	}
	if status, text := fetch(t, http.MethodGet, presigned+"0", io.Reader(nil)); status != http.StatusForbidden ||
		!strings.Contains(text, "SignatureDoesNotMatch") {
		t.Errorf("tampered with: %d %s", status, text)
	}
	s.aws(t, "s3", "rm", "--recursive", "s3://"+lab.Bucket+"/")
}

func TestAwscliPagesAndFilters(t *testing.T) {
	t.Parallel()
	s := newShell(t, lab.Options{})
	s.aws(t, "ec2", "run-instances", "--image-id", s.lab.Value("BAKERY_LAB_AMI"), "--instance-type", "t3.nano",
		"--count", "7", "--tag-specifications", "ResourceType=instance,Tags=[{Key=Name,Value=paged}]")
	got := s.aws(t, "ec2", "describe-instances", "--page-size", "5", "--filters", "Name=tag:Name,Values=pag*",
		"--query", "length(Reservations[].Instances[])", "--output", "json")
	total := 0
	for line := range strings.SplitSeq(got, "\n") { // one for each page
		n, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%v in %q", err, got)
		}
		total += n
	}
	if total != 7 {
		t.Errorf("%d instances: %q", total, got)
	}
	s.refused(t, "DryRunOperation", "ec2", "describe-instances", "--dry-run")
	s.refused(t, "InvalidParameterValue", "ec2", "describe-instances", "--filters", "Name=made-up,Values=x")
	s.refused(t, "ParameterVersionNotFound", "ssm", "get-parameter", "--name",
		"/aws/service/debian/release/12/latest/amd64:999")
}
