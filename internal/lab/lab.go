// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package lab is AWS on one computer: EC2, S3, SSM parameters, STS and IAM behind one http.Handler, and the metadata
// service of each machine. For each request it finds the service, checks signature, limits and permissions, applies
// faults, and records the call. It knows services only through package service; what they do is in the packages below.
//
// Only tests, cmd/bakery-lab and internal/bench may import it.
package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/address"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/ec2"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/fault"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iamapi"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/imds"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/limit"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/s3"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/ssm"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sts"
)

// Bucket exists from the start.
const Bucket = "bakery-lab"

// ForeignBucket belongs to another account, which lets everybody in.
const ForeignBucket = "bakery-lab-foreign"

// User is the login user of the base images, as Debian's cloud-init names it; Debian's own AMIs call it admin.
const User = "debian"

// Profile is an instance profile that exists from the start. Options.RolePolicy limits its role.
const Profile = "bakery"

// Region is the region in the lab's environment. Requests may be for any other.
const Region = "us-east-1"

// Options of a Lab. Images, Run, Runner, Disks, Base and Address are required.
type Options struct {
	Images     string // directory of the images, which are there in the next lab, too
	Run        string // directory of everything else, empty
	Address    string // host:port of the lab's endpoint, on this computer and in machines
	Runner     machine.Runner
	Disks      cloud.Disks
	Base       func(ctx context.Context, suite string) (disk string, err error)
	Internet   bool
	StrictIMDS func(cloud.Instance) bool // see imds.Server.Strict; nil: for no instance
	Delays     cloud.Delays
	IAMDelay   time.Duration // until EC2 knows a new instance profile or its role
	Eventual   time.Duration // until EC2 and IAM find new resources
	Policy     *iam.Policy   // of the lab's own key; nil allows everything
	RolePolicy *iam.Policy   // of instance profiles and assumed roles
	Faults     []fault.Fault
	ClockSkew  time.Duration // how far the clock for signatures is ahead
	URLLife    time.Duration // the longest life of presigned URLs; 0: as long as they say
	Limits     *limit.Rates  // of the account's requests to EC2; nil: none
	Log        io.Writer
}

// Lab serves all services. Close ends its machines.
type Lab struct {
	options   Options
	accessKey string
	secretKey string
	keys      *sigv4.Keys
	addresses *address.Pool
	cloud     *cloud.Cloud
	ec2       *ec2.Server
	s3        *s3.Server
	ssm       *ssm.Store
	iam       *iamapi.Store
	services  map[string]service.Service // by name
	limits    *limit.Limits
	faults    fault.Set

	mu              sync.Mutex
	calls           []Call
	roleCredentials map[string]imds.Credentials // by role
}

// New returns a lab with an access key of its own.
func New(o Options) (*Lab, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	l := &Lab{
		options: o, limits: limit.New(o.Limits), roleCredentials: map[string]imds.Credentials{},
		keys:      &sigv4.Keys{Skew: o.ClockSkew, URLLife: o.URLLife, Regions: cloud.Regions},
		accessKey: "AKIALAB" + strings.ToUpper(random(6)), secretKey: random(20),
		ssm: &ssm.Store{Account: cloud.Account},
		iam: iamapi.New(cloud.Account, Profile, o.IAMDelay),
	}
	l.faults.Add(o.Faults...)
	l.keys.Add(l.accessKey, l.secretKey,
		sigv4.Principal{ARN: "arn:aws:iam::" + cloud.Account + ":user/bakery", UserID: "AIDABAKERYLAB"})
	l.seedParameters()
	l.seedStandIns()
	if err := l.startS3(); err != nil {
		return nil, err
	}
	if err := l.startCloud(); err != nil {
		return nil, err
	}
	l.ec2 = &ec2.Server{
		Cloud: l.cloud, ResolveImage: l.resolveImage, RoleOf: l.iam.RoleOf,
		ProfileNotVisibleYet: l.iam.ProfileNotVisibleYet,
	}
	l.services = map[string]service.Service{}
	lender := &sts.Server{Account: cloud.Account, Keys: l.keys, MaxSession: l.iam.MaxSession}
	for _, s := range []service.Service{l.ec2, l.iam, l.s3, l.ssm, lender} {
		l.services[s.Name()] = s
	}
	return l, nil
}

func (l *Lab) startS3() error {
	backend, err := s3.NewBackend(filepath.Join(l.options.Run, "s3"))
	if err != nil {
		return err
	}
	if l.s3, err = s3.NewServer(backend, cloud.Account, Bucket, ForeignBucket); err != nil {
		return fmt.Errorf("create the lab's buckets: %w", err)
	}
	return nil
}

func (l *Lab) startCloud() (err error) {
	if l.addresses, err = address.NewPool(); err != nil {
		return err
	}
	o := l.options
	l.cloud, err = cloud.New(cloud.Options{
		Images: o.Images, Run: o.Run, Runner: o.Runner, Disks: o.Disks, Base: o.Base, Listeners: l.listeners,
		Addresses: cloud.Addresses{Allocate: l.addresses.Allocate, Release: l.addresses.Release, Forward: forward},
		Profile:   l.profile, Delays: o.Delays, Internet: o.Internet, Log: log.New(o.Log, "bakery-lab: ", 0).Printf,
	})
	if err != nil {
		return errors.Join(err, l.addresses.Close())
	}
	return nil
}

