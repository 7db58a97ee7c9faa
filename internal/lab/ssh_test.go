// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// greeter runs machines whose SSH server sends a greeting.
var greeter = labtest.Runner{SSH: func(c net.Conn) {
	_, _ = io.WriteString(c, "SSH-2.0-lab\r\n")
	_ = c.Close()
}}

// ssh connects to an address until the result is the wanted one: a greeting, or an error.
func ssh(t *testing.T, address string, want error) {
	t.Helper()
	var got error
	var text []byte
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var conn net.Conn
		if conn, got = net.Dial("tcp4", address+":22"); got == nil {
			text, _ = io.ReadAll(conn)
			_ = conn.Close()
		}
		if errors.Is(got, want) && (want != nil || strings.HasPrefix(string(text), "SSH-2.0-lab")) {
			return
		}
	}
	t.Errorf("%s: %v and %q, want %v", address, got, text, want)
}

func (s shell) launch(t *testing.T, args ...string) string {
	t.Helper()
	id := s.aws(t, append([]string{"ec2", "run-instances", "--image-id", s.lab.Value("BAKERY_LAB_AMI"),
		"--instance-type", "t3.nano",
		"--query", "Instances[0].InstanceId", "--output", "text"}, args...)...)
	s.until(t, id, types.InstanceStateNameRunning)
	return id
}

// until waits for an instance's state. The waiters of awscli would poll every 15 seconds only.
func (s shell) until(t *testing.T, id string, state types.InstanceStateName) {
	t.Helper()
	untilState(t, ec2.NewFromConfig(sdk(s.lab)), id, state)
}

func (s shell) publicIP(t *testing.T, id string) string {
	t.Helper()
	return s.aws(t, "ec2", "describe-instances", "--instance-ids", id, "--query",
		"Reservations[0].Instances[0].PublicIpAddress", "--output", "text")
}

func TestSSHIsReachableOnlyWhenASecurityGroupAllowsIt(t *testing.T) {
	t.Parallel()
	s := newShell(t, lab.Options{Runner: greeter})
	group := s.aws(t, "ec2", "create-security-group", "--group-name", "ssh", "--description", "d", "--query", "GroupId",
		"--output", "text")
	id := s.launch(t, "--security-group-ids", group)
	ip := s.publicIP(t, id)
	ssh(t, ip, syscall.ECONNREFUSED)
	rule := []string{"--group-id", group, "--protocol", "tcp", "--port", "22", "--cidr"}
	for _, cidr := range []string{"0.0.0.0/0", "127.0.0.0/8"} {
		s.aws(t, append(append([]string{"ec2", "authorize-security-group-ingress"}, rule...), cidr)...)
		ssh(t, ip, nil)
		s.aws(t, append(append([]string{"ec2", "revoke-security-group-ingress"}, rule...), cidr)...)
		ssh(t, ip, syscall.ECONNREFUSED)
	}
	for _, useless := range [][]string{{"--port", "22", "--cidr", "10.0.0.0/8"}, {"--port", "0", "--cidr", "0.0.0.0/0"},
		{"--port", "23-80", "--cidr", "0.0.0.0/0"}} {
		s.aws(t, append([]string{"ec2", "authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp"},
			useless...)...)
	}
	ssh(t, ip, syscall.ECONNREFUSED)
	s.aws(t, append(append([]string{"ec2", "authorize-security-group-ingress"}, rule...), "127.0.0.1/32")...)
	ssh(t, ip, nil)
	s.aws(t, "ec2", "reboot-instances", "--instance-ids", id)
	ssh(t, ip, nil)
	s.aws(t, "ec2", "stop-instances", "--instance-ids", id)
	s.until(t, id, types.InstanceStateNameStopped)
	ssh(t, ip, syscall.ECONNREFUSED)
	if got := s.publicIP(t, id); got != "None" {
		t.Errorf("a stopped instance has the address %s", got)
	}
	s.aws(t, "ec2", "start-instances", "--instance-ids", id)
	s.until(t, id, types.InstanceStateNameRunning)
	if again := s.publicIP(t, id); again == ip {
		t.Errorf("it has the address %s it had before", again)
	} else {
		ssh(t, again, nil)
	}
}

func TestLaunchWithoutAPublicAddress(t *testing.T) {
	t.Parallel()
	s := newShell(t, lab.Options{})
	id := s.launch(t, "--no-associate-public-ip-address")
	if got := s.publicIP(t, id); got != "None" {
		t.Errorf("address %s", got)
	}
	if got := s.publicIP(t, s.launch(t, "--associate-public-ip-address")); !strings.HasPrefix(got, "127.80.") {
		t.Errorf("address %s", got)
	}
}
