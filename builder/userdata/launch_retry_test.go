// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
)

// launches are the launches that a bake has asked for.
type launches struct {
	tokens, types []string
	at            []time.Time
}

// watchLaunches records all launches. It fails those that a fault fails.
func (b *testBuild) watchLaunches(fault awsfake.Fault) *launches {
	seen := new(launches)
	b.account.FailBefore["RunInstances"] = func(n int) *awsfake.Failure {
		form := b.account.Requests["RunInstances"]
		seen.tokens = append(seen.tokens, form.Get("ClientToken"))
		seen.types = append(seen.types, form.Get("InstanceType"))
		seen.at = append(seen.at, time.Now())
		return fault(n)
	}
	return seen
}

// checkTokens checks that every launch has a token of its own.
func (l *launches) checkTokens(t *testing.T) {
	t.Helper()
	tokens := slices.Clone(l.tokens)
	slices.Sort(tokens)
	if len(slices.Compact(tokens)) != len(l.tokens) {
		t.Errorf("launches share tokens: %q", l.tokens)
	}
}

const noCapacity = "InsufficientInstanceCapacity"

func TestMissingCapacityIsToldAndTriedAgain(t *testing.T) {
	for code, status := range map[string]int{
		noCapacity: 500, "InsufficientHostCapacity": 500, "InsufficientCapacity": 500,
		"InsufficientFreeAddressesInSubnet": 400,
	} {
		t.Run(code, func(t *testing.T) {
			var seen *launches
			b, _, err := runBuild(t, func(b *testBuild) {
				seen = b.watchLaunches(awsfake.FirstCalls(3, status, code))
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(seen.tokens) != 4 {
				t.Errorf("%d launches", len(seen.tokens))
			}
			seen.checkTokens(t)
			if n := strings.Count(b.ui.String(), code); n != 3 {
				t.Errorf("what AWS said is told %d times:\n%s", n, b.ui)
			}
			b.checkSaid("Trying it again in 2s: 2 of 10 times", "Trying it again in 4s: 3 of 10 times",
				"Trying it again in 8s: 4 of 10 times")
			if first, _, ok := strings.Cut(b.ui.String(), "Trying it again"); !ok || !strings.Contains(first, code) {
				t.Error("what AWS said is not told at once")
			}
			b.checkOnlyImageLeft()
		})
	}
}

func TestMissingCapacityEndsWithWhatAWSSaidLast(t *testing.T) {
	var seen *launches
	b, _, err := runBuild(t, func(b *testBuild) {
		seen = b.watchLaunches(awsfake.Always(500, noCapacity))
	})
	checkErrorSays(t, err, "run the machine, a t3.nano", noCapacity, "choose another instance_type")
	if strings.Contains(err.Error(), "deadline") || len(seen.at) != 10 {
		t.Errorf("after %d launches: %v", len(seen.at), err)
	}
	if took := seen.at[len(seen.at)-1].Sub(seen.at[0]); took > 3*time.Minute {
		t.Errorf("it took %s", took)
	}
	seen.checkTokens(t)
	b.checkNothingLeft()
}

// Options for which AWS will never have capacity are not tried again with those for which it may.
func TestOnlyWhatMaySucceedIsTriedAgain(t *testing.T) {
	var seen *launches
	b, _, err := runBuild(t, func(b *testBuild) {
		b.setSpot() // t3.small comes first
		seen = b.watchLaunches(func(n int) *awsfake.Failure {
			if b.account.Requests["RunInstances"].Get("InstanceType") == "t3.small" {
				return &awsfake.Failure{Status: 400, Code: "Unsupported"}
			}
			return awsfake.FirstCalls(4, 500, noCapacity)(n)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(seen.types, " "); got != "t3.small m5.large m5.large m5.large m5.large" {
		t.Errorf("launched %s", got)
	}
	seen.checkTokens(t)
	b.checkSaid("Not launched: ")
}

// What cannot succeed ends at once.
func TestLaunchThatCannotSucceedIsTriedOnce(t *testing.T) {
	for _, code := range []string{
		"UnauthorizedOperation", "VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded",
		"SpotMaxPriceTooLow", "Unsupported", "InvalidParameterCombination", "IncorrectInstanceState",
		"IdempotentParameterMismatch", "OptInRequired",
	} {
		var seen *launches
		b, _, err := runBuild(t, func(b *testBuild) { seen = b.watchLaunches(awsfake.Always(400, code)) })
		checkErrorSays(t, err, "run the machine, a t3.nano", code)
		if len(seen.at) != 1 {
			t.Errorf("%s: %d launches", code, len(seen.at))
		}
		b.checkNothingLeft()
	}
}

// The SDK's own attempts are told as well, and their last error is the bake's.
func TestOutageIsToldAndNotTheDeadline(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.MaxRetries = 100 // so that the time for one call is over first
		b.account.FailBefore["RunInstances"] = awsfake.Always(503, "ServiceUnavailable")
	})
	checkErrorSays(t, err, "EC2 refuses RunInstances", "ServiceUnavailable")
	if err != nil && strings.Contains(err.Error(), "deadline") {
		t.Error(err)
	}
	b.checkSaid("Trying to launch it again: EC2 refuses RunInstances")
	b.checkNothingLeft()
}

// A launch whose answer is lost may have taken effect, whatever EC2 says to its next attempt.
func TestLaunchWithLostAnswerIsNotLaunchedTwice(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.account.FailAfter["RunInstances"] = awsfake.FirstCalls(1, 500, "InternalError")
		b.account.FailBefore["RunInstances"] = awsfake.SecondCall(500, noCapacity)
		b.account.HiddenFromSearches = 2
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := b.account.Count("RunInstances"); n != 2 || b.account.Instance.ID != awsfake.InstanceID(0) {
		t.Errorf("%d launches, and the machine is %s", n, b.account.Instance.ID)
	}
	b.checkOnlyImageLeft()
}

// With -on-error=ask, the user may have the step tried again.
func TestStepThatIsTriedAgainBakesOnAnotherMachine(t *testing.T) {
	for name, c := range map[string]struct {
		staging  bool
		machines int
		fail     func(*testBuild)
		repair   func(*testBuild)
	}{
		"after the machine has failed": {false, 2,
			func(b *testBuild) { b.account.SetReports("begin 1", "verdict fail 3 a.sh") },
			func(b *testBuild) { b.account.SetReports("begin 1", awsfake.Success) }},
		"after the machine has failed, with staging": {true, 2,
			func(b *testBuild) { b.account.SetReports("begin 1", "verdict fail 3 a.sh") },
			func(b *testBuild) { b.account.SetReports("begin 1", awsfake.Success) }},
		"after a launch without capacity": {false, 1,
			func(b *testBuild) { b.account.FailBefore["RunInstances"] = awsfake.Always(400, "Unsupported") },
			func(b *testBuild) { delete(b.account.FailBefore, "RunInstances") }},
		"after a launch whose answers were all lost": {false, 2,
			func(b *testBuild) { b.account.FailAfter["RunInstances"] = awsfake.Always(500, "InternalError") },
			func(b *testBuild) { delete(b.account.FailAfter, "RunInstances") }},
	} {
		t.Run(name, func(t *testing.T) {
			var terminated []string
			b, _, err := runBuild(t, func(b *testBuild) {
				if c.staging {
					b.setStaging()
				}
				c.fail(b)
				answers := "rc"
				b.ask = func() (answer string) {
					b.account.Change(func() { c.repair(b) })
					answer, answers = answers[:1], answers[1:]
					return answer
				}
				b.account.FailBefore["TerminateInstances"] = awsfake.Then(func() {
					terminated = append(terminated, b.account.Requests["TerminateInstances"].Get("InstanceId.1"))
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := b.account.Instance.ID; got != awsfake.InstanceID(c.machines-1) {
				t.Errorf("the last machine is %s", got)
			}
			slices.Sort(terminated)
			if n := len(slices.Compact(terminated)); n != c.machines {
				t.Errorf("terminated: %v", terminated)
			}
			b.checkOnlyImageLeft()
		})
	}
}

func TestMachineWhoseConsoleMayNotBeReadEndsAtOnce(t *testing.T) {
	denied := func(b *testBuild) {
		b.account.FailBefore["GetConsoleOutput"] = awsfake.Always(403, "UnauthorizedOperation")
	}
	for name, c := range map[string]struct {
		set  func(*testBuild)
		want string // in the error
	}{
		"without staging": {denied, "comes by its console"},
		"a machine that has no console": {func(b *testBuild) {
			b.account.FailBefore["GetConsoleOutput"] = awsfake.Always(400, awscall.CodeUnsupported)
		}, "comes by its console"},
		"with staging": {func(b *testBuild) {
			b.setStaging()
			b.uploadLog(10*time.Second, []string{"begin 1", awsfake.Success})
			denied(b)
		}, ""},
		"whose stop is success": {func(b *testBuild) {
			b.config.Verdict = "stop"
			denied(b)
		}, ""},
		"while EC2 does not show the machine yet": {func(b *testBuild) {
			b.account.FailBefore["GetConsoleOutput"] = awsfake.FirstCalls(1, 403, "UnauthorizedOperation")
			b.account.HiddenFromSearches = 1
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, c.set)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkErrorSays(t, err, c.want, "set staging {")
			took := b.account.RequestedAt["TerminateInstances"].Sub(b.account.Instance.LaunchedAt)
			if took > 5*time.Second {
				t.Errorf("the machine worked for %s", took)
			}
			b.checkNothingLeft()
		})
	}
}

// EC2 may not know a profile yet that was just made, and never knows one that is misspelt.
func TestWaitForProfileIsToldAndShort(t *testing.T) {
	var seen *launches
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.IamInstanceProfile, b.config.SkipProfileValidation = "typo", true
		seen = b.watchLaunches(awsfake.Always(400, awscall.CodeParameterValue))
	})
	checkErrorSays(t, err, "Invalid IAM Instance Profile")
	if n := strings.Count(b.ui.String(), "EC2 does not know the instance profile typo"); n != 1 {
		t.Errorf("it is told %d times:\n%s", n, b.ui)
	}
	if took := seen.at[len(seen.at)-1].Sub(seen.at[0]); took < 20*time.Second || took > time.Minute {
		t.Errorf("it took %s", took)
	}
}

// EC2 may not see for a while that the machine has stopped. Of one that somebody has terminated, it never will.
func TestTerminatedMachineIsNotWaitedFor(t *testing.T) {
	for action, says := range map[string]string{
		"ModifyInstanceAttribute": "sriov_support", "CreateImage": "somebody has started or terminated it",
	} {
		t.Run(action, func(t *testing.T) {
			calls := 0
			_, _, err := runBuild(t, func(b *testBuild) {
				b.config.SriovSupport = true
				b.account.FailBefore[action] = func(int) *awsfake.Failure {
					b.account.Instance.Terminated = true
					calls++
					return &awsfake.Failure{Status: 400, Code: awscall.CodeInstanceState}
				}
			})
			checkErrorSays(t, err, says, awscall.CodeInstanceState)
			if calls != 1 {
				t.Errorf("%d calls", calls)
			}
		})
	}
}
