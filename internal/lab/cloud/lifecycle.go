// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
)

// stopLimit is how long a machine may take to shut down before it is killed. EC2 forces a stop after some minutes;
// systemd kills a unit after 90 seconds.
const stopLimit = 100 * time.Second

// runInstance runs an instance from pending until it is stopped or terminated. There is one goroutine for each start.
func (c *Cloud) runInstance(in *instance) {
	began := time.Now()
	c.assignPublicIP(in)
	for {
		m, err := c.startMachine(in)
		if err != nil {
			c.options.Log("%s does not start: %v", in.ID, err)
			c.setFinalState(in, Terminated, ReasonLaunch)
			return
		}
		c.wait(c.options.Delays.Pending - time.Since(began))
		c.setRunning(in)
		<-m.Done()
		if !c.machineEnded(in, m) {
			break
		}
	}
	c.completeTransition(in)
}

// startMachine creates the disk, unless it exists, and starts a machine on it.
func (c *Cloud) startMachine(in *instance) (machine.Machine, error) {
	in.diskMu.Lock()
	defer in.diskMu.Unlock()
	if err := c.makeDisk(in); err != nil {
		return nil, err
	}
	in.console.restart()
	c.mu.Lock()
	with := in.Tags[RunnerTag]
	c.mu.Unlock()
	spec := machine.Spec{
		ID: in.ID, Disk: in.disk, Hostname: privateName(in.PrivateIP), Internet: c.options.Internet,
		Console: in.console,
		Runner:  with, Architecture: in.Architecture,
	}
	if c.options.Listeners != nil {
		spec.Listeners = c.options.Listeners(in.ID)
	}
	m, err := c.options.Runner.Start(c.context, spec)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	in.machine = m
	c.updateForwards()
	unwanted := c.closed || in.State == ShuttingDown || in.State == Stopping
	c.mu.Unlock()
	if unwanted {
		m.Kill() // waits for the end
	}
	return m, nil
}

func (c *Cloud) makeDisk(in *instance) error {
	if _, err := os.Stat(in.disk); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	source, err := c.snapshotDisk(c.context, in.root.SnapshotID)
	if err != nil {
		return err
	}
	if err := c.options.Disks.Clone(source, in.disk); err != nil {
		return err
	}
	info, err := os.Stat(in.disk)
	if err != nil {
		return err
	}
	if size := in.root.Size << 30; size > info.Size() {
		return c.options.Disks.Grow(c.context, in.disk, size)
	}
	return nil
}

func (c *Cloud) snapshotDisk(ctx context.Context, id string) (string, error) {
	c.mu.Lock()
	s := c.snapshots[id]
	c.mu.Unlock()
	if s == nil {
		return "", kindSnapshot.missing(id)
	}
	if s.Suite != "" {
		return c.options.Base(ctx, s.Suite)
	}
	return SnapshotDisk(c.options.Images, id), nil
}

func (c *Cloud) setRunning(in *instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in.State == Pending {
		in.State, in.Reason = Running, Reason{}
		in.console.capture(time.Now(), false)
		c.updateForwards()
		c.updateSpotRequest(in)
	}
}

// machineEnded is called when the machine is off. It copies the disk for images that wait for that, and reports whether
// the machine is to be started again. Otherwise the instance stops, and has the reason.
func (c *Cloud) machineEnded(in *instance, m machine.Machine) bool {
	c.mu.Lock()
	in.machine = nil
	waiting := in.whenStopped
	in.whenStopped = nil
	restart := in.State == Running && (len(waiting) > 0 || in.reboot) && !c.closed
	in.reboot = false
	if !restart && (in.State == Running || in.State == Pending) {
		c.stopUnrequested(in, m.Exit())
	}
	in.console.capture(time.Now(), true)
	c.updateForwards()
	c.mu.Unlock()
	for _, work := range waiting {
		work()
	}
	return restart
}

// stopUnrequested changes the state as EC2 does when a machine is off without a request.
func (c *Cloud) stopUnrequested(in *instance, exit machine.Exit) {
	in.Reason, in.TransitionReason = ReasonGuest, ""
	if !exit.PoweredOff {
		in.Reason = ReasonLostPower
		if !c.closed {
			c.options.Log("%s ended without being told to: %v", in.ID, exit.Err)
		}
	}
	oneTime := in.SpotRequest != "" && !in.spot.Persistent // cannot be stopped
	if in.State = Stopping; in.ShutdownBehavior == "terminate" || oneTime {
		in.State = ShuttingDown
	}
}

// completeTransition waits for the delay of stopping or terminating, and sets the final state.
func (c *Cloud) completeTransition(in *instance) {
	c.mu.Lock()
	state, reason := in.State, in.Reason
	c.mu.Unlock()
	if state == Stopping {
		c.wait(c.options.Delays.Stopping)
		c.setFinalState(in, Stopped, reason)
		return
	}
	c.wait(c.options.Delays.Terminating)
	c.setFinalState(in, Terminated, reason)
}

