// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// startPausedLab starts a lab whose machines wait until the test powers them off, so that it can look at them.
func startPausedLab(t *testing.T) (q *quickLab, runs <-chan *labtest.Machine) {
	t.Helper()
	running := make(chan *labtest.Machine)
	q = startQuickLabWith(t, func(m *labtest.Machine) {
		select {
		case running <- m:
		case <-t.Context().Done():
		}
	})
	return q, running
}

// describedInstance is a machine as EC2 describes it.
type describedInstance struct {
	InstanceId, InstanceType string //nolint:revive,staticcheck // the names of EC2
	SubnetId, ImageId        string //nolint:revive,staticcheck // the names of EC2
	InstanceLifecycle        string
	EbsOptimized             bool
	Placement                struct{ Tenancy string }
	MetadataOptions          struct {
		HttpTokens, HttpEndpoint, InstanceMetadataTags string //nolint:revive,staticcheck // the names of EC2
		HttpPutResponseHopLimit                        int    //nolint:revive,staticcheck // the name of EC2
	}
	CapacityReservationSpecification struct{ CapacityReservationPreference string }
	Licenses                         []struct{ LicenseConfigurationArn string }
	IamInstanceProfile               struct{ Arn string }
	Tags                             []keyValue
}

func (l *lab) machine(t *testing.T) describedInstance {
	t.Helper()
	all := l.runningInstances(t)
	if len(all) != 1 {
		t.Fatalf("%d machines run", len(all))
	}
	return as[describedInstance](t, all[0])
}

