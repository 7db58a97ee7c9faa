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

// SpotOptions of a launch. The zero value is an On-Demand Instance.
type SpotOptions struct {
	On         bool
	Persistent bool    // the request launches another instance when its instance ends
	Until      bool    // the request has an end
	Behavior   string  // at an interruption: stop or terminate
	MaxPrice   float64 // in dollars an hour; 0 is the On-Demand price
	Tags       Tags    // of the request
}

// SpotRequest is a Spot Instance request.
type SpotRequest struct {
	ID, Region, Zone, Type string // Type is the instance type
	State                  string // open, active, disabled, closed, cancelled
	Status, Message        string // fulfilled, instance-stopped-by-user, ...
	InstanceID             string
	Created, Updated       time.Time
	Options                SpotOptions
	Tags                   Tags
}

// spotRequest is a SpotRequest and the launch it makes.
type spotRequest struct {
	SpotRequest
	launch Launch
}

// State reasons of a Spot Instance that was interrupted.
var (
	ReasonReclaimStop = Reason{"Server.SpotInstanceShutdown", "Server.SpotInstanceShutdown: Spot Instance shutdown"}
	ReasonReclaimEnd  = Reason{"Server.SpotInstanceTermination",
		"Server.SpotInstanceTermination: Spot Instance termination"}
)

var kindSpot = kind{"sir-", "InvalidSpotInstanceRequestID.Malformed", "InvalidSpotInstanceRequestID.NotFound",
	"spot instance request"}

// SpotPrice returns the price of an instance type in a zone, in dollars an hour. It is below the On-Demand price, grows
// with the size, and is lower in a region's second zone.
func SpotPrice(t Type, zone string) float64 {
	price := 0.004*float64(t.VCPUs) + 0.001*float64(t.MemoryMiB)/1024
	if zone != "" && zone[len(zone)-1] != 'a' {
		price *= 0.9
	}
	return price
}

// FormatPrice formats a price as EC2 does.
func FormatPrice(price float64) string { return strconv.FormatFloat(price, 'f', 6, 64) }

// checkSpot returns EC2's error for a wrong request for a Spot Instance.
func checkSpot(l *Launch) error {
	s := l.Spot
	if !s.On {
		return nil
	}
	kind := map[bool]string{true: "persistent", false: "one-time"}[s.Persistent]
	switch {
	case s.Behavior != "terminate" && !s.Persistent, s.Behavior == "terminate" && s.Persistent:
		return apierror.Errorf("InvalidParameterCombination",
			"The request with type '%s' is not supported when instanceInterruptionBehavior is set to '%s'.", kind,
			s.Behavior)
	case s.Until && !s.Persistent:
		return apierror.Errorf("InvalidParameterCombination",
			"The parameter validUntil is not supported for requests of the type '%s'.", kind)
	case l.Capacity.Target():
		return apierror.Errorf("InvalidParameterCombination",
			"A capacity reservation cannot be targeted with a Spot Instance request.")
	case l.Capacity.Preference != "":
		return apierror.Errorf("InvalidParameterCombination",
			"The capacity reservation preference '%s' is not supported with a Spot Instance request.",
			l.Capacity.Preference)
	}
	t, _ := InstanceType(l.Type)
	if price := SpotPrice(t, l.zone); s.MaxPrice > 0 && s.MaxPrice < price {
		return apierror.Errorf("SpotMaxPriceTooLow",
			"Your Spot request price of %v is lower than the minimum required Spot request fulfillment price of %s.",
			s.MaxPrice, FormatPrice(price))
	}
	return nil
}

// newSpotRequest adds a request that an instance fulfills. The caller holds c.mu.
func (c *Cloud) newSpotRequest(l Launch, in *instance) *spotRequest {
	now := time.Now().UTC()
	r := &spotRequest{launch: l, SpotRequest: SpotRequest{
		ID: NewID("sir-"), Region: l.Region, Zone: in.Zone, Type: l.Type, Created: now, Options: l.Spot,
		Tags: maps.Clone(l.Spot.Tags),
	}}
	c.spots = append(c.spots, r)
	c.fulfill(r, in)
	return r
}

func (c *Cloud) fulfill(r *spotRequest, in *instance) {
	in.SpotRequest, r.InstanceID = r.ID, in.ID
	r.set("active", "fulfilled", "Your Spot request is fulfilled.")
}

func (r *spotRequest) set(state, status, message string) {
	r.State, r.Status, r.Message, r.Updated = state, status, message, time.Now().UTC()
}

// updateSpotRequest updates the request of an instance whose state has changed. The caller holds c.mu.
func (c *Cloud) updateSpotRequest(in *instance) {
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
		r.set("open", "instance-terminated-"+by,
			"Your Spot Instance was terminated. The request is persistent and is evaluated again.")
		c.relaunch(r)
	}
}

// relaunch launches another instance for a persistent request whose instance was terminated. The caller holds c.mu.
func (c *Cloud) relaunch(r *spotRequest) {
	image, err := c.availableImage(r.launch.Region, r.launch.ImageID)
	if c.closed || err != nil {
		return
	}
	devices, err := c.launchDevices(r.Region, image, r.launch.Devices)
	if err != nil {
		return
	}
	in := c.newInstance(r.launch, image, devices, NewID("r-"))
	c.instances = append(c.instances, in)
	c.fulfill(r, in)
	c.options.Log("%s is persistent and was not cancelled: it has launched %s", r.ID, in.ID)
	c.start(func() { c.runInstance(in) })
}

// SpotRequests returns the requests with these ids, or all of a region.
func (c *Cloud) SpotRequests(region string, ids []string) ([]SpotRequest, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []SpotRequest
	for _, r := range c.spots {
		if visibleIn(r.Region, region) {
			one := r.SpotRequest
			one.Tags = maps.Clone(r.Tags)
			all = append(all, one)
		}
	}
	return selectByID(kindSpot, all, ids, func(r SpotRequest) string { return r.ID })
}

// CancelSpot cancels requests. Their instances go on.
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
		if in, err := c.findInstances(region, []string{r.InstanceID}); err != nil || in[0].State == Terminated ||
			r.State == "open" {
			status = "canceled-before-fulfillment"
		}
		r.set("cancelled", status, "Your Spot request was cancelled.")
	}
	return nil
}

// Reclaim interrupts a Spot Instance, as EC2 does when it needs the capacity: it marks the request, and after the
// notice (on EC2 two minutes) it stops or terminates the machine.
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
			r.set(r.State, "marked-for-termination",
				"Your Spot Instance is marked for termination: there is no capacity.")
		}
	}
	c.start(func() {
		c.wait(notice)
		c.interruptSpot(in)
	})
	return nil
}

func (c *Cloud) interruptSpot(in *instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in.State != Running && in.State != Pending {
		return // it has ended meanwhile
	}
	in.State, in.Reason, in.TransitionReason = ShuttingDown, ReasonReclaimEnd, "Server.SpotInstanceTermination"
	if in.spot.Behavior == "stop" {
		in.State, in.Reason, in.TransitionReason = Stopping, ReasonReclaimStop, "Server.SpotInstanceShutdown"
	}
	c.updateForwards()
	if m := in.machine; m != nil {
		c.start(func() { c.shutDown(m) })
	}
}
