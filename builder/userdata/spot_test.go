// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

func TestSpotInstanceCanStopAndRequestIsCancelledFirst(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.setSpot()
		b.config.FleetTags = map[string]string{"of": "fleet", "team": "fleets"}
		b.config.SpotTags = map[string]string{"team": "{{ .SourceAMIName }}"}
	})
	if err != nil {
		t.Fatal(err)
	}
	form := b.account.Requests["RunInstances"]
	for name, want := range map[string]string{
		"InstanceMarketOptions.MarketType":                               "spot",
		"InstanceMarketOptions.SpotOptions.SpotInstanceType":             "persistent",
		"InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior": "stop",
		"InstanceMarketOptions.SpotOptions.MaxPrice":                     "0.02",
		"InstanceMarketOptions.SpotOptions.ValidUntil":                   "2000-01-01T02:15:00Z",
		"InstanceType": "t3.small", "InstanceInitiatedShutdownBehavior": "stop",
		"CreditSpecification.CpuCredits":                                 "standard",
		"CapacityReservationSpecification.CapacityReservationPreference": "",
	} {
		if got := form.Get(name); got != want {
			t.Errorf("the machine was run with %s = %q, want %q", name, got, want)
		}
	}
	want := map[string]string{
		"Name": "bakery hello-1", bake.TagBake: awsfake.BakeID, bake.TagExpires: "2000-01-01T02:15:00Z",
		"of": "fleet", "team": "debian-12",
	}
	if diff := cmp.Diff(want, awsfake.Tags(form, "spot-instances-request")); diff != "" {
		t.Errorf("tags of the request (-want +got):\n%s", diff)
	}
	b.checkOnlyImageLeft()
}

func TestOrderOfSpotInstanceTypes(t *testing.T) {
	for name, c := range map[string]struct {
		strategy, price string
		want            string // the first type
		prices          int    // how often prices are asked for
	}{
		"the cheapest first":               {"", "auto", "t3.small", 1},
		"the cheapest with capacity":       {"price-capacity-optimized", "auto", "t3.small", 1},
		"the template's, for capacity":     {"capacity-optimized", "auto", "m5.large", 0},
		"the template's, by priority":      {"capacity-optimized-prioritized", "auto", "m5.large", 0},
		"the cheapest without a max price": {"lowest-price", "", "t3.small", 1},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.setSpot()
				b.config.SpotAllocationStrategy, b.config.SpotPrice = c.strategy, c.price
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := b.account.Requests["RunInstances"].Get("InstanceType"); got != c.want {
				t.Errorf("the first type was %s, want %s", got, c.want)
			}
			if got := b.account.Count("DescribeSpotPriceHistory"); got != c.prices {
				t.Errorf("prices were asked for %d times, want %d", got, c.prices)
			}
			if got := b.account.Requests["RunInstances"].Get("InstanceMarketOptions.SpotOptions.MaxPrice"); got != "" {
				t.Errorf("the most to pay is %s, want the price on demand", got)
			}
		})
	}
}

func TestSpotPricesAreReadFromEveryPage(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.setSpot()
		b.account.SpotPricesPaged = true
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.account.Requests["RunInstances"].Get("InstanceType"); got != "t3.small" {
		t.Errorf("the first type was %s, and the price of the cheapest is on the second page", got)
	}
}

func TestSpotTypesKeepOrderOfTemplateWithoutPrices(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.setSpot()
		b.account.FailBefore["DescribeSpotPriceHistory"] = awsfake.Always(403, "UnauthorizedOperation")
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.account.Requests["RunInstances"].Get("InstanceType"); got != "m5.large" {
		t.Errorf("the first type was %s", got)
	}
}

