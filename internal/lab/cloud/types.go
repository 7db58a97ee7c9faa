// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"maps"
	"slices"
	"time"
)

// Account is the account of the lab's own key: a number that AWS uses in its documentation.
const Account = "123456789012"

// RunnerTag is the tag of an instance that chooses its runner, where the lab has several.
const RunnerTag = "bakery-lab:runner"

// Tags of one resource.
type Tags map[string]string

// State of an instance.
type State string

// The states of an instance.
const (
	Pending      State = "pending"
	Running      State = "running"
	ShuttingDown State = "shutting-down"
	Terminated   State = "terminated"
	Stopping     State = "stopping"
	Stopped      State = "stopped"
)

// Code returns the number that EC2 sends with the state's name.
func (s State) Code() int {
	return map[State]int{Pending: 0, Running: 16, ShuttingDown: 32, Terminated: 48, Stopping: 64, Stopped: 80}[s]
}

// Reason is a StateReason.
type Reason struct {
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

// The reasons why an instance is pending, stopped or terminated.
var (
	ReasonPending = Reason{"pending", "pending"}
	ReasonUser    = Reason{"Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown"}
	ReasonGuest   = Reason{"Client.InstanceInitiatedShutdown",
		"Client.InstanceInitiatedShutdown: Instance initiated shutdown"}
	ReasonLaunch    = Reason{"Server.InternalError", "Server.InternalError: Internal error on launch"}
	ReasonLostPower = Reason{"Server.InternalError",
		"Server.InternalError: An internal error caused the instance to stop"}
)

// Instance is an instance as its owner sees it.
type Instance struct {
	ID, Region, ReservationID, ClientToken string
	ImageID, Type, Architecture            string
	State                                  State
	Reason                                 Reason
	// "User initiated (2026-01-02 15:04:05 GMT)"; empty when the machine shut itself down
	TransitionReason                    string
	Created, LaunchTime                 time.Time // of the launch, and of the last start
	SubnetID, VPCID, Zone               string
	PrivateIP, PublicIP, MAC, Interface string
	SecurityGroups                      []string // ids
	KeyName, PublicKey                  string   // of the key pair; the key stays when the key pair is deleted
	Profile, ProfileID, Role            string   // the instance profile's name and id, and its role
	UserData                            []byte   // decoded
	Tags                                Tags
	ShutdownBehavior                    string // stop or terminate
	Metadata                            MetadataOptions
	RootDevice                          string
	Devices                             []InstanceDevice
	APITermination                      bool // DisableApiTermination
	EbsOptimized, ENA                   bool
	SriovNet                            string
	SpotRequest                         string // its id; "" for On-Demand Instances
	Extras
}

// PrivateDNS returns the host name that EC2 derives from the private address.
func (i Instance) PrivateDNS() string {
	return privateName(i.PrivateIP) + privateDomain(i.Region)
}

// InstanceDevice is an attached volume.
type InstanceDevice struct {
	Name, VolumeID      string
	AttachTime          time.Time
	DeleteOnTermination bool
}

// MetadataOptions of an instance. The zero value means EC2's defaults.
type MetadataOptions struct {
	Tokens   string // optional or required
	Endpoint string // enabled or disabled
	HopLimit int
	Tags     string // enabled or disabled: the instance's tags are in the metadata
}

// Image is an AMI. It is stored as JSON.
type Image struct {
	ID           string        `json:"id"`
	Region       string        `json:"region,omitempty"` // empty: in all regions, as the base images
	Name         string        `json:"name"`
	Description  string        `json:"description,omitempty"`
	Owner        string        `json:"owner"`
	OwnerAlias   string        `json:"owner_alias,omitempty"` // amazon for base images
	State        string        `json:"state"`                 // pending, available, failed
	Reason       Reason        `json:"reason,omitzero"`
	Architecture string        `json:"architecture"`
	Created      time.Time     `json:"created"`
	RootDevice   string        `json:"root_device"`
	Devices      []ImageDevice `json:"devices"`
	Tags         Tags          `json:"tags,omitempty"`
	Public       bool          `json:"public,omitempty"`
	Users        []string      `json:"users,omitempty"`
	Orgs         []string      `json:"orgs,omitempty"`
	OrgUnits     []string      `json:"org_units,omitempty"`
	Deprecation  time.Time     `json:"deprecation,omitzero"`
	// DeregistrationProtection: enabled-with-cooldown, ...
	Protected      string    `json:"protected,omitempty"`
	ProtectedUntil time.Time `json:"protected_until,omitzero"` // end of the cooldown
	ProductCodes   []string  `json:"product_codes,omitempty"`
	ENA            bool      `json:"ena,omitempty"`
	SriovNet       string    `json:"sriov,omitempty"`
	BootMode       string    `json:"boot_mode,omitempty"`
	IMDS           string    `json:"imds,omitempty"` // v2.0
	TPM            string    `json:"tpm,omitempty"`  // v2.0
	Instance       string    `json:"instance,omitempty"`
	SourceImage    string    `json:"source_image,omitempty"`
	SourceRegion   string    `json:"source_region,omitempty"`
	Suite          string    `json:"suite,omitempty"` // base images: the Debian release, built when first needed
}

// ImageDevice is one entry of an image's block device mapping.
type ImageDevice struct {
	Name                string `json:"name"`
	SnapshotID          string `json:"snapshot,omitempty"`
	Virtual             string `json:"virtual,omitempty"` // ephemeral0
	NoDevice            bool   `json:"no_device,omitempty"`
	Size                int64  `json:"size"` // GiB
	Type                string `json:"type,omitempty"`
	IOPS                int64  `json:"iops,omitempty"`
	Throughput          int64  `json:"throughput,omitempty"`
	Encrypted           bool   `json:"encrypted,omitempty"`
	KMSKey              string `json:"kms_key,omitempty"`
	DeleteOnTermination bool   `json:"delete_on_termination"`
}

// Snapshot is a snapshot of a volume. It is stored as JSON beside its data.
type Snapshot struct {
	ID          string    `json:"id"`
	Region      string    `json:"region,omitempty"`
	Owner       string    `json:"owner"`
	OwnerAlias  string    `json:"owner_alias,omitempty"`
	VolumeID    string    `json:"volume"`
	State       string    `json:"state"` // pending, completed, error
	Size        int64     `json:"size"`  // GiB
	Started     time.Time `json:"started"`
	Description string    `json:"description,omitempty"`
	Tags        Tags      `json:"tags,omitempty"`
	Users       []string  `json:"users,omitempty"`
	Public      bool      `json:"public,omitempty"`
	Encrypted   bool      `json:"encrypted,omitempty"`
	KMSKey      string    `json:"kms_key,omitempty"`
	Suite       string    `json:"suite,omitempty"`
	Progress    int       `json:"-"` // percent
}

// Volume is an EBS volume. Only root volumes have data.
type Volume struct {
	ID, Region, Zone, State, SnapshotID, Type, KMSKey string
	Size, IOPS, Throughput                            int64
	Encrypted                                         bool
	Created                                           time.Time
	Tags                                              Tags
	Instance, Device                                  string // of the attachment; empty when available
	DeleteOnTermination                               bool
}

func (i Instance) clone() Instance {
	i.Tags, i.SecurityGroups, i.Devices = maps.Clone(i.Tags), slices.Clone(i.SecurityGroups), slices.Clone(i.Devices)
	i.Extras = i.Extras.clone()
	i.InterfaceTags = maps.Clone(i.InterfaceTags)
	return i
}

func (i Image) clone() Image {
	i.Tags, i.Devices, i.Users = maps.Clone(i.Tags), slices.Clone(i.Devices), slices.Clone(i.Users)
	i.Orgs, i.OrgUnits, i.ProductCodes = slices.Clone(i.Orgs), slices.Clone(i.OrgUnits), slices.Clone(i.ProductCodes)
	return i
}

func (s Snapshot) clone() Snapshot {
	s.Tags, s.Users = maps.Clone(s.Tags), slices.Clone(s.Users)
	return s
}

func (v Volume) clone() Volume {
	v.Tags = maps.Clone(v.Tags)
	return v
}
