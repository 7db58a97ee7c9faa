// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// NewImage is a CreateImage request.
type NewImage struct {
	Region, InstanceID, Name, Description string
	NoReboot                              bool
	Devices                               []ImageDevice // override the instance's, by name
	Tags, SnapshotTags                    Tags
}

// imageName is what EC2 allows as the name of an AMI.
var imageName = regexp.MustCompile(`^[a-zA-Z0-9()\[\] ./\-'@_]{3,128}$`)

// CreateImage creates an image of an instance. A running instance is shut down and started again; with NoReboot its
// disk is copied as it is. The image is pending when CreateImage returns.
func (c *Cloud) CreateImage(n NewImage) (Image, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.checkImageName(n.Region, n.Name); err != nil {
		return Image{}, err
	}
	all, err := c.findInstances(n.Region, []string{n.InstanceID})
	if err != nil {
		return Image{}, err
	}
	in := all[0]
	if in.State != Running && in.State != Stopped {
		return Image{}, apierror.Errorf("IncorrectInstanceState",
			"Instance is not in state 'running' or 'stopped'. Instance '%s' is in state '%s'", in.ID, in.State)
	}
	if err := c.checkImageDevices(n.Region, in, n.Devices); err != nil {
		return Image{}, err
	}
	image, root := c.pendingImage(n, in)
	if in.State == Running && !n.NoReboot && in.machine != nil {
		in.whenStopped = append(in.whenStopped, func() { c.copyDisk(in, image, root, false) })
		m := in.machine
		c.start(func() { c.shutDown(m) })
		return image.clone(), nil
	}
	held := in.diskMu.TryLock() // so that a start or a termination waits from now on
	c.start(func() { c.copyDisk(in, image, root, held) })
	return image.clone(), nil
}

// MalformedImageName returns EC2's error for a name that an AMI cannot have.
func MalformedImageName() error {
	return apierror.Errorf("InvalidAMIName.Malformed",
		"AMI names must be between 3 and 128 characters long, and may contain letters, numbers, spaces, '(', "+
			"')', '.', '-', '/', '_', '[', ']', ''' and '@'")
}