// waitForOwnTags waits until the only machine has the tag with its own id, which it gets after its launch.
func (l *lab) waitForOwnTags(t *testing.T) {
	t.Helper()
	hasOwn := func(tag keyValue) bool { return tag.Key == "bakery:self" }
	for range 6000 {
		if slices.ContainsFunc(l.machine(t).Tags, hasOwn) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the machine has no tag bakery:self")
}

// TestRunOptions checks with awscli the settings of the machine that amazon-ebs has as well.
func TestRunOptions(t *testing.T) {
	t.Parallel()
	q, running := startPausedLab(t)
	l := q.client()
	done := make(chan packertest.Result)
	go func() { done <- l.build(t, absolute(t, "testdata/run.pkr.hcl")) }()
	var guest *labtest.Machine
	select {
	case guest = <-running:
	case r := <-done:
		t.Fatalf("the bake ended before there was a machine: exit status %d", r.Code)
	}
	l.waitForOwnTags(t)
	m := l.machine(t)
	var bake string
	for _, tag := range m.Tags {
		if tag.Key == "bakery:bake-id" {
			bake = tag.Value
		}
	}
	checkMachine(t, l, m, bake)
	checkDisk(t, l, bake)
	checkRole(t, l, bake)
	guest.PowerOff()
	r := <-done
	if r.Code != 0 {
		t.Fatal("the bake failed")
	}
	want := "these settings have no effect: communicator, ssh_timeout, temporary_key_pair_type. "
	if strings.Count(r.Output, want) != 1 {
		t.Errorf("packer does not print once %q", want)
	}
	if left := l.roles(t); left != "[]" {
		t.Errorf("left of IAM: %s", left)
	}
	for _, what := range q.left(t) {
		if !strings.HasSuffix(what, " run") && !strings.Contains(what, " snap-") {
			t.Errorf("left behind: %s", what)
		}
	}
}

func checkMachine(t *testing.T, l *lab, m describedInstance, bake string) {
	t.Helper()
	tags := tagsOf(m.Tags)
	var shown []describedInstance
	l.aws(t, &shown, "ec2", "describe-instances", "--instance-ids", m.InstanceId, "--query",
		"Reservations[].Instances[]")
	if diff := cmp.Diff([]describedInstance{m}, shown); diff != "" {
		t.Errorf("awscli reads something else (-SDK +awscli):\n%s", diff)
	}
	var credits, shutdown string
	l.aws(t, &credits, "ec2", "describe-instance-credit-specifications", "--instance-ids", m.InstanceId,
		"--query", "InstanceCreditSpecifications[0].CpuCredits")
	l.aws(t, &shutdown, "ec2", "describe-instance-attribute", "--instance-id", m.InstanceId, "--attribute",
		"instanceInitiatedShutdownBehavior", "--query", "InstanceInitiatedShutdownBehavior.Value")
	got := []any{
		m.InstanceType, m.EbsOptimized, m.Placement.Tenancy, m.MetadataOptions.HttpTokens,
		m.MetadataOptions.HttpPutResponseHopLimit,
		m.MetadataOptions.InstanceMetadataTags, m.CapacityReservationSpecification.CapacityReservationPreference,
		len(m.Licenses), credits, shutdown,
		tags["team"], tags["once"],
	}
	want := []any{"t3.small", true, "dedicated", "optional", 2, "enabled", "open", 1, "unlimited", "stop", "ovens",
		"us-east-1 a-b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the machine (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(tags["from"], "debian-1") {
		t.Errorf("it is from %q", tags["from"])
	}
	if !strings.HasSuffix(m.IamInstanceProfile.Arn, "-"+bake) ||
		!strings.Contains(m.IamInstanceProfile.Arn, "/bakery-") {
		t.Errorf("its profile is %s", m.IamInstanceProfile.Arn)
	}
}

func checkDisk(t *testing.T, l *lab, bake string) {
	t.Helper()
	var disks []struct {
		Size, Iops, Throughput int
		VolumeType             string
		Encrypted              bool
		Tags                   []keyValue
	}
	l.aws(t, &disks, "ec2", "describe-volumes", "--query", "Volumes")
	if len(disks) != 1 {
		t.Fatalf("%d disks", len(disks))
	}
	d := disks[0]
	tags := tagsOf(d.Tags)
	got := []any{d.Size, d.Iops, d.Throughput, d.VolumeType, d.Encrypted, tags["of"], tags["team"],
		strings.HasPrefix(tags["disk"], "ami-")}
	if diff := cmp.Diff([]any{9, 3100, 130, "gp3", true, "volumes", "ovens", true}, got); diff != "" {
		t.Errorf("the disk (-want +got):\n%s", diff)
	}
	var groups []struct{ Tags []keyValue }
	l.aws(t, &groups, "ec2", "describe-security-groups", "--filters", "Name=tag:bakery:bake-id,Values="+bake,
		"--query", "SecurityGroups[?!IpPermissions]")
	if len(groups) != 1 || tagsOf(groups[0].Tags)["team"] != "ovens" {
		t.Errorf("the groups that let nothing in: %+v", groups)
	}
}

// checkRole checks the role that the machine has while it bakes.
func checkRole(t *testing.T, l *lab, bake string) {
	t.Helper()
	// Its name begins with when it expires, and ends with the id of the bake.
	var names []string
	l.aws(t, &names, "iam", "list-roles", "--query", "Roles[?ends_with(RoleName, '-"+bake+"')].RoleName")
	if len(names) != 1 || !strings.HasPrefix(names[0], "bakery-") {
		t.Fatalf("the roles of the bake are %q", names)
	}
	var action string
	l.aws(t, &action, "iam", "get-role-policy", "--role-name", names[0], "--policy-name", names[0],
		"--query", "PolicyDocument.Statement[0].Action[0]")
	var role string
	l.aws(t, &role, "iam", "get-instance-profile", "--instance-profile-name", names[0], "--query",
		"InstanceProfile.Roles[0].RoleName")
	if action != "s3:GetObject" || role != names[0] {
		t.Errorf("the role %s may %s", role, action)
	}
}

// roles lists the roles and instance profiles of bakes.
func (l *lab) roles(t *testing.T) string {
	t.Helper()
	profiles := l.aws(t, nil, "iam", "list-instance-profiles", "--query",
		"InstanceProfiles[?starts_with(InstanceProfileName, 'bakery-')].InstanceProfileName")
	roles := l.aws(t, nil, "iam", "list-roles", "--query", "Roles[?starts_with(RoleName, 'bakery-')].RoleName")
	if all := strings.TrimSpace(roles) + strings.TrimSpace(profiles); all != "[][]" {
		return all
	}
	return "[]"
}

// requests lists the states of all spot requests.
func (l *lab) requests(t *testing.T) []string {
	t.Helper()
	all, err := l.state(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, r := range all {
		if r.Kind == "spot-request" {
			states = append(states, r.State)
		}
	}
	return states
}

// TestRunSpot checks that a bake on a Spot Instance starts again once when AWS takes the instance back, with notice or
// without.
func TestRunSpot(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fallback  string
		taken     []string // the notice of each machine that is taken back; "" powers off by itself
		lifecycle string   // of the last machine
		fails     string
	}{
		"whole":                       {"spot", []string{""}, "spot", ""},
		"taken back":                  {"spot", []string{"0s", ""}, "spot", ""},
		"taken back, then on demand":  {"on-demand", []string{"0s", ""}, "", ""},
		"marked while it bakes":       {"spot", []string{"1h", ""}, "spot", ""},
		"taken back and not to retry": {"none", []string{"0s"}, "spot", "took the Spot Instance"},
		"taken back twice":            {"spot", []string{"0s", "0s"}, "spot", "took the Spot Instance"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, running := startPausedLab(t)
			l := q.client()
			type ended struct {
				printed string
				err     error
			}
			done := make(chan ended)
			go func() {
				_, printed, err := q.bake(t, map[string]any{
					"spot_price": "auto", "spot_instance_types": []string{"m5.large", "t3.small"},
					"spot_fallback": tc.fallback,
					"spot_tags":     map[string]any{"team": "ovens"},
				})
				done <- ended{printed, err}
			}()
			var last describedInstance
			for i, notice := range tc.taken {
				guest := <-running
				last = l.machine(t)
				if first := i == 0; first && last.InstanceType != "t3.small" {
					t.Errorf("the first machine is a %s, and a t3.small costs less", last.InstanceType)
				} else if !first && last.InstanceType == "t3.small" {
					t.Error("the second machine is of the type that was taken back")
				}
				if notice != "" {
					q.reclaim(t, last.InstanceId, notice)
				}
				if notice == "" {
					guest.PowerOff()
				}
			}
			end := <-done
			if tc.fails == "" && end.err != nil || tc.fails != "" &&
				(end.err == nil || !strings.Contains(end.err.Error(), tc.fails)) {
				t.Errorf("error %v, want %q\n%s", end.err, tc.fails, end.printed)
			}
			if last.InstanceLifecycle != tc.lifecycle {
				t.Errorf("the last machine's lifecycle is %q, want %q", last.InstanceLifecycle, tc.lifecycle)
			}
			for _, state := range l.requests(t) {
				if state != "cancelled" {
					t.Errorf("a spot request is %s", state)
				}
			}
			for _, what := range q.left(t) {
				if !strings.HasSuffix(what, " quick") && !strings.Contains(what, " snap-") || tc.fails != "" {
					t.Errorf("left behind: %s", what)
				}
			}
		})
	}
}
