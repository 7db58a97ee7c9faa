// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// onSpot bakes as a Spot Instance of any of two types.
func onSpot(o *oven) {
	o.config.SpotPrice = "0.02"
	o.config.SpotInstanceTypes = []string{"m5.large", "t3.small"}
	o.cloud.prices = map[string]string{"m5.large": "0.04", "t3.small": "0.006"}
}

func TestSpotInstanceCanStopAndItsRequestGoesBeforeIt(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		onSpot(o)
		o.config.FleetTags = map[string]string{"of": "fleet", "team": "fleets"}
		o.config.SpotTags = map[string]string{"team": "{{ .SourceAMIName }}"}
	})
	if err != nil {
		t.Fatal(err)
	}
	form := o.cloud.form["RunInstances"]
	for name, want := range map[string]string{
		"InstanceMarketOptions.MarketType":                               "spot",
		"InstanceMarketOptions.SpotOptions.SpotInstanceType":             "persistent",
		"InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior": "stop",
		"InstanceMarketOptions.SpotOptions.MaxPrice":                     "0.02",
		"InstanceMarketOptions.SpotOptions.ValidUntil":                   "2000-01-01T02:00:00Z",
		"InstanceType": "t3.small", "InstanceInitiatedShutdownBehavior": "stop", "CreditSpecification.CpuCredits": "standard",
		"CapacityReservationSpecification.CapacityReservationPreference": "",
	} {
		if got := form.Get(name); got != want {
			t.Errorf("the machine was run with %s = %q, want %q", name, got, want)
		}
	}
	want := map[string]string{
		"Name": "bakery hello-1", tagBake: testBake, tagExpires: "2000-01-01T02:00:00Z", "of": "fleet", "team": "debian-12",
	}
	if diff := cmp.Diff(want, tagsOf(form, "spot-instances-request")); diff != "" {
		t.Errorf("tags of the request (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{newID, "snap-of-" + newID}, o.cloud.left()); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}

func TestOrderOfSpotTypes(t *testing.T) {
	for name, c := range map[string]struct {
		strategy, price string
		want            string // the first type
		prices          int    // how often prices are asked for
	}{
		"the cheapest first":               {"", "auto", "t3.small", 1},
		"the cheapest with room":           {strategyPriceCapacity, "auto", "t3.small", 1},
		"the template's, for AWS's room":   {"capacity-optimized", "auto", "m5.large", 0},
		"the template's, as it says":       {"capacity-optimized-prioritized", "auto", "m5.large", 0},
		"the cheapest without a max price": {strategyLowestPrice, "", "t3.small", 1},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := bakes(t, func(o *oven) {
				onSpot(o)
				o.config.SpotAllocationStrategy, o.config.SpotPrice = c.strategy, c.price
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := o.cloud.form["RunInstances"].Get("InstanceType"); got != c.want {
				t.Errorf("the first type was %s, want %s", got, c.want)
			}
			if got := o.cloud.count("DescribeSpotPriceHistory"); got != c.prices {
				t.Errorf("prices were asked for %d times, want %d", got, c.prices)
			}
			if got := o.cloud.form["RunInstances"].Get("InstanceMarketOptions.SpotOptions.MaxPrice"); got != "" {
				t.Errorf("the most to pay is %s, want the price on demand", got)
			}
		})
	}
}

func TestSpotPricesAreReadToTheLastPage(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		onSpot(o)
		o.cloud.paged = true
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := o.cloud.form["RunInstances"].Get("InstanceType"); got != "t3.small" {
		t.Errorf("the first type was %s, and the price of the cheapest is on the second page", got)
	}
}

func TestSpotPricesThatCannotBeReadLeaveTheTemplatesOrder(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		onSpot(o)
		o.cloud.broken["DescribeSpotPriceHistory"] = always(403, "UnauthorizedOperation")
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := o.cloud.form["RunInstances"].Get("InstanceType"); got != "m5.large" {
		t.Errorf("the first type was %s", got)
	}
}

func TestATypeWithoutRoomIsPassedOver(t *testing.T) {
	for _, code := range []string{"InsufficientInstanceCapacity", "SpotMaxPriceTooLow", "Unsupported", "MaxSpotInstanceCountExceeded",
		"InsufficientFreeAddressesInSubnet",
	} {
		t.Run(code, func(t *testing.T) {
			status := 400
			if code == "InsufficientInstanceCapacity" {
				status = 500 // by which the SDK would call again for a minute
			}
			o, _, err := bakes(t, func(o *oven) {
				onSpot(o)
				o.cloud.broken["RunInstances"] = first(1, status, code)
			})
			if err != nil {
				t.Fatal(err)
			}
			form := o.cloud.form["RunInstances"]
			if n, got := o.cloud.count("RunInstances"), form.Get("InstanceType"); n != 2 || got != "m5.large" {
				t.Errorf("%d launches, the last of a %s", n, got)
			}
			if form.Get("ClientToken") == testBake {
				t.Error("the second launch has the token of the first")
			}
			if left := o.cloud.left(); len(left) != 2 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestNoRoomAnywhere(t *testing.T) {
	noSpot := func(form url.Values) bool { return form.Get("InstanceMarketOptions.MarketType") == "spot" }
	for name, c := range map[string]struct {
		fallback string
		want     string // an error
	}{
		"fails":                        {"", "SpotMaxPriceTooLow"},
		"bakes on demand where it may": {fallbackOnDemand, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := bakes(t, func(o *oven) {
				onSpot(o)
				o.config.SpotFallback = c.fallback
				o.cloud.broken["RunInstances"] = func(int) *failure {
					if noSpot(o.cloud.form["RunInstances"]) {
						return &failure{400, "SpotMaxPriceTooLow"}
					}
					return nil
				}
			})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if left := o.cloud.left(); slices.ContainsFunc(left, func(s string) bool { return strings.HasPrefix(s, "i-") }) {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestASpotInstanceThatIsTakenBack(t *testing.T) {
	for name, c := range map[string]struct {
		fallback string
		reclaims int
		machines int
		market   string // of the last one
		typed    string
		want     string // an error
	}{
		"bakes again elsewhere":   {"", 1, 2, "spot", "m5.large", ""},
		"bakes again on demand":   {fallbackOnDemand, 1, 2, "", "m5.large", ""},
		"fails where it is to":    {fallbackNone, 1, 1, "spot", "t3.small", "took the Spot Instance i-0123456789abcdef0 back"},
		"fails the second time":   {"", 2, 2, "spot", "m5.large", "took the Spot Instance i-0123456789abcdef1 back"},
		"is not what stays whole": {"", 0, 1, "spot", "t3.small", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := bakes(t, func(o *oven) {
				onSpot(o)
				o.config.SpotFallback = c.fallback
				o.cloud.reclaims = c.reclaims
			})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			form := o.cloud.form["RunInstances"]
			if n := o.cloud.count("RunInstances"); n != c.machines {
				t.Errorf("%d machines, want %d", n, c.machines)
			}
			if got := form.Get("InstanceMarketOptions.MarketType") + " " + form.Get("InstanceType"); got != c.market+" "+c.typed {
				t.Errorf("the last machine was %q", got)
			}
			images := 0
			if err == nil {
				images = 2 // and its snapshot
				if made := o.cloud.form["CreateImage"].Get("InstanceId"); made != o.cloud.instance {
					t.Errorf("the image was made of %s, not of the machine that was whole", made)
				}
			} else if o.cloud.count("CreateImage") > 0 {
				t.Error("an image was made of a machine that was taken back")
			}
			if left := o.cloud.left(); len(left) != images {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestAMachineThatIsMarkedForInterruptionIsNoImage(t *testing.T) {
	for name, last := range map[string][]string{
		"that says it is whole":         {"end 1 0 script/install.sh", "verdict ok 0 -"},
		"whose step was shot down":      {"end 1 143 script/install.sh", "verdict failed 143 script/install.sh"},
		"that did not get round to one": {"end 1 0 script/install.sh"},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := bakes(t, func(o *oven) {
				onSpot(o)
				o.config.SpotFallback = fallbackNone
				o.cloud.reports(append([]string{"begin 1", "start 1 script/install.sh"}, last...)...)
				time.AfterFunc(2*time.Second, func() {
					o.cloud.mu.Lock()
					defer o.cloud.mu.Unlock()
					for id := range o.cloud.requests {
						o.cloud.requests[id] = "marked-for-stop"
					}
				})
			})
			if err == nil || !strings.Contains(err.Error(), "marked-for-stop") || o.cloud.count("CreateImage") > 0 {
				t.Errorf("error %v, %d images", err, o.cloud.count("CreateImage"))
			}
		})
	}
}

func TestSpotRequestsAreFoundWhenTheAnswerIsLost(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		onSpot(o)
		o.cloud.lost["RunInstances"] = always(400, "InvalidParameterCombination")
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	if left := o.cloud.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestASpotRequestThatEC2DoesNotKnowYetIsCancelledAllTheSame(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		onSpot(o)
		o.cancelAfter(time.Second)
		o.cloud.broken["CancelSpotInstanceRequests"] = first(3, 400, codeRequestNotFound)
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	if left := o.cloud.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestASpotRequestThatCannotBeCancelledKeepsItsMachine(t *testing.T) {
	o, _, _ := bakes(t, func(o *oven) {
		onSpot(o)
		o.cloud.broken["CancelSpotInstanceRequests"] = always(403, "UnauthorizedOperation")
	})
	if o.cloud.count("TerminateInstances") > 0 {
		t.Error("the machine was terminated, and EC2 would launch another")
	}
	if !strings.Contains(o.ui.String(), "instance i-0123456789abcdef0 and its spot request sir-1") {
		t.Errorf("nobody is told what is left:\n%s", o.ui)
	}
}
