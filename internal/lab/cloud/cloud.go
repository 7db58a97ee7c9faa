// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
)

// Delays make state changes as slow as a test wants them. Zero is as fast as the machine goes.
type Delays struct {
	Pending     time.Duration // instance: pending to running
	Stopping    time.Duration // instance: stopping to stopped
	Terminating time.Duration // instance: shutting-down to terminated
	Image       time.Duration // image and snapshot: pending to available
}

// Disks copies and grows disk images; package disk does.
type Disks struct {
	Clone func(src, dst string) error
	Grow  func(ctx context.Context, image string, size int64) error
}

// Options of a Cloud. Everything but Addresses, Profile, Delays, Internet and Log is needed.
type Options struct {
	Images    string // directory of the images and snapshots that outlive the process
	Run       string // directory of what ends with it: instances' disks
	Runner    machine.Runner
	Disks     Disks
	Base      func(ctx context.Context, suite string) (disk string, err error) // a base image's disk, built when needed
	Listeners func(instanceID string) []machine.Listener                       // what a machine reaches: metadata, the endpoint
	Addresses Addresses                                                        // public ones; none without
	Profile   func(name string) Profile                                        // what IAM says of an instance profile; without, every name is one
	Delays    Delays
	Internet  bool
	Log       func(format string, args ...any) // what the lab's user should know but no API call can say
}

// Cloud is the whole state. All methods may be called from any goroutine; what they return is a copy.
type Cloud struct {
	options Options
	context context.Context // ends with the Cloud
	end     context.CancelFunc
	live    sync.WaitGroup // one per running goroutine

	mu        sync.Mutex // guards everything below
	closed    bool
	instances []*instance // in order of launch
	images    map[string]*Image
	snapshots map[string]*Snapshot
	volumes   map[string]*Volume
	groups    map[string]*SecurityGroup
	keys      map[string]*KeyPair // by region + name
	launches  map[string]launched // by region + client token
	copies    map[string]copied   // by region + client token
	spots     []*spotRequest      // in order of creation
	nextIP    uint32
}

// New reads the images of earlier processes and seeds what every account has.
func New(o Options) (*Cloud, error) {
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	for _, dir := range []string{o.Images, filepath.Join(o.Run, "disks")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the lab's directory: %w", err)
		}
	}
	images, snapshots, err := Stored(o.Images)
	if err != nil {
		return nil, err
	}
	c := &Cloud{
		options: o, images: map[string]*Image{}, snapshots: map[string]*Snapshot{}, volumes: map[string]*Volume{},
		groups: map[string]*SecurityGroup{}, keys: map[string]*KeyPair{}, launches: map[string]launched{}, copies: map[string]copied{}, nextIP: firstAddress,
	}
	c.context, c.end = context.WithCancel(context.Background())
	for _, i := range images {
		c.images[i.ID] = &i
	}
	for _, s := range snapshots {
		c.snapshots[s.ID] = &s
	}
	c.groups[DefaultGroup] = defaultGroup()
	return c, nil
}

// Close kills every instance and waits until nothing of them is left.
func (c *Cloud) Close() error {
	c.mu.Lock()
	c.closed = true
	for _, in := range c.instances {
		if in.machine != nil {
			c.start(in.machine.Kill)
		}
	}
	c.mu.Unlock()
	c.end()
	c.live.Wait()
	return os.RemoveAll(filepath.Join(c.options.Run, "disks"))
}

// start runs work in a goroutine that Close waits for.
func (c *Cloud) start(work func()) {
	c.live.Go(work)
}

// wait sleeps, less when the Cloud ends.
func (c *Cloud) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.context.Done():
	}
}

// here tells whether a resource of one region shows in another's lists.
func here(resource, region string) bool { return resource == "" || region == "" || resource == region }
