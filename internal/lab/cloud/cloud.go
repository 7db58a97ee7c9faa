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

// Delays make state changes slow. With zero, they are as fast as the machine.
type Delays struct {
	Pending     time.Duration // instance: pending to running
	Stopping    time.Duration // instance: stopping to stopped
	Terminating time.Duration // instance: shutting-down to terminated
	Image       time.Duration // image and snapshot: pending to available
	Console     time.Duration // from a change of state until GetConsoleOutput shows the console of a machine on Xen
}

// Disks copies and grows disk images; package disk does.
type Disks struct {
	Clone func(src, dst string) error
	Grow  func(ctx context.Context, image string, size int64) error
}

// Options of a Cloud. All are required but Addresses, Profile, Delays, Internet and Log.
type Options struct {
	Images string // directory of the images and snapshots, which the next process has, too
	Run    string // directory of the instances' disks, which end with the process
	Runner machine.Runner
	Disks  Disks
	// builds a base image's disk when it is needed
	Base func(ctx context.Context, suite string) (disk string, err error)
	// servers in a machine's network: metadata, the endpoint
	Listeners func(instanceID string) []machine.Listener
	// public addresses; without it, instances have none
	Addresses Addresses
	// what IAM knows of an instance profile; without it, every name is a profile
	Profile  func(name string) Profile
	Delays   Delays
	Internet bool
	Log      func(format string, args ...any) // messages for the lab's user that no API call can return
}

// Cloud is the whole state. Safe for use by several goroutines. Its methods return copies.
type Cloud struct {
	options Options
	context context.Context // ends with the Cloud
	end     context.CancelFunc
	live    sync.WaitGroup // of running goroutines

	mu        sync.Mutex // guards everything below
	closed    bool
	instances []*instance // in order of launch
	images    map[string]*Image
	// the region of each image that was deregistered, by id
	deregistered map[string]string
	snapshots    map[string]*Snapshot
	volumes      map[string]*Volume
	groups       map[string]*SecurityGroup
	keys         map[string]*KeyPair // by region + name
	launches     map[string]launched // by region + client token
	copies       map[string]copied   // by region + client token
	spots        []*spotRequest      // in order of creation
	settings     map[string]Settings // of the account, by region
	nextIP       uint32
}

// New reads the images of earlier processes and creates what every account has.
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
		options: o, settings: map[string]Settings{}, images: map[string]*Image{},
		deregistered: map[string]string{},
		snapshots:    map[string]*Snapshot{}, volumes: map[string]*Volume{},
		groups: map[string]*SecurityGroup{}, keys: map[string]*KeyPair{}, launches: map[string]launched{},
		copies: map[string]copied{}, nextIP: firstAddress,
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

// Close kills all instances and waits until they have ended.
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

// wait sleeps for a duration, or until the Cloud ends.
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

// visibleIn reports whether lists of a region show a resource of some region; "" stands for all regions.
func visibleIn(resource, region string) bool {
	return resource == "" || region == "" || resource == region
}