func (c *Cloud) checkImageName(region, name string) error {
	if !imageName.MatchString(name) {
		return MalformedImageName()
	}
	for _, i := range c.images {
		if i.Name == name && i.Owner == Account && visibleIn(i.Region, region) && i.State != "failed" {
			return apierror.Errorf("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, i.ID)
		}
	}
	return nil
}

// pendingImage adds an image and its snapshots. The caller holds c.mu.
func (c *Cloud) pendingImage(n NewImage, in *instance) (*Image, *Snapshot) {
	source := c.images[in.ImageID]
	image := &Image{
		ID: NewID("ami-"), Region: n.Region, Name: n.Name, Description: n.Description, Owner: Account, State: "pending",
		Architecture: in.Architecture, Created: time.Now().UTC().Truncate(time.Millisecond), RootDevice: in.RootDevice,
		Tags: maps.Clone(n.Tags), ENA: in.ENA, SriovNet: in.SriovNet, Instance: in.ID, SourceImage: in.ImageID,
		SourceRegion: n.Region,
	}
	if source != nil {
		image.BootMode, image.IMDS, image.TPM = source.BootMode, source.IMDS, source.TPM
	}
	var root *Snapshot
	for _, d := range in.Devices {
		v := c.volumes[d.VolumeID]
		s := c.pendingSnapshot(v, "Created by CreateImage("+in.ID+") for "+image.ID, n.SnapshotTags)
		if d.Name == in.RootDevice {
			root = s
		}
		image.Devices = append(image.Devices, ImageDevice{
			Name: d.Name, SnapshotID: s.ID, Size: v.Size, Type: v.Type, IOPS: v.IOPS, Throughput: v.Throughput,
			Encrypted: v.Encrypted, KMSKey: v.KMSKey, DeleteOnTermination: v.DeleteOnTermination,
		})
	}
	image.Devices = createImageDevices(image.Devices, n.Devices)
	c.images[image.ID] = image
	return image, root
}

// overrideDevices adds the devices of a request to those there are. For devices with the same name, merge returns the
// new one.
func overrideDevices(
	devices, request []ImageDevice, merge func(have, want ImageDevice) (ImageDevice, error),
) ([]ImageDevice, error) {
	for _, want := range request {
		at := slices.IndexFunc(devices, func(have ImageDevice) bool { return have.Name == want.Name })
		if at < 0 {
			devices = append(devices, want)
			continue
		}
		merged, err := merge(devices[at], want)
		if err != nil {
			return nil, err
		}
		devices[at] = merged
	}
	return devices, nil
}

// createImageDevices returns the devices of an image, changed as a CreateImage request says.
func createImageDevices(devices, request []ImageDevice) []ImageDevice {
	devices, _ = overrideDevices(devices, request, func(have, want ImageDevice) (ImageDevice, error) { // it cannot fail
		want.SnapshotID, want.Size = have.SnapshotID, have.Size
		want.Encrypted, want.KMSKey = have.Encrypted, have.KMSKey
		if want.Type == "" {
			want.Type = have.Type
			want.IOPS, want.Throughput = cmp.Or(want.IOPS, have.IOPS), cmp.Or(want.Throughput, have.Throughput)
		}
		return want, nil
	})
	return slices.DeleteFunc(devices, func(d ImageDevice) bool { return d.NoDevice })
}

func (c *Cloud) pendingSnapshot(v *Volume, description string, tags Tags) *Snapshot {
	s := &Snapshot{
		ID: NewID("snap-"), Region: v.Region, Owner: Account, VolumeID: v.ID, State: "pending", Size: v.Size,
		Started: time.Now().UTC(), Description: description, Tags: maps.Clone(tags), Encrypted: v.Encrypted,
		KMSKey: v.KMSKey,
	}
	c.snapshots[s.ID] = s
	return s
}

// copyDisk copies the disk to the root snapshot; then the image is available, or failed.
func (c *Cloud) copyDisk(in *instance, image *Image, root *Snapshot, held bool) {
	began := time.Now()
	if !held {
		in.diskMu.Lock()
	}
	err := c.options.Disks.Clone(in.disk, SnapshotDisk(c.options.Images, root.ID))
	in.diskMu.Unlock()
	c.completeImage(image, began, err)
}

// completeImage makes a pending image available, or failed. It removes the files of an image that has been
// deregistered.
func (c *Cloud) completeImage(image *Image, began time.Time, err error) {
	c.wait(c.options.Delays.Image - time.Since(began))
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range image.Devices {
		s := c.snapshots[d.SnapshotID]
		switch {
		case s == nil:
			if d.SnapshotID != "" {
				c.removeFiles(d.SnapshotID)
			}
		case err != nil:
			s.State = "error"
		case !c.closed:
			s.State = "completed"
			c.saveSnapshot(s)
		default:
			c.removeFiles(s.ID)
		}
	}
	if c.images[image.ID] == nil || c.closed {
		return
	}
	if image.State = "available"; err != nil {
		c.options.Log("%s failed: %v", image.ID, err)
		image.State, image.Reason = "failed", Reason{"Server.InternalError", "Server.InternalError: " + err.Error()}
	}
	c.saveImage(image)
}

// image returns an image that is visible in a region. The caller holds c.mu.
func (c *Cloud) image(region, id string) (*Image, error) {
	if err := kindImage.check(id); err != nil {
		return nil, err
	}
	i := c.images[id]
	switch {
	case c.wasDeregistered(region, id):
		return nil, unavailable(id)
	case i == nil || !visibleIn(i.Region, region):
		return nil, kindImage.missing(id)
	}
	return i, nil
}

// wasDeregistered reports whether this process has deregistered an image. EC2 knows such an id for some time: as one
// that is not available, and in lists of images with this id as nothing
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html). The caller holds c.mu.
func (c *Cloud) wasDeregistered(region, id string) bool {
	where, ok := c.deregistered[id]
	return ok && visibleIn(where, region)
}

func unavailable(id string) error {
	return apierror.Errorf("InvalidAMIID.Unavailable", "The image ID '%s' is not available", id)
}

// Image returns an image that is visible in a region.
func (c *Cloud) Image(region, id string) (Image, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, err := c.image(region, id)
	if err != nil {
		return Image{}, err
	}
	return i.clone(), nil
}

