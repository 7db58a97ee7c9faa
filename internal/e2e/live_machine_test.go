// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// sshMachine is a machine of the lab that is reachable with SSH, launched as amazon-ebs does.
type sshMachine struct {
	*lab
	id, address, key string
}

// startSSH starts a machine of a suite and ends it with the test. User data may be empty.
func (l *lab) startSSH(t *testing.T, suite, userData string) *sshMachine {
	t.Helper()
	machineSlots.acquire(t)
	m := &sshMachine{lab: l, key: filepath.Join(t.TempDir(), "key")}
	generate := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", m.key)
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	public, err := os.ReadFile(m.key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	in := m.prepare(t, public)
	in.ImageId = aws.String(l.values["BAKERY_LAB_AMI_"+strings.ToUpper(suite)])
	in.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte("#cloud-config\n" + userData)))
	out, err := m.ec2(m.values["AWS_REGION"]).RunInstances(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	m.id = *out.Instances[0].InstanceId
	t.Cleanup(func() { m.end(t, *in.KeyName, in.SecurityGroupIds[0]) })
	m.mustWaitFor(t, m.id, "running")
	shown, err := m.ec2(m.values["AWS_REGION"]).DescribeInstances(t.Context(),
		&ec2.DescribeInstancesInput{InstanceIds: []string{m.id}})
	if err != nil {
		t.Fatal(err)
	}
	m.address = *shown.Reservations[0].Instances[0].PublicIpAddress
	return m
}

// waitForCloudInit waits until cloud-init has ended. Sessions from before then lack the locale, which it sets.
func (m *sshMachine) waitForCloudInit(t *testing.T) {
	t.Helper()
	var err error
	for range 12_000 {
		if _, err = m.exec(t, m.id, "test", "-e", "/run/cloud-init/result.json"); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("cloud-init did not end: %v", err)
}

// prepare makes the key pair and the security group of a machine, and returns how to launch it.
func (m *sshMachine) prepare(t *testing.T, public []byte) *ec2.RunInstancesInput {
	t.Helper()
	name, c := testName(t), m.ec2(m.values["AWS_REGION"])
	_, err := c.ImportKeyPair(t.Context(), &ec2.ImportKeyPairInput{KeyName: &name, PublicKeyMaterial: public})
	if err != nil {
		t.Fatal(err)
	}
	group, err := c.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{
		GroupName: &name, Description: aws.String("live"),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: group.GroupId, IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22),
		CidrIp: aws.String("127.0.0.0/8"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &ec2.RunInstancesInput{
		InstanceType: types.InstanceTypeT3Micro, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		KeyName: &name, SecurityGroupIds: []string{*group.GroupId},
	}
}

// end terminates the machine and removes its key pair and security group.
func (m *sshMachine) end(t *testing.T, key, group string) {
	t.Helper()
	ctx, c := context.Background(), m.ec2(m.values["AWS_REGION"]) // the test's own context has ended by now
	_, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{m.id}})
	err = errors.Join(err, m.waitFor(ctx, m.id, ""))
	_, groupErr := c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: &group})
	_, keyErr := c.DeleteKeyPair(ctx, &ec2.DeleteKeyPairInput{KeyName: &key})
	if err := errors.Join(err, groupErr, keyErr); err != nil {
		t.Error(err)
	}
}

// apply applies an Image-Source over SSH.
func (m *sshMachine) apply(t *testing.T, source string, vars ...string) packertest.Result {
	t.Helper()
	vars = append([]string{"source=" + source, "host=" + m.address, "key=" + m.key}, vars...)
	return m.build(t, absolute(t, "testdata/live.pkr.hcl"), vars...)
}

// image stops the machine and makes an image of it.
func (m *sshMachine) image(t *testing.T) string {
	t.Helper()
	c := m.ec2(m.values["AWS_REGION"])
	if _, err := c.StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{m.id}}); err != nil {
		t.Fatal(err)
	}
	m.mustWaitFor(t, m.id, "stopped")
	out, err := c.CreateImage(t.Context(), &ec2.CreateImageInput{InstanceId: &m.id, Name: aws.String(testName(t))})
	if err != nil {
		t.Fatal(err)
	}
	m.mustWaitFor(t, *out.ImageId, "available")
	return *out.ImageId
}

// leftBehind lists what the provisioner must have removed.
func (m *sshMachine) leftBehind(t *testing.T) string {
	t.Helper()
	return m.sh(
		t,
		m.id,
		"ls -d /var/lib/bakery /run/bakery /run/bakery-bootcmd* /tmp/bakery* /var/tmp/bakery* 2>/dev/null; pgrep -af "+
			"'[/]var/lib/bakery/bakery.sh'; true",
	)
}
