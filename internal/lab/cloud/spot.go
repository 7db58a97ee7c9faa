// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// SpotOptions of a launch; the zero value is an instance on demand.
type SpotOptions struct {
	On         bool
	Persistent bool    // the request stays when its instance ends, and launches another
	Behavior   string  // what an interruption does: stop or terminate
	MaxPrice   float64 // in dollars an hour; 0 is the price on demand
	Tags       Tags    // of the request
}

// SpotRequest is one Spot Instance request, a copy.
type SpotRequest struct {
	ID, Region, Zone, Type string // Type of the instance
	State                  string // open, active, disabled, closed, cancelled
	Status, Message        string // fulfilled, instance-stopped-by-user, ...
	InstanceID             string
	Created, Updated       time.Time
	Options                SpotOptions
	Tags                   Tags
}

// spotRequest is a SpotRequest and what it launches.
type spotRequest struct {
	SpotRequest
	launch Launch
}

// What a Spot Instance that EC2 took back has as its state reason, in EC2's words.
var (
	ReasonReclaimStop = Reason{"Server.SpotInstanceShutdown", "Server.SpotInstanceShutdown: Spot Instance shutdown"}
	ReasonReclaimEnd  = Reason{"Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Spot Instance termination"}
)

var kindSpot = kind{"sir-", "InvalidSpotInstanceRequestID.Malformed", "InvalidSpotInstanceRequestID.NotFound", "spot instance request"}

// SpotPrice is what an instance type costs in a zone, in dollars an hour: less than on demand, more for more of
// everything, and less in a region's second zone than in its first.
func SpotPrice(t Type, zone string) float64 {
	price := 0.004*float64(t.VCPUs) + 0.001*float64(t.MemoryMiB)/1024
	if zone != "" && zone[len(zone)-1] != 'a' {
		price *= 0.9
	}
	return price
}

// FormatPrice is a price as EC2 writes it.
func FormatPrice(price float64) string { return strconv.FormatFloat(price, 'f', 6, 64) }

// checkSpot refuses what EC2 refuses in a request for a Spot Instance.
func checkSpot(l *Launch) error {
	s := l.Spot
	if !s.On {
		return nil
	}
	if s.Behavior == "stop" && !s.Persistent {
		return apierror.Errorf("InvalidParameterCombination", "The interruption behavior 'stop' is only supported for persistent Spot Instance requests.")
	}
	if l.Capacity.Target() {
		return apierror.Errorf("InvalidParameterCombination", "A capacity reservation cannot be targeted with a Spot Instance request.")
	}
	t, _ := InstanceType(l.Type)
	if price := SpotPrice(t, l.zone); s.MaxPrice > 0 && s.MaxPrice < price {
		return apierror.Errorf("SpotMaxPriceTooLow", "Your Spot request price of %v is lower than the minimum required Spot request fulfillment price of %s.", s.MaxPrice, FormatPrice(price))
	}
	return nil
}

// newRequest records a request that is fulfilled by an instance; the caller holds c.mu.
func (c *Cloud) newRequest(l Launch, in *instance) *spotRequest {
	now := time.Now().UTC()
	r := &spotRequest{launch: l, SpotRequest: SpotRequest{
		ID: NewID("sir-"), Region: l.Region, Zone: in.Zone, Type: l.Type, Created: now, Options: l.Spot, Tags: maps.Clone(l.Spot.Tags),
	}}
	c.spots = append(c.spots, r)
	c.fulfil(r, in)
	return r
}

func (c *Cloud) fulfil(r *spotRequest, in *instance) {
	in.SpotRequest, r.InstanceID = r.ID, in.ID
	r.set("active", "fulfilled", "Your Spot request is fulfilled.")
}

func (r *spotRequest) set(state, status, message string) {
	r.State, r.Status, r.Message, r.Updated = state, status, message, time.Now().UTC()
}