func TestLaunchTriesNextTypeWithoutCapacity(t *testing.T) {
	for _, code := range []string{
		"InsufficientInstanceCapacity", "SpotMaxPriceTooLow", "Unsupported", "MaxSpotInstanceCountExceeded",
		"InsufficientFreeAddressesInSubnet",
	} {
		t.Run(code, func(t *testing.T) {
			status := 400
			if code == "InsufficientInstanceCapacity" {
				status = 500 // which the SDK would retry for a minute
			}
			b, _, err := runBuild(t, func(b *testBuild) {
				b.setSpot()
				b.account.FailBefore["RunInstances"] = awsfake.FirstCalls(1, status, code)
			})
			if err != nil {
				t.Fatal(err)
			}
			form := b.account.Requests["RunInstances"]
			if n, got := b.account.Count("RunInstances"), form.Get("InstanceType"); n != 2 || got != "m5.large" {
				t.Errorf("%d launches, the last of a %s", n, got)
			}
			if form.Get("ClientToken") == awsfake.BakeID {
				t.Error("the second launch has the token of the first")
			}
			if left := b.account.Leftovers(); len(left) != 2 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestSpotCapacityMissingEverywhere(t *testing.T) {
	isSpot := func(form url.Values) bool { return form.Get("InstanceMarketOptions.MarketType") == "spot" }
	for name, c := range map[string]struct {
		fallback string
		want     string // an error
	}{
		"fails":                                 {"", "SpotMaxPriceTooLow"},
		"launches on demand with that fallback": {"on-demand", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.setSpot()
				b.config.SpotFallback = c.fallback
				b.account.FailBefore["RunInstances"] = func(int) *awsfake.Failure {
					if isSpot(b.account.Requests["RunInstances"]) {
						return &awsfake.Failure{Status: 400, Code: "SpotMaxPriceTooLow"}
					}
					return nil
				}
			})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if left := b.account.Leftovers(); slices.Contains(left, b.account.Instance.ID) {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestSpotInstanceThatIsReclaimed(t *testing.T) {
	for name, c := range map[string]struct {
		fallback     string
		reclaims     int
		machines     int
		market       string // of the last one
		instanceType string
		want         string // an error
	}{
		"launches another type":                 {"", 1, 2, "spot", "m5.large", ""},
		"launches on demand with that fallback": {"on-demand", 1, 2, "", "m5.large", ""},
		"fails without a fallback": {
			"none", 1, 1, "spot", "t3.small", "took the Spot Instance i-0123456789abcdef0 back: ",
		},
		"fails the second time": {
			"", 2, 2, "spot", "m5.large", "took the Spot Instance i-0123456789abcdef1 back as well: ",
		},
		"or is not": {"", 0, 1, "spot", "t3.small", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.setSpot()
				b.config.SpotFallback = c.fallback
				b.account.SpotReclaims = c.reclaims
			})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			form := b.account.Requests["RunInstances"]
			if n := b.account.Count("RunInstances"); n != c.machines {
				t.Errorf("%d machines, want %d", n, c.machines)
			}
			market, instanceType := form.Get("InstanceMarketOptions.MarketType"), form.Get("InstanceType")
			if market != c.market || instanceType != c.instanceType {
				t.Errorf("the last machine was %s %s", market, instanceType)
			}
			images := 0
			if err == nil {
				images = 2 // and its snapshot
				if made := b.account.Requests["CreateImage"].Get("InstanceId"); made != b.account.Instance.ID {
					t.Errorf("the image was made of %s, not of the last machine", made)
				}
			} else if b.account.Count("CreateImage") > 0 {
				t.Error("an image was made of a machine that was reclaimed")
			}
			if left := b.account.Leftovers(); len(left) != images {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestMachineMarkedForInterruptionIsNotMadeAnImage(t *testing.T) {
	for name, last := range map[string][]string{
		"that reports success":  {"end 1 0 script/install.sh", awsfake.Success},
		"whose step was killed": {"end 1 143 script/install.sh", "verdict failed 143 script/install.sh"},
		"without a verdict":     {"end 1 0 script/install.sh"},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.setSpot()
				b.config.SpotFallback = "none"
				b.account.SetReports(append([]string{"begin 1", "start 1 script/install.sh"}, last...)...)
				time.AfterFunc(2*time.Second, func() {
					b.account.Change(func() {
						for id := range b.account.SpotRequests {
							b.account.SpotRequests[id] = "marked-for-stop"
						}
					})
				})
			})
			if err == nil || !strings.Contains(err.Error(), "marked-for-stop") || b.account.Count("CreateImage") > 0 {
				t.Errorf("error %v, %d images", err, b.account.Count("CreateImage"))
			}
		})
	}
}

func TestSpotRequestIsFoundAfterLostAnswer(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.setSpot()
		b.account.FailAfter["RunInstances"] = awsfake.Always(400, "InvalidParameterCombination")
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	b.checkNothingLeft()
}

func TestSpotRequestIsCancelledThoughNotVisibleYet(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.setSpot()
		b.cancelAfter(time.Second)
		b.account.FailBefore["CancelSpotInstanceRequests"] = awsfake.FirstCalls(3, 400, awscall.CodeSpotRequestNotFound)
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	b.checkNothingLeft()
}

func TestSpotRequestThatCannotBeCancelledKeepsMachine(t *testing.T) {
	b, _, _ := runBuild(t, func(b *testBuild) {
		b.setSpot()
		b.account.FailBefore["CancelSpotInstanceRequests"] = awsfake.Always(403, "UnauthorizedOperation")
	})
	if b.account.Count("TerminateInstances") > 0 {
		t.Error("the machine was terminated, and EC2 would launch another")
	}
	if !strings.Contains(b.ui.String(), "instance i-0123456789abcdef0 and its spot request sir-1") {
		t.Errorf("the user is not told what is left:\n%s", b.ui)
	}
}

// The second machine is never launched, so it has no log: what the first one said is written all the same.
func TestSecondUserDataThatCannotBeStagedFailsBake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "machine.log")
	b, _, err := runBuild(t, func(b *testBuild) {
		b.setSpot()
		b.setStaging()
		b.config.ImageSource = writeImageSource(b.T, 12_000)
		b.config.FSInlineLimit = 16_000 // so that the user data is too large, and staged for each attempt
		b.config.LogFile = path
		b.account.SpotReclaims = 1
		b.account.FailBefore["RunInstances"] = awsfake.Then(func() {
			b.account.FailBefore["PUT object"] = awsfake.Always(403, "AccessDenied")
		})
	})
	if err == nil || b.account.Count("RunInstances") != 1 {
		t.Fatalf("the error is %v after %d launches", err, b.account.Count("RunInstances"))
	}
	if log, err := os.ReadFile(path); err != nil || !strings.Contains(string(log), "the machine is up") {
		t.Errorf("log_file is %q, %v", log, err)
	}
	b.checkNothingLeft()
}