// Images returns the images with these ids, or all that are visible in a region, oldest first. It leaves out those that
// were deregistered.
func (c *Cloud) Images(region string, ids []string) ([]Image, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if _, err := c.image(region, id); err != nil && !c.wasDeregistered(region, id) {
			return nil, err
		}
	}
	var all []Image
	for _, i := range c.images {
		if visibleIn(i.Region, region) && (len(ids) == 0 || slices.Contains(ids, i.ID)) {
			all = append(all, i.clone())
		}
	}
	slices.SortFunc(all, func(a, b Image) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

// ModifyImage changes an image of the account.
func (c *Cloud) ModifyImage(region, id string, f func(*Image) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, err := c.ownImage(region, id)
	if err != nil {
		return err
	}
	changed := i.clone()
	if err := f(&changed); err != nil {
		return err
	}
	if err := errors.Join(c.checkPublicImage(i, &changed), c.checkShared(i, &changed)); err != nil {
		return err
	}
	*i = changed
	c.saveImage(i)
	return nil
}

func (c *Cloud) ownImage(region, id string) (*Image, error) {
	i, err := c.image(region, id)
	if err != nil {
		return nil, err
	}
	if i.Owner != Account {
		return nil, apierror.Errorf("AuthFailure", "Not authorized for image:%s", id)
	}
	return i, nil
}

// Deregister removes an image, and with withSnapshots its snapshots, whose ids it returns.
func (c *Cloud) Deregister(region, id string, withSnapshots bool) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, err := c.ownImage(region, id)
	if err != nil {
		return nil, err
	}
	if i.Protected != "" {
		return nil, apierror.Errorf("OperationNotPermitted",
			"The image '%s' may not be deregistered: deregistration protection is enabled.", id)
	}
	if time.Now().Before(i.ProtectedUntil) {
		return nil, apierror.Errorf("OperationNotPermitted",
			"The image '%s' may not be deregistered before the cooldown of its protection ends at %s.",
			id, i.ProtectedUntil.Format(time.RFC3339))
	}
	delete(c.images, id)
	c.deregistered[id] = i.Region
	c.removeFiles(id)
	if !withSnapshots {
		return nil, nil
	}
	var deleted []string
	for _, d := range i.Devices {
		if s := c.snapshots[d.SnapshotID]; s != nil && c.imageUsing(s.ID) == "" {
			delete(c.snapshots, s.ID)
			c.removeFiles(s.ID)
			deleted = append(deleted, s.ID)
		}
	}
	return deleted, nil
}

// Copy is a CopyImage request.
type Copy struct {
	Region, SourceRegion, ImageID, Name, Description string
	ClientToken                                      string
	Encrypted                                        *bool // nil: like the source
	KMSKey                                           string
	CopyTags                                         bool
	Tags, SnapshotTags                               Tags
}

// CopyImage copies an image to the same region or to another.
func (c *Cloud) CopyImage(n Copy) (Image, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if again, err := c.copiedBefore(n); err != nil {
		return Image{}, err
	} else if again != nil {
		return again.clone(), nil
	}
	source, err := c.availableImage(n.SourceRegion, n.ImageID)
	if err != nil {
		return Image{}, err
	}
	if err := c.checkImageName(n.Region, n.Name); err != nil {
		return Image{}, err
	}
	if err := c.checkCopy(source, n); err != nil {
		return Image{}, err
	}
	image := source.clone()
	image.ID, image.Region, image.Name, image.Description = NewID("ami-"), n.Region, n.Name, n.Description
	image.Owner, image.OwnerAlias, image.State, image.Suite, image.Public = Account, "", "pending", "", false
	image.Users, image.Orgs, image.OrgUnits, image.Protected, image.Deprecation = nil, nil, nil, "", time.Time{}
	image.ProtectedUntil = time.Time{}
	image.Created, image.Instance = time.Now().UTC().Truncate(time.Millisecond), ""
	image.SourceImage, image.SourceRegion = source.ID, n.SourceRegion
	image.Tags = Tags{}
	if n.CopyTags { // only those of the source's own account
		maps.Copy(image.Tags, source.Tags)
	}
	maps.Copy(image.Tags, n.Tags)
	copies := map[string]string{}
	for at := range image.Devices {
		c.copySnapshot(&image.Devices[at], image.ID, n, copies)
	}
	c.images[image.ID] = &image
	if n.ClientToken != "" {
		c.copies[n.Region+"/"+n.ClientToken] = copied{n.fingerprint(), image.ID}
	}
	c.start(func() { c.copyAll(&image, copies) })
	return image.clone(), nil
}