// forward is address.Forward with the types of package cloud.
func forward(at string, dial func(context.Context) (net.Conn, error), done <-chan struct{}) (io.Closer, error) {
	return address.Forward(at, dial, done)
}

// Overwrite replaces the content of all objects of the lab's bucket whose keys end with a name, without a call.
func (l *Lab) Overwrite(name, content string) error { return l.s3.Overwrite(Bucket, name, content) }

// Close ends all machines and waits until they have ended.
func (l *Lab) Close() error { return errors.Join(l.cloud.Close(), l.addresses.Close()) }

// Variable is one environment variable.
type Variable struct{ Name, Value string }

// Env returns the environment variables with which a program uses the lab instead of AWS.
func (l *Lab) Env() []Variable {
	endpoint := "http://" + l.options.Address
	all := []Variable{
		{"AWS_ENDPOINT_URL", endpoint}, {"AWS_ACCESS_KEY_ID", l.accessKey}, {"AWS_SECRET_ACCESS_KEY", l.secretKey},
		{"AWS_REGION", Region}, {"AWS_DEFAULT_REGION", Region}, {"AWS_EC2_METADATA_DISABLED", "true"},
		{"BAKERY_LAB_ENDPOINT", endpoint}, {"BAKERY_LAB_AMI", cloud.BaseImageID("bookworm")},
		{"BAKERY_LAB_USER", User},
	}
	for _, suite := range cloud.Suites {
		all = append(all, Variable{"BAKERY_LAB_AMI_" + strings.ToUpper(suite), cloud.BaseImageID(suite)})
	}
	return append(all,
		Variable{"BAKERY_LAB_VPC", cloud.DefaultVPC}, Variable{"BAKERY_LAB_SUBNET", cloud.DefaultSubnet},
		Variable{"BAKERY_LAB_SECURITY_GROUP", cloud.DefaultGroup}, Variable{"BAKERY_LAB_BUCKET", Bucket},
		Variable{"BAKERY_LAB_INSTANCE_PROFILE", Profile})
}

// seedParameters sets the parameters in which the ids of AMIs are published.
func (l *Lab) seedParameters() {
	for _, suite := range cloud.Suites {
		for _, name := range cloud.BaseParameters(suite) {
			l.ssm.Seed(name, cloud.BaseImageID(suite))
		}
	}
}

// resolveImage returns the image id that a parameter holds.
func (l *Lab) resolveImage(parameter string) (string, error) {
	id, err := l.ssm.Value(parameter)
	if err != nil {
		return "", apierror.Errorf("InvalidParameterValue", "Unable to resolve the SSM parameter %s", parameter)
	}
	return id, nil
}

// listeners are the servers in a machine's network: its metadata service and the lab's endpoint. The endpoint has the
// same address as on this computer, so that URLs are valid in both.
func (l *Lab) listeners(instance string) []machine.Listener {
	strict := false
	if i, ok := l.cloud.Instance(instance); ok && l.options.StrictIMDS != nil {
		strict = l.options.StrictIMDS(i)
	}
	metadata := &imds.Server{
		Instance: func() (cloud.Instance, bool) { return l.cloud.Instance(instance) },
		Groups:   l.groupNames, Credentials: l.credentialsOf, Strict: strict,
	}
	return []machine.Listener{{Address: "169.254.169.254:80", Handler: metadata},
		{Address: l.options.Address, Handler: l}}
}

func (l *Lab) groupNames(ids []string) []string {
	groups, err := l.cloud.SecurityGroups("", ids)
	if err != nil {
		return ids // deleted meanwhile
	}
	var names []string
	for _, g := range groups {
		names = append(names, g.Name)
	}
	return names
}

// profile returns what EC2 knows of an instance profile.
func (l *Lab) profile(name string) cloud.Profile {
	p := l.iam.Profile(name)
	return cloud.Profile{Known: p.Known, ID: p.ID, Role: p.Role}
}

// profileLife is how long the credentials of an instance profile's role are valid, as on EC2.
const profileLife = 6 * time.Hour

// credentialsOf returns credentials of a role, which are the same until they are about to expire.
func (l *Lab) credentialsOf(role string) imds.Credentials {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.roleCredentials[role]; ok && time.Until(c.Expires) > time.Hour {
		return c
	}
	issued, _ := sts.IssueCredentials(l.keys, cloud.Account, role, "lab", profileLife)
	c := imds.Credentials{AccessKey: issued.AccessKey, SecretKey: issued.SecretKey, Token: issued.Token,
		Updated: time.Now().UTC(), Expires: issued.Expires.UTC()}
	l.roleCredentials[role] = c
	return c
}

// random returns n random bytes in hexadecimal.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
