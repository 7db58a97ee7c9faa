// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"slices"
	"strings"
)

// kind is what a fault does to a bake.
type kind string

const (
	passing kind = "passing" // the call is made again, and the bake is as if nothing had been
	lost    kind = "lost"    // so it is, though the call has taken effect: it must not do so twice
	lasting kind = "lasting" // it stays, and the bake has to do without the call
)

// fault is a way to break a call.
type fault struct {
	name string
	kind kind
	code func(c broken) string // as the lab has it, with colons; "" where the call cannot be broken so
	says []string              // what the bake's words must contain when it could not do without the call
	all  bool                  // every call is broken from this one on, not only those of its action
	slow bool                  // whatever it breaks is retried for minutes
}

// broken is the call that a fault breaks.
type broken struct {
	service, action string
	nth             int  // counted from 1; 0 for those of the cleaning up, which begin later
	calls           int  // of the action in the scenario, without the cleaning up
	looks           bool // it is made again and again until something has come to be
}

func (c broken) String() string {
	if c.nth == 0 {
		return c.action + " in cleaning up"
	}
	return fmt.Sprintf("%s %d of %d", c.action, c.nth, c.calls)
}

func always(code string) func(broken) string { return func(broken) string { return code } }

// byService is a code that each service has a name of its own for.
func byService(names map[string]string) func(broken) string {
	return func(c broken) string { return names[c.service] }
}

// byAction is a code that some actions are refused with.
func byAction(names map[string]string) func(broken) string {
	return func(c broken) string { return names[c.action] }
}

const (
	outOfOrder  = "AWS is out of order"
	throttles   = "AWS throttles the account; bake again later, or raise max_retries"
	unreachable = "see that AWS can be reached from here"
)

// faults are all ways to break a call.
func faults() []fault {
	return []fault{
		{name: "throttled once", kind: passing, code: always("throttle")},
		{name: "500 once", kind: passing, code: always("500")},
		{name: "reset before", kind: passing, code: always("reset")},
		{name: "slow", kind: passing, code: always("slow=2s")},
		{name: "not found yet", kind: passing, code: byAction(notFoundYet)},
		{name: "500 after effect", kind: lost, code: always("500:after")},
		{name: "reset after effect", kind: lost, code: always("reset:after")},
		{name: "throttled for ever", kind: lasting, code: always("throttle"), says: []string{throttles}, slow: true},
		{name: "500 for ever", kind: lasting, code: always("500"), says: []string{outOfOrder}, slow: true},
		{name: "reset for ever", kind: lasting, code: always("reset"), says: []string{unreachable}, slow: true},
		{
			name: "not allowed", kind: lasting, says: []string{"allow ", "docs/iam"},
			code: byService(map[string]string{"ec2": "UnauthorizedOperation", "s3": "AccessDenied", "iam": "AccessDenied", "ssm": "AccessDeniedException", "sts": "AccessDenied"}),
		},
		{
			name: "credentials expired", kind: lasting, says: []string{"credentials have expired", "renew them"}, all: true,
			code: byService(map[string]string{"ec2": "RequestExpired", "s3": "ExpiredToken", "iam": "ExpiredToken", "ssm": "ExpiredTokenException", "sts": "ExpiredToken"}),
		},
		{name: "quota", kind: lasting, code: byAction(quotas), says: []string{"a quota of the account is used up"}},
		{name: "no capacity", kind: lasting, code: byAction(map[string]string{"RunInstances": "InsufficientInstanceCapacity"}), says: []string{"AWS has no room for the machine"}},
		{name: "refused after effect", kind: lasting, code: always("TestSaysSo:after"), says: []string{"TestSaysSo"}},
	}
}