// copied is the request and the image of a client token of CopyImage.
type copied struct {
	print [sha256.Size]byte
	image string
}

func (n Copy) fingerprint() [sha256.Size]byte {
	text, err := json.Marshal(n) //nolint:gosec // a client token is not a secret
	if err != nil {
		panic(err) // cannot happen: there are only strings, maps of strings and booleans
	}
	return sha256.Sum256(text)
}

// copiedBefore returns the image of an earlier request with the same client token, or nil.
func (c *Cloud) copiedBefore(n Copy) (*Image, error) {
	before, ok := c.copies[n.Region+"/"+n.ClientToken]
	if n.ClientToken == "" || !ok {
		return nil, nil //nolint:nilnil // no earlier request is not an error
	}
	if before.print != n.fingerprint() {
		return nil, apierror.Errorf("IdempotentParameterMismatch",
			"Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
	}
	return c.images[before.image], nil
}

// checkCopy returns EC2's error for a copy that the source's encryption does not allow.
func (c *Cloud) checkCopy(source *Image, n Copy) error {
	if n.KMSKey != "" && (n.Encrypted == nil || !*n.Encrypted) {
		return apierror.Errorf("InvalidParameterDependency",
			"The parameter KmsKeyId requires the parameter Encrypted to be set.")
	}
	for _, d := range source.Devices {
		if c.snapshotEncryption(d.SnapshotID).on && n.Encrypted != nil && !*n.Encrypted {
			return apierror.Errorf("InvalidRequest",
				"Snapshot %s is encrypted. Creating an unencrypted copy from an encrypted snapshot is not supported.",
				d.SnapshotID)
		}
	}
	return nil
}

// copySnapshot gives a device of the copy a snapshot of its own.
func (c *Cloud) copySnapshot(d *ImageDevice, imageID string, n Copy, copies map[string]string) {
	from := c.snapshots[d.SnapshotID]
	if from == nil {
		return
	}
	s := from.clone()
	s.ID, s.Region, s.Owner, s.OwnerAlias, s.State, s.Suite = NewID("snap-"), n.Region, Account, "", "pending", ""
	s.Started, s.Tags = time.Now().UTC(), maps.Clone(n.SnapshotTags)
	s.Users, s.Public, s.VolumeID = nil, false, "vol-ffffffff"
	s.Description = "Copied for DestinationAmi " + imageID + " from SourceAmi " + n.ImageID + " for SourceSnapshot " +
		from.ID
	account := c.settings[n.Region]
	switch encrypts := account.EncryptsDisks || n.Encrypted != nil && *n.Encrypted; {
	case n.KMSKey != "" || !from.Encrypted && encrypts:
		s.Encrypted, s.KMSKey = true, KeyARN(n.Region, cmp.Or(n.KMSKey, account.DefaultKey))
	case from.Encrypted && (n.Region != n.SourceRegion || from.Owner != Account): // the target has no such key
		s.KMSKey = KeyARN(n.Region, account.DefaultKey)
	}
	d.SnapshotID, d.Encrypted, d.KMSKey = s.ID, s.Encrypted, s.KMSKey
	c.snapshots[s.ID] = &s
	copies[s.ID] = from.ID
}

func (c *Cloud) copyAll(image *Image, copies map[string]string) {
	began := time.Now()
	var err error
	for to, from := range copies {
		source, fail := c.snapshotDisk(c.context, from)
		if fail == nil {
			if _, none := os.Stat(source); none == nil { // only root volumes have data
				fail = c.options.Disks.Clone(source, SnapshotDisk(c.options.Images, to))
			}
		}
		err = errors.Join(err, fail)
	}
	c.completeImage(image, began, err)
}