// spotFollows makes an instance's request follow a change of its state; the caller holds c.mu.
func (c *Cloud) spotFollows(in *instance) {
	at := slices.IndexFunc(c.spots, func(r *spotRequest) bool { return r.ID == in.SpotRequest })
	if at < 0 || in.SpotRequest == "" {
		return
	}
	r := c.spots[at]
	by := map[Reason]string{ReasonReclaimStop: "no-capacity", ReasonReclaimEnd: "no-capacity"}[in.Reason]
	if by == "" {
		by = "by-user"
	}
	switch {
	case r.State == "cancelled" || r.State == "closed":
	case in.State == Running:
		r.set("active", "fulfilled", "Your Spot request is fulfilled.")
	case in.State == Stopped && by == "by-user":
		r.set("disabled", "instance-stopped-by-user", "Your Spot Instance was stopped by the user.")
	case in.State == Stopped:
		r.set("open", "instance-stopped-"+by, "Your Spot Instance was stopped: there is no capacity.")
	case in.State == Terminated && in.Reason == ReasonLaunch: // it would fail again
		r.set("closed", "system-error", "Your Spot request failed.")
	case in.State == Terminated && !r.Options.Persistent:
		r.set("closed", "instance-terminated-"+by, "Your Spot Instance was terminated.")
	case in.State == Terminated:
		r.set("open", "instance-terminated-"+by, "Your Spot Instance was terminated. The request is persistent and is evaluated again.")
		c.relaunch(r)
	}
}

// relaunch is what a persistent request does when its instance was terminated; the caller holds c.mu.
func (c *Cloud) relaunch(r *spotRequest) {
	image, err := c.launchable(r.launch.Region, r.launch.ImageID)
	if c.closed || err != nil {
		return
	}
	devices, err := c.launchDevices(r.Region, image, r.launch.Devices)
	if err != nil {
		return
	}
	in := c.newInstance(r.launch, image, devices, NewID("r-"))
	c.instances = append(c.instances, in)
	c.fulfil(r, in)
	c.options.Log("%s is persistent and was not cancelled: it has launched %s", r.ID, in.ID)
	c.start(func() { c.run(in) })
}

// SpotRequests with the given ids, or every one of the region.
func (c *Cloud) SpotRequests(region string, ids []string) ([]SpotRequest, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []SpotRequest
	for _, r := range c.spots {
		if here(r.Region, region) {
			one := r.SpotRequest
			one.Tags = maps.Clone(r.Tags)
			all = append(all, one)
		}
	}
	return chosen(kindSpot, all, ids, func(r SpotRequest) string { return r.ID })
}

// CancelSpot cancels requests; their instances go on.
func (c *Cloud) CancelSpot(region string, ids []string) error {
	if _, err := c.SpotRequests(region, ids); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.spots {
		if !slices.Contains(ids, r.ID) || r.State == "cancelled" {
			continue
		}
		status := "request-canceled-and-instance-running"
		if in, err := c.found(region, []string{r.InstanceID}); err != nil || in[0].State == Terminated || r.State == "open" {
			status = "canceled-before-fulfillment"
		}
		r.set("cancelled", status, "Your Spot request was cancelled.")
	}
	return nil
}

// Reclaim takes a Spot Instance back, as EC2 does when it needs the capacity: the request is marked, and after the
// notice (on EC2 two minutes) the machine is stopped or terminated, whatever it is doing.
func (c *Cloud) Reclaim(id string, notice time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.IndexFunc(c.instances, func(in *instance) bool { return in.ID == id })
	if at < 0 {
		return kindInstance.missing(id)
	}
	in := c.instances[at]
	if in.SpotRequest == "" || in.State != Running && in.State != Pending {
		return fmt.Errorf("take %s back: it must be a Spot Instance that runs, and is %s", id, in.State)
	}
	for _, r := range c.spots {
		if r.ID == in.SpotRequest && r.Options.Behavior == "stop" {
			r.set(r.State, "marked-for-stop", "Your Spot Instance is marked for stopping: there is no capacity.")
		} else if r.ID == in.SpotRequest {
			r.set(r.State, "marked-for-termination", "Your Spot Instance is marked for termination: there is no capacity.")
		}
	}
	c.start(func() {
		c.wait(notice)
		c.takeBack(in)
	})
	return nil
}

func (c *Cloud) takeBack(in *instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in.State != Running && in.State != Pending {
		return // it was faster
	}
	in.State, in.Reason, in.TransitionReason = ShuttingDown, ReasonReclaimEnd, "Server.SpotInstanceTermination"
	if in.spot.Behavior == "stop" {
		in.State, in.Reason, in.TransitionReason = Stopping, ReasonReclaimStop, "Server.SpotInstanceShutdown"
	}
	c.reach()
	if m := in.machine; m != nil {
		c.start(func() { c.orderly(m) })
	}
}
