// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
)

// UserDataLimit is EC2's limit of user data in bytes, before base64
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html).
const UserDataLimit = 16384

// Launch is a RunInstances request.
type Launch struct {
	Region, ImageID, Type, SubnetID string
	SecurityGroups                  []string // ids; the default group when empty
	KeyName                         string
	Profile                         string // name of an instance profile
	ProfileARN                      string // as the request has it, for error messages; or ""
	UserData                        []byte
	Count                           int
	ShutdownBehavior                string // stop when empty
	ClientToken                     string
	Tags, VolumeTags                Tags
	Devices                         []ImageDevice // override the image's, by name
	Metadata                        MetadataOptions
	Private                         bool // no public address, which the subnet assigns otherwise
	APITermination, EbsOptimized    bool
	Spot                            SpotOptions
	Extras

	zone string // of the subnet
}

// instance is an Instance and its machine.
type instance struct {
	Instance
	console     *console
	disk        string
	root        ImageDevice     // the root device as launched
	diskMu      sync.Mutex      // held while the disk is copied or deleted, or a machine is started on it
	machine     machine.Machine // nil when it is not running
	whenStopped []func()        // to do when the machine is off, before it is started again: copies for images
	reboot      bool
	spot        SpotOptions
	public      bool      // a public address is assigned when it starts
	sshForward  io.Closer // forwards SSH from the public address; nil when SSH is not reachable
}

// launched is the request and the reservation of a client token.
type launched struct {
	print       [sha256.Size]byte
	reservation string
}

// profileName is what IAM allows as the name of an instance profile.
var profileName = regexp.MustCompile("^[A-Za-z0-9+=,.@_-]{1,128}$")

// Launch launches instances and returns at once, when they are pending.
func (c *Cloud) Launch(l Launch) ([]Instance, error) {
	if err := c.checkLaunch(&l); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, apierror.Errorf("ServiceUnavailable", "The lab is shutting down.")
	}
	if again, err := c.launchedBefore(l); again != nil || err != nil {
		return again, err
	}
	image, err := c.launchImage(l)
	if err != nil {
		return nil, err
	}
	devices, err := c.launchDevices(l.Region, image, l.Devices)
	if err != nil {
		return nil, err
	}
	reservation := NewID("r-")
	if l.ClientToken != "" {
		c.saveLaunchToken(l, reservation)
	}
	var all []Instance
	for range max(1, l.Count) {
		in := c.newInstance(l, image, devices, reservation)
		c.instances = append(c.instances, in)
		if l.Spot.On {
			c.newSpotRequest(l, in)
		}
		all = append(all, in.clone())
		c.start(func() { c.runInstance(in) })
	}
	return all, nil
}

// Check returns the error that Launch would return, for a dry run.
func (c *Cloud) Check(l Launch) error {
	if err := c.checkLaunch(&l); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	image, err := c.launchImage(l)
	if err != nil {
		return err
	}
	_, err = c.launchDevices(l.Region, image, l.Devices)
	return err
}

func (c *Cloud) checkLaunch(l *Launch) error {
	if len(l.UserData) > UserDataLimit {
		return apierror.Errorf("InvalidParameterValue", "User data is limited to %d bytes", UserDataLimit)
	}
	if err := c.setPlacement(l); err != nil {
		return err
	}
	l.Type = cmp.Or(l.Type, "m1.small")
	if _, ok := InstanceType(l.Type); !ok {
		return apierror.Errorf("InvalidParameterValue", "Invalid value '%s' for InstanceType.", l.Type)
	}
	for _, check := range []func(*Launch) error{checkExtras, checkSpot, checkToken} {
		if err := check(l); err != nil {
			return err
		}
	}
	if l.Metadata.Tags == "enabled" {
		if err := checkMetadataTags(l.Tags); err != nil {
			return err
		}
	}
	if len(l.SecurityGroups) == 0 {
		l.SecurityGroups = []string{DefaultGroup}
	}
	if _, err := c.SecurityGroups(l.Region, l.SecurityGroups); err != nil {
		return err
	}
	if l.KeyName != "" {
		if _, err := c.KeyPairs(l.Region, []string{l.KeyName}); err != nil {
			return err
		}
	}
	if _, err := c.profile(l); err != nil {
		return err
	}
	return checkBehavior(cmp.Or(l.ShutdownBehavior, "stop"))
}