// notFoundYet are what EC2 and IAM answer for a moment of what was made a moment ago, by the actions that are told of it.
var notFoundYet = map[string]string{
	"DescribeInstances": "InvalidInstanceID.NotFound", "GetConsoleOutput": "InvalidInstanceID.NotFound",
	"TerminateInstances": "InvalidInstanceID.NotFound", "ModifyInstanceAttribute": "IncorrectInstanceState",
	"CreateImage": "IncorrectInstanceState", "RunInstances": "InvalidGroup.NotFound",
	"CopyImage": "InvalidAMIID.NotFound", "RegisterImage": "InvalidAMIID.NotFound", "ModifyImageAttribute": "InvalidAMIID.NotFound",
	"ModifySnapshotAttribute": "InvalidSnapshot.NotFound", "EnableImageDeprecation": "InvalidAMIID.NotFound",
	"EnableImageDeregistrationProtection": "InvalidAMIID.NotFound", "DeleteSecurityGroup": "DependencyViolation",
	"CancelSpotInstanceRequests": "InvalidSpotInstanceRequestID.NotFound", "DescribeSpotInstanceRequests": "InvalidSpotInstanceRequestID.NotFound",
	"PutRolePolicy": "NoSuchEntity", "AddRoleToInstanceProfile": "NoSuchEntity", "DeleteRole": "DeleteConflict",
	"DeleteInstanceProfile": "DeleteConflict", "DeleteSnapshot": "InvalidSnapshot.InUse", "DeleteVolume": "VolumeInUse",
}

var quotas = map[string]string{
	"RunInstances": "VcpuLimitExceeded", "CreateSecurityGroup": "SecurityGroupLimitExceeded", "CreateImage": "ResourceLimitExceeded",
	"CopyImage": "ResourceLimitExceeded", "RegisterImage": "ResourceLimitExceeded", "CreateRole": "LimitExceeded",
	"CreateInstanceProfile": "LimitExceeded",
}

// removing are the actions that remove what a bake has made. Without one, what it would have removed stays and is named.
var removing = []string{
	"TerminateInstances", "DeleteVolume", "DeleteSecurityGroup", "DeleteObject", "CancelSpotInstanceRequests",
	"RemoveRoleFromInstanceProfile", "DeleteInstanceProfile", "DeleteRolePolicy", "DeleteRole",
	"DisableImageDeregistrationProtection", "DeregisterImage", "DeleteSnapshot", "AbortMultipartUpload",
}

// dispensable are the actions a bake does without when they do not work for good.
var dispensable = map[string]string{
	"GetConsoleOutput":             "verdict = stop: the console shows the progress only",
	"DescribeSpotPriceHistory":     "the types are tried in the template's order",
	"DescribeSpotInstanceRequests": "whether AWS was about to take the machine back cannot be told, and is told so",
	"GetInstanceProfile":           "RunInstances says as well that there is no such profile",
}

// dispensed tells whether the bake can do without a call that a lasting fault breaks.
func (s *scenario) dispensed(f fault, c broken) bool {
	if c.nth == 0 || f.all {
		return c.nth == 0
	}
	if _, ok := dispensable[c.action]; ok {
		return true
	}
	// Who may upload need not be allowed to look.
	return f.name == "not allowed" && (c.action == "HeadBucket" || c.action == "HeadObject") ||
		found(f) && slices.Contains([]string{"CreateSecurityGroup", "CreateImage", "CopyImage", "RegisterImage"}, c.action) ||
		s.replaces && slices.Contains([]string{"DeleteSnapshot"}, c.action) ||
		s.replaces && c.action == "DeregisterImage" && strings.HasSuffix(f.code(c), ":after")
}

// found tells whether what was made can be found although its call failed, so that it is as good as answered.
func found(f fault) bool { return f.kind == lost }

// expected is how a bake has to end.
type expected struct {
	succeeds bool
	says     []string // in its error, or in all that it said when it succeeds
	leaves   bool     // whatever could not be removed, if it is named
}

func (s *scenario) expect(f fault, c broken) expected {
	e := expected{succeeds: s.fails == ""}
	if s.fails != "" {
		e.says = []string{s.fails}
	}
	if f.kind != lasting {
		return e
	}
	e.leaves = f.all || c.nth == 0 || slices.Contains(removing, c.action) || reading(c.action)
	if s.dispensed(f, c) {
		if c.nth == 0 {
			e.says = append(e.says, f.says...)
		}
		return e
	}
	if s.fails == "" || c.nth > 0 {
		e.says = append(e.says, f.says...)
	}
	e.succeeds = false
	if c.nth > 0 && s.fails != "" { // it comes before the scenario's own
		e.says = f.says
	}
	return e
}

// reading tells whether an action is also needed to find what is to be removed.
func reading(action string) bool {
	return slices.Contains([]string{
		"DescribeInstances", "DescribeImages", "DescribeSnapshots", "DescribeSecurityGroups", "DescribeSpotInstanceRequests",
	}, action)
}
