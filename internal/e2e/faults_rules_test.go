// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// kind is how long a fault lasts.
type kind string

const (
	transient  kind = "transient"   // the call is made again, and the bake succeeds
	lostAnswer kind = "lost answer" // the same, but the first call has taken effect: it must not do so twice
	permanent  kind = "permanent"   // every call fails, and the bake has to do without it
)

// fault is a way to break a call.
type fault struct {
	name string
	kind kind
	code func(c brokenCall) string   // in the lab's form, with colons; "" where it does not apply to the call
	says func(c brokenCall) []string // what the bake must print when it fails because of the call
	all  bool                        // every call fails from this one on, not only those of its action
	many int                         // how many calls are broken; 0 is one, or all when the kind is permanent
	slow bool                        // the bake waits for a minute or more
}

// brokenCall is the call that a fault breaks.
type brokenCall struct {
	service, action string
	key             string // of S3: the last part of the object's key
	nth             int    // counted from 1; 0 for all calls of the cleaning up
	calls           int    // of the action in the scenario, without the cleaning up
}

func (c brokenCall) String() string {
	what := c.action
	if c.key != "" {
		what += " " + c.key
	}
	if c.nth == 0 {
		return what + " in cleaning up"
	}
	return fmt.Sprintf("%s %d of %d", what, c.nth, c.calls)
}

// ofMachine reports whether the machine makes the call, with a presigned URL.
func (c brokenCall) ofMachine() bool {
	ofPacker := c.key == "log.gz" || c.key == "commitment" // to read
	return c.action == "GetObject" && !ofPacker || c.action == "PutObject" && ofPacker
}

func always(code string) func(brokenCall) string { return func(brokenCall) string { return code } }

// codeWhen returns a code for the calls that a function returns true for.
func codeWhen(code string, applies func(brokenCall) bool) func(brokenCall) string {
	return func(c brokenCall) string {
		if !applies(c) {
			return ""
		}
		return code
	}
}

func isOneOf(actions ...string) func(brokenCall) bool {
	return func(c brokenCall) bool { return slices.Contains(actions, c.action) }
}

// withoutErrorBody reports whether S3 answers a call with a status and no reason.
var withoutErrorBody = isOneOf("HeadBucket", "HeadObject")

// saying returns what the bake must print; for calls without a reason, that S3 refuses them.
func saying(words ...string) func(brokenCall) []string {
	return func(c brokenCall) []string {
		if withoutErrorBody(c) {
			return []string{"S3 refuses " + c.action}
		}
		return words
	}
}

// creating reports whether a call makes something that has a quota.
var creating = isOneOf("RunInstances", "CreateSecurityGroup", "CreateImage", "CopyImage", "RegisterImage", "CreateRole",
	"CreateInstanceProfile")

// faultNotVisibleYet is the fault that hides what is younger than notVisibleFor.
const (
	faultNotVisibleYet = "not known yet"
	notVisibleFor      = 4 * time.Second
)

// eventuallyConsistent reports whether the service may not find for a while what it has made.
func eventuallyConsistent(c brokenCall) bool { return c.service == "ec2" || c.service == "iam" }

// conflictErrors are the errors with which EC2 and IAM refuse calls while something else is not finished.
var conflictErrors = map[string]string{
	"ModifyInstanceAttribute": "IncorrectInstanceState", "CreateImage": "IncorrectInstanceState",
	"DeleteSecurityGroup": "DependencyViolation",
	"DeleteRole":          "DeleteConflict", "DeleteInstanceProfile": "DeleteConflict",
	"DeleteSnapshot": "InvalidSnapshot.InUse", "DeleteVolume": "VolumeInUse",
}

// faults lists all ways to break a call.
func faults() []fault {
	outOfOrder := saying("AWS is out of order")
	unreachable := func(brokenCall) []string { return []string{"see that AWS can be reached from here"} }
	return []fault{
		{name: "throttled once", kind: transient, code: always("throttle")},
		{name: "500 once", kind: transient, code: always("500")},
		{name: "503 once", kind: transient, code: always("503")},
		{name: "reset before", kind: transient, code: always("reset")},
		{name: "slow", kind: transient, code: always("slow=2s")},
		{name: "hanging", kind: transient, code: always("hang=10m"), slow: true},
		{name: "upload cut", kind: transient, code: codeWhen("cut=1000", isOneOf("PutObject", "UploadPart"))},
		{name: faultNotVisibleYet, kind: transient, many: 1e6,
			code: codeWhen("unknown="+notVisibleFor.String(), eventuallyConsistent)},
		{name: "not settled yet", kind: transient, code: func(c brokenCall) string { return conflictErrors[c.action] },
			many: 2},
		{name: "500 after effect", kind: lostAnswer, code: always("500:after")},
		{name: "reset after effect", kind: lostAnswer, code: always("reset:after")},
		{name: "hanging after effect", kind: lostAnswer, code: always("hang=10m:after"), slow: true},
		{name: "answer cut", kind: lostAnswer, code: codeWhen("cut=60",
			func(c brokenCall) bool { return c.service == "ec2" || c.service == "iam" })},
		{name: "throttled for ever", kind: permanent, code: always("throttle"),
			says: saying("AWS throttles the account; bake again later, or raise max_retries")},
		{name: "500 for ever", kind: permanent, code: always("500"), says: outOfOrder},
		{name: "503 for ever", kind: permanent, code: always("503"), says: outOfOrder},
		{name: "reset for ever", kind: permanent, code: always("reset"), says: unreachable},
		{name: "not allowed", kind: permanent, code: always("denied"),
			says: func(brokenCall) []string { return []string{"allow ", "docs/iam"} }},
		{name: "credentials expired", kind: permanent, code: always("expired"),
			says: saying("credentials have expired", "renew them"), all: true},
		{name: "quota used up", kind: permanent, code: codeWhen("quota", creating),
			says: saying("a quota of the account is used up")},
		{name: "no capacity", kind: permanent, code: codeWhen("capacity", isOneOf("RunInstances")),
			says: saying("AWS has no room for the machine")},
		{name: "refused after effect", kind: permanent, code: always("TestSaysSo:after"), says: saying("TestSaysSo")},
	}
}

