// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package awsfake is a fake AWS account for tests: as much of EC2, IAM, STS, SSM and S3 as one bake uses.
//
// An Account is an aws.HTTPClient. The real clients of the SDK talk to it without any network, so it also works
// inside a synctest bubble, where its time is that of the bubble.
//
// Only tests may import this package. It may import awscall, bake and guest, for their error codes, tags and reports,
// and no package that makes calls for a bake: the tests of those packages import this one.
package awsfake

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

const (
	// Region is the region of the build. The account also has OtherRegions.
	Region = "us-east-1"
	// AccountID is the id of the account.
	AccountID = "123456789012"
	// BakeID is the id of the bake whose reports the machine prints.
	BakeID = "00000000000000aa"
	// SourceImageID is the image that every account can start from, and that its SSM parameters and searches name.
	SourceImageID = "ami-0123456789abcdef0"
	// NewImageID is the first image that is created.
	NewImageID = "ami-0fedcba9876543210"
	// NewSnapshotID is its snapshot.
	NewSnapshotID = snapshotPrefix + NewImageID
	// ExistingImageID is an id for AddImage.
	ExistingImageID = "ami-0dead000000000001"
	// Bucket is the account's only bucket.
	Bucket = "bakery-test"

	snapshotPrefix = "snap-of-" // and the id of the image that the snapshot was created with
)

// OtherRegions are the regions of the account besides Region.
var OtherRegions = []string{"eu-west-1", "ap-south-1"}

// Account is a fake AWS account. Tests set its fields before calls are made and read them afterwards. What changes a
// field while calls are made has to be a Fault, which is called with the account locked, or a function that Change
// runs.
type Account struct {
	t       testing.TB
	mu      sync.Mutex
	s3      http.Handler
	objects *s3mem.Backend

	// The calls that were made.
	Calls       []string              // their actions, in order; those of S3 are "PUT object" and the like
	Requests    map[string]url.Values // the newest request of each action
	RequestedAt map[string]time.Time  // when that came

	// FailBefore has, by action, the calls that fail and have no effect. FailAfter has those that fail after they
	// have taken effect, as when the answer is lost.
	FailBefore, FailAfter map[string]Fault

	// Instances. Only the newest one works; earlier ones are there until they are terminated.
	Instance           Instance
	earlier            []Instance
	Console            []ConsoleText
	NoCommitment       bool              // machines do not put their commitment into the bucket
	StopsAfter         time.Duration     // an instance stops so long after its launch; 0: it never does
	Hypervisors        map[string]string // of instance types; nitro for those that are not named
	ConsoleLag         time.Duration     // the console of a machine that is not of nitro comes so long after its stop
	StopState          string            // of an instance that has stopped: stopped or terminated
	StopReason         string            // the code of the reason that EC2 gives for that
	KeepsRootVolume    bool              // the root volume is not deleted with its instance
	HiddenFromSearches int               // so many searches for instances by filters find nothing
	Volumes            map[string]bool
	instancesByToken   map[string]string
	userDataByToken    map[string]string
	stagedUserData     []byte // compressed, that of the newest instance

	// Spot Instances.
	SpotReclaims    int               // so many Spot Instances are taken back, the first ones
	SpotRequests    map[string]string // the status codes of the requests that are open, by their ids
	SpotPrices      map[string]string // by instance type
	SpotPricesPaged bool              // the first page of the prices is empty

	// Images.
	Images               map[string]*Image    // by id
	Snapshots            map[string]*Snapshot // by id
	ImagePendingFor      time.Duration        // an image is pending so long
	ImageFinalState      string               // then it has this state
	ImagesHideSnapshots  bool                 // images do not list their snapshots
	ImagesHideProtection bool                 // images do not say that they are protected from deregistration
	SourceImageXML       string               // more elements of the source image
	createdImages        int

	Settings map[string]*Settings // of the account, by region

	SecurityGroup string // the name of the group that was created; "" when there is none

	// ProfileParts is what exists of an instance profile: Role, RolePolicy, InstanceProfile, RoleOfInstanceProfile.
	ProfileParts map[string]bool
}

// New returns an account in which a bake succeeds: its machine takes 20 seconds, and its image 30.
func New(t testing.TB) *Account {
	t.Helper()
	objects := s3mem.New()
	if err := objects.CreateBucket(t.Context(), Bucket); err != nil {
		t.Fatal(err)
	}
	a := &Account{
		t: t, objects: objects,
		s3:       gofakes3.New(objects, gofakes3.WithTimeSkewLimit(0)).Server(), // an upload may take hours
		Requests: map[string]url.Values{}, RequestedAt: map[string]time.Time{},
		FailBefore: map[string]Fault{}, FailAfter: map[string]Fault{},
		StopsAfter: 20 * time.Second, StopState: "stopped", StopReason: ReasonOwnShutdown,
		ImagePendingFor: 30 * time.Second, ImageFinalState: "available",
		Volumes: map[string]bool{}, instancesByToken: map[string]string{}, userDataByToken: map[string]string{},
		SpotRequests: map[string]string{},
		Images:       map[string]*Image{}, Snapshots: map[string]*Snapshot{}, ProfileParts: map[string]bool{},
	}
	a.SetReports("begin 2", "start 1 script/install.sh", "end 1 0 script/install.sh", "start 2 60_app.cfg",
		"end 2 0 60_app.cfg", Success)
	return a
}

// Change runs a function while the account answers no call.
func (a *Account) Change(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}