// setFinalState sets the state stopped or terminated. A terminated instance loses its volumes.
func (c *Cloud) setFinalState(in *instance, state State, reason Reason) {
	c.mu.Lock()
	if in.State == ShuttingDown { // terminated during the stop
		state, reason = Terminated, in.Reason
	}
	in.State, in.Reason, in.machine = state, reason, nil
	c.updateForwards()
	c.releasePublicIP(in)
	c.updateSpotRequest(in)
	in.console.capture(time.Now(), true)
	if state == Terminated {
		c.dropVolumes(in)
	}
	c.mu.Unlock()
	if state == Terminated {
		in.diskMu.Lock()
		defer in.diskMu.Unlock()
		if err := os.Remove(in.disk); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.options.Log("remove the disk of %s: %v", in.ID, err)
		}
	}
}

// Change is a change of an instance's state, as StopInstances and others return it.
type Change struct {
	ID            string
	Before, After State
}

// Stop is StopInstances. With force it kills the machine.
func (c *Cloud) Stop(region string, ids []string, force bool) ([]Change, error) {
	return c.changeInstances(region, ids, func(in *instance) error {
		if in.SpotRequest != "" && !in.spot.Persistent {
			return apierror.Errorf("UnsupportedOperation",
				"You can't stop the Spot Instance '%s' because it is associated with a one-time Spot Instance "+
					"request. "+
					"You can only stop Spot Instances associated with persistent Spot Instance requests.", in.ID)
		}
		switch in.State {
		case Stopped, Stopping:
			return nil
		case Running:
		case Pending:
			return apierror.Errorf("IncorrectInstanceState",
				"The instance '%s' is not in a state from which it can be stopped.", in.ID)
		default:
			return apierror.Errorf("IncorrectInstanceState",
				"This instance '%s' is not in a state from which it can be stopped.", in.ID)
		}
		in.State, in.Reason, in.TransitionReason = Stopping, ReasonUser, userInitiated()
		if m := in.machine; m != nil && force {
			c.start(m.Kill)
		} else if m != nil {
			c.start(func() { c.shutDown(m) })
		}
		return nil
	})
}

// Start is StartInstances.
func (c *Cloud) Start(region string, ids []string) ([]Change, error) {
	return c.changeInstances(region, ids, func(in *instance) error {
		switch in.State {
		case Running, Pending:
			return nil
		case Stopped:
			in.State, in.Reason, in.TransitionReason, in.LaunchTime = Pending, ReasonPending, "", time.Now().UTC()
			c.start(func() { c.runInstance(in) })
			return nil
		default:
			return apierror.Errorf("IncorrectInstanceState",
				"The instance '%s' is not in a state from which it can be started.", in.ID)
		}
	})
}

// Reboot is RebootInstances: it shuts the machine down and starts it again. The state stays running.
func (c *Cloud) Reboot(region string, ids []string) error {
	_, err := c.changeInstances(region, ids, func(in *instance) error {
		if in.State != Running || in.machine == nil {
			return apierror.Errorf("IncorrectState", "The instance '%s' is not in the 'running' state.", in.ID)
		}
		in.reboot = true
		m := in.machine
		c.start(func() { c.shutDown(m) })
		return nil
	})
	return err
}

// Terminate is TerminateInstances.
func (c *Cloud) Terminate(region string, ids []string) ([]Change, error) {
	return c.changeInstances(region, ids, func(in *instance) error {
		if in.APITermination && in.State != Terminated {
			return apierror.Errorf("OperationNotPermitted",
				"The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and "+
					"try again.", in.ID)
		}
		before := in.State
		if before == Terminated || before == ShuttingDown {
			return nil
		}
		in.State, in.Reason, in.TransitionReason = ShuttingDown, ReasonUser, userInitiated()
		if in.machine != nil {
			c.start(in.machine.Kill)
		}
		if before == Stopped {
			c.start(func() { c.completeTransition(in) })
		}
		return nil
	})
}

// shutDown shuts the machine down, and kills it when that takes too long.
func (c *Cloud) shutDown(m machine.Machine) {
	ctx, cancel := context.WithTimeout(c.context, stopLimit)
	defer cancel()
	if err := m.Stop(ctx); err != nil {
		m.Kill()
	}
}

// changeInstances applies f to instances. It changes nothing when one of them does not exist.
func (c *Cloud) changeInstances(region string, ids []string, f func(*instance) error) ([]Change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, err := c.findInstances(region, ids)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, in := range all {
		before := in.State
		if err := f(in); err != nil {
			return nil, err
		}
		changes = append(changes, Change{in.ID, before, in.State})
	}
	c.updateForwards()
	return changes, nil
}

func userInitiated() string {
	return "User initiated (" + time.Now().UTC().Format("2006-01-02 15:04:05") + " GMT)"
}

// findInstances returns the instances with these ids, or EC2's error. The caller holds c.mu.
func (c *Cloud) findInstances(region string, ids []string) ([]*instance, error) {
	all := make([]*instance, 0, len(ids))
	for _, id := range ids {
		if err := kindInstance.check(id); err != nil {
			return nil, err
		}
		at := slices.IndexFunc(c.instances, func(in *instance) bool { return in.ID == id && in.Region == region })
		if at < 0 {
			return nil, kindInstance.missing(id)
		}
		all = append(all, c.instances[at])
	}
	return all, nil
}
