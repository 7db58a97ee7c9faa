// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// sshMachine is a machine of the lab that SSH leads to, as amazon-ebs would have started it.
type sshMachine struct {
	*lab
	id, address, key string
}

// startSSH starts a machine of a suite and ends it with the test. User data may be empty.
func (l *lab) startSSH(t *testing.T, suite, userData string) *sshMachine {
	t.Helper()
	m := &sshMachine{lab: l, key: filepath.Join(t.TempDir(), "key")}
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", m.key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	name := testName(t)
	l.aws(t, nil, "ec2", "import-key-pair", "--key-name", name, "--public-key-material", "fileb://"+m.key+".pub")
	var group string
	l.aws(t, &group, "ec2", "create-security-group", "--group-name", name, "--description", "live", "--query", "GroupId")
	l.aws(t, nil, "ec2", "authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "22", "--cidr", "127.0.0.0/8")
	file := filepath.Join(t.TempDir(), "user-data")
	if err := os.WriteFile(file, []byte("#cloud-config\n"+userData), 0o600); err != nil {
		t.Fatal(err)
	}
	l.aws(t, &m.id, "ec2", "run-instances", "--image-id", l.values["BAKERY_LAB_AMI_"+strings.ToUpper(suite)], "--instance-type", "t3.micro",
		"--key-name", name, "--security-group-ids", group, "--user-data", "file://"+file, "--query", "Instances[0].InstanceId")
	env := l.environ(t)
	t.Cleanup(func() {
		// The test's own context has ended by now.
		for _, args := range [][]string{
			{"ec2", "terminate-instances", "--instance-ids", m.id},
			{"ec2", "wait", "instance-terminated", "--instance-ids", m.id},
			{"ec2", "delete-security-group", "--group-id", group},
			{"ec2", "delete-key-pair", "--key-name", name},
		} {
			cmd := exec.Command(packertest.AWSCLI(t), append(args, "--endpoint-url", l.values["AWS_ENDPOINT_URL"])...)
			cmd.Env = env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		}
	})
	l.aws(t, nil, "ec2", "wait", "instance-running", "--instance-ids", m.id)
	l.aws(t, &m.address, "ec2", "describe-instances", "--instance-ids", m.id, "--query", "Reservations[0].Instances[0].PublicIpAddress")
	return m
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
	m.aws(t, nil, "ec2", "stop-instances", "--instance-ids", m.id)
	m.aws(t, nil, "ec2", "wait", "instance-stopped", "--instance-ids", m.id)
	var id string
	m.aws(t, &id, "ec2", "create-image", "--instance-id", m.id, "--name", testName(t), "--query", "ImageId")
	m.aws(t, nil, "ec2", "wait", "image-available", "--image-ids", id)
	return id
}

// leftBehind lists what the provisioner must have removed.
func (m *sshMachine) leftBehind(t *testing.T) string {
	t.Helper()
	return m.sh(t, m.id, "ls -d /var/lib/bakery /run/bakery /tmp/bakery* /var/tmp/bakery* 2>/dev/null; pgrep -af '[/]var/lib/bakery/bakery.sh'; true")
}