// tokenLimit is how long a client token may be
// (https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html).
const tokenLimit = 64

func checkToken(l *Launch) error {
	if len(l.ClientToken) > tokenLimit {
		return apierror.Errorf("InvalidParameterValue",
			"Value (%s) for parameter clientToken is invalid. It can have at most %d ASCII characters.", l.ClientToken,
			tokenLimit)
	}
	return nil
}

// Profile is what EC2 knows of an instance profile.
type Profile struct {
	Known    bool
	ID, Role string
}

// profile returns the instance profile of a launch, or EC2's error.
func (c *Cloud) profile(l *Launch) (Profile, error) {
	if l.Profile == "" {
		return Profile{}, nil
	}
	p := Profile{Known: profileName.MatchString(l.Profile), ID: "AIPA" + strings.ToUpper(l.Profile), Role: l.Profile}
	if c.options.Profile != nil && p.Known {
		p = c.options.Profile(l.Profile)
	}
	switch {
	case !p.Known && l.ProfileARN != "":
		return p, apierror.Errorf("InvalidParameterValue",
			"Value (%s) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN",
			l.ProfileARN)
	case !p.Known:
		return p, apierror.Errorf("InvalidParameterValue",
			"Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", l.Profile)
	case p.Role == "":
		return p, apierror.Errorf("InvalidParameterValue", "IAM Instance Profile %q has no associated IAM Roles",
			cmp.Or(l.ProfileARN, l.Profile))
	}
	return p, nil
}

func checkBehavior(value string) error {
	if value != "stop" && value != "terminate" {
		return apierror.Errorf("InvalidParameterValue",
			"Invalid value '%s' for instanceInitiatedShutdownBehavior. Expected one of: [stop, terminate]", value)
	}
	return nil
}