// deleting are the actions that remove what a bake has made. When one fails, what it would have removed stays, and the
// bake names it.
var deleting = []string{
	"TerminateInstances", "DeleteVolume", "DeleteSecurityGroup", "DeleteObject", "DeleteObjects",
	"CancelSpotInstanceRequests", "RemoveRoleFromInstanceProfile", "DeleteInstanceProfile", "DeleteRolePolicy",
	"DeleteRole", "DisableImageDeregistrationProtection", "DeregisterImage", "DeleteSnapshot", "AbortMultipartUpload",
}

// optionalActions are the actions that a bake does not need, and why.
var optionalActions = map[string]string{
	"GetConsoleOutput":             "the verdict is in the staged log as well, and not needed with verdict = stop",
	"DescribeSpotPriceHistory":     "the types are tried in the template's order",
	"DescribeSpotInstanceRequests": "whether AWS was about to take the machine back cannot be told, and is told so",
	"GetInstanceProfile":           "RunInstances says as well that there is no such profile",
	"CreateTags":                   "what lacks the tag bakery:self is named by the sweep, and told",
}

// lookingAhead are the actions that look at settings of the account that would make a bake fail later. Without the
// right to one, the bake goes on.
var lookingAhead = []string{
	"GetEbsEncryptionByDefault", "GetEbsDefaultKmsKeyId", "GetImageBlockPublicAccessState",
	"GetSnapshotBlockPublicAccessState", "GetObjectLockConfiguration",
}

// applies reports whether a fault can break a call of the scenario, and there is one right outcome.
func (s *scenario) applies(f fault, c brokenCall) bool {
	_, may := optionalActions[c.action]
	switch {
	case f.code(c) == "":
		return false
	// what has expired is old, or is left to the next sweep
	case s.sweeps && (f.name == "not known yet" || f.name == "not settled yet"):
		return false
	case slices.ContainsFunc(s.ownFaults, func(text string) bool { return strings.HasPrefix(text, c.action+"=") }) &&
		f.kind == permanent:
		return false // the scenario breaks it itself
	case f.all:
		// After a call that the bake does not need, the outcome depends on the next call. A presigned URL expires by
		// itself.
		optional := may || s.replaces && c.action == "DescribeSnapshots"
		return !optional && !c.ofMachine() && c.key != "log.gz" && c.key != "commitment"
	}
	return true
}

// canDoWithout reports whether the bake succeeds without a call that a permanent fault breaks.
func (s *scenario) canDoWithout(f fault, c brokenCall) bool {
	_, may := optionalActions[c.action]
	after := strings.HasSuffix(f.code(c), ":after")
	switch {
	case s.sweeps:
		return false
	case c.action == "GetConsoleOutput" && s.verdictOnConsole, c.action == "GetObject" && c.key == "log.gz" &&
		s.verdictInLog:
		return false
	case c.nth == 0, may, c.action == "GetObject" && c.key == "log.gz":
		return true
	case slices.Contains(lookingAhead, c.action): // S3 without Object Lock does not know the call
		return f.name == "not allowed" || c.action == "GetObjectLockConfiguration" && after
	case c.action == "HeadBucket" || c.action == "HeadObject":
		return f.name == "not allowed" // the right to upload does not need the right to look
	case c.action == "PutObject" && c.key == "log.gz": // the console has the verdict
		return true
	case c.action == "CreateSecurityGroup" || c.action == "CompleteMultipartUpload":
		return after // the builder finds what was made
	case c.action == "DeleteSnapshot", c.action == "DescribeSnapshots": // of force_delete_snapshot, at the end
		return s.replaces && !f.all
	case c.action == "DeregisterImage":
		return s.replaces && after
	}
	return false
}

// expected is the outcome that a bake must have.
type expected struct {
	succeeds bool
	says     []string // in its error, or in all output when it succeeds
	leaves   bool     // it may leave things that it names
}

func (s *scenario) expect(f fault, c brokenCall) expected {
	e := expected{succeeds: s.fails == ""}
	if s.fails != "" {
		e.says = []string{s.fails}
	}
	if f.kind != permanent {
		return e
	}
	e.leaves = f.all || c.nth == 0 || slices.Contains(deleting, c.action) || reading(c.action)
	switch {
	case c.nth == 0 && f.name != "refused after effect": // it was removed
		e.says = append(e.says, f.says(c)...)
	case !s.canDoWithout(f, c): // the fault comes before the scenario's own failure
		e.succeeds, e.says = false, f.says(c)
		if c.ofMachine() {
			e.says = machineSays[c.key]
		}
	}
	return e
}

// machineSays is what the bake prints when the machine cannot download an object.
var machineSays = map[string][]string{
	"fs.tgz":     {"fetching fs.tgz failed"},
	"user-data":  {"cloud-init failed with exit status 1"},
	"commitment": {"S3 gave this machine no good answer"},
}

// reading reports whether the cleaning up needs an action to find what to remove.
func reading(action string) bool {
	return slices.Contains([]string{
		"DescribeInstances", "DescribeImages", "DescribeSnapshots", "DescribeSecurityGroups",
		"DescribeSpotInstanceRequests",
	}, action)
}