// launchedBefore returns the instances of an earlier request with the same client token.
func (c *Cloud) launchedBefore(l Launch) ([]Instance, error) {
	before, ok := c.launches[l.Region+"/"+l.ClientToken]
	if l.ClientToken == "" || !ok {
		return nil, nil
	}
	if before.print != fingerprint(l) {
		return nil, apierror.Errorf("IdempotentParameterMismatch",
			"Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
	}
	var all []Instance
	for _, in := range c.instances {
		if in.ReservationID == before.reservation {
			all = append(all, in.clone())
		}
	}
	return all, nil
}

func (c *Cloud) saveLaunchToken(l Launch, reservation string) {
	if c.launches == nil {
		c.launches = map[string]launched{}
	}
	c.launches[l.Region+"/"+l.ClientToken] = launched{fingerprint(l), reservation}
}

func fingerprint(l Launch) [sha256.Size]byte { return sha256.Sum256(fmt.Appendf(nil, "%#v", l)) }

// availableImage returns an image, or EC2's error when it cannot be launched.
func (c *Cloud) availableImage(region, id string) (*Image, error) {
	image, err := c.image(region, id)
	if err != nil {
		return nil, err
	}
	if image.State != "available" {
		return nil, unavailable(id)
	}
	return image, nil
}

// launchImage returns the image, when it is available and runs on the instance type. The caller holds c.mu.
func (c *Cloud) launchImage(l Launch) (*Image, error) {
	image, err := c.availableImage(l.Region, l.ImageID)
	if err != nil {
		return nil, err
	}
	on, _ := InstanceType(l.Type) // checkLaunch has found it
	const arm64 = "arm64"         // x86_64 runs i386, too
	if (on.Architecture == arm64) != (image.Architecture == arm64) {
		return nil, apierror.Errorf("InvalidParameterValue", "The architecture '%s' of the specified instance type "+
			"does not match the architecture '%s' of the specified AMI. Specify an instance type and an AMI that have "+
			"matching architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to "+
			"discover the architecture of the instance type or AMI.", on.Architecture, image.Architecture)
	}
	return image, nil
}

// launchDevices returns the image's devices, changed as the request says.
func (c *Cloud) launchDevices(region string, image *Image, over []ImageDevice) ([]ImageDevice, error) {
	devices, err := overrideDevices(slices.Clone(image.Devices), over, launchDevice)
	if err != nil {
		return nil, err
	}
	devices = slices.DeleteFunc(devices, func(d ImageDevice) bool { return d.NoDevice || d.Virtual != "" })
	for at := range devices {
		d := &devices[at]
		if err := c.checkNewDevice(region, *d); err != nil {
			return nil, err
		}
		s, err := c.newEncryption(region, c.snapshotEncryption(d.SnapshotID), &d.Encrypted, d.KMSKey)
		if err != nil {
			return nil, err
		}
		d.Encrypted, d.KMSKey = s.on, s.key
	}
	return devices, nil
}

// launchDevice returns a device of the image, changed as the request says.
func launchDevice(have, want ImageDevice) (ImageDevice, error) {
	if want.Size != 0 && want.Size < have.Size {
		return want, smallerThanSnapshot(want.Size, have.SnapshotID, have.Size)
	}
	want.SnapshotID = cmp.Or(want.SnapshotID, have.SnapshotID)
	want.Size, want.Type = cmp.Or(want.Size, have.Size), cmp.Or(want.Type, have.Type)
	return want, nil
}

// newInstance creates an instance and its volumes. The caller holds c.mu.
func (c *Cloud) newInstance(l Launch, image *Image, devices []ImageDevice, reservation string) *instance {
	now := time.Now().UTC()
	in := &instance{console: &console{}, Instance: Instance{
		ID: NewID("i-"), Region: l.Region, ReservationID: reservation, ClientToken: l.ClientToken,
		ImageID: image.ID, Type: l.Type, Architecture: image.Architecture,
		State: Pending, Reason: ReasonPending, Created: now, LaunchTime: now,
		SubnetID: l.SubnetID, VPCID: DefaultVPC, Zone: l.zone, Extras: l.Extras.clone(),
		PrivateIP: c.nextAddress(), Interface: NewID("eni-"),
		SecurityGroups: slices.Clone(l.SecurityGroups), KeyName: l.KeyName, Profile: l.Profile,
		UserData: l.UserData, Tags: maps.Clone(l.Tags), ShutdownBehavior: cmp.Or(l.ShutdownBehavior, "stop"),
		Metadata: l.Metadata.withDefaults(image.IMDS), RootDevice: image.RootDevice,
		APITermination: l.APITermination, EbsOptimized: l.EbsOptimized, ENA: image.ENA, SriovNet: image.SriovNet,
	}}
	in.spot = l.Spot
	if p, err := c.profile(&l); err == nil {
		in.ProfileID, in.Role = p.ID, p.Role
	}
	in.disk = filepath.Join(c.options.Run, "disks", in.ID+".img")
	in.MAC = macOf(in.Interface)
	in.public = !l.Private
	if key := c.keys[l.Region+"/"+l.KeyName]; key != nil {
		in.PublicKey = key.Public
	}
	for _, d := range devices {
		if d.Name == image.RootDevice {
			in.root = d
		}
		in.Devices = append(in.Devices, c.newVolume(in, d, l.VolumeTags))
	}
	return in
}

func (m MetadataOptions) withDefaults(imageIMDS string) MetadataOptions {
	tokens := "optional"
	if imageIMDS == "v2.0" {
		tokens = "required"
	}
	return MetadataOptions{
		Tokens: cmp.Or(m.Tokens, tokens), Endpoint: cmp.Or(m.Endpoint, "enabled"),
		HopLimit: cmp.Or(m.HopLimit, 1), Tags: cmp.Or(m.Tags, "disabled"),
	}
}

// macOf returns a locally administered address (02:...), computed from the random id of an interface.
func macOf(eni string) string {
	h := sha256.Sum256([]byte(eni))
	return fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", h[0], h[1], h[2], h[3], h[4])
}
