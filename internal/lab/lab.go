// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package lab puts the services of the lab together: EC2, S3, SSM parameters, STS, IAM and, for each
// machine, its metadata, all behind one http.Handler on one port. It decides which service a request
// is for, who sent it and whether they may; records it; and breaks it where a test asked for that.
// What the services answer is in the packages below.
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
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/address"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/ec2"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iamapi"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/imds"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/limit"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/s3"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/ssm"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sts"
)

// Bucket is there from the start.
const Bucket = "bakery-lab"

// ForeignBucket belongs to another account, which lets everybody in.
const ForeignBucket = "bakery-lab-foreign"

// User is the login user of the base images, as Debian's cloud-init names it; Debian's own AMIs call it admin.
const User = "debian"

// Profile is an instance profile that is there from the start; its role may do what RolePolicy says.
const Profile = "bakery"

// Region is the one the lab's environment names; requests may be for any other.
const Region = "us-east-1"

// Options of a Lab. Images, Run, Runner, Disks, Base and Address are needed.
type Options struct {
	Images     string // directory of the images that outlive the lab
	Run        string // directory of everything else, empty
	Address    string // host:port the lab is reached at; machines reach it at the same one
	Runner     machine.Runner
	Disks      cloud.Disks
	Base       func(ctx context.Context, suite string) (disk string, err error)
	Internet   bool
	StrictIMDS func(cloud.Instance) bool // see imds.Server.Strict; nil: of none
	Delays     cloud.Delays
	IAMDelay   time.Duration // until EC2 knows a new instance profile or its role
	Eventual   time.Duration // until EC2 and IAM know anything that is new
	Policy     *iam.Policy   // of the lab's own key; nil allows everything
	RolePolicy *iam.Policy   // of instance profiles and assumed roles
	Faults     []Fault
	ClockSkew  time.Duration // by which the clock that signatures are compared with is ahead
	URLLife    time.Duration // the longest that presigned URLs are good for; 0: as long as they say
	Limits     *limit.Rates  // of the account's requests to EC2; nil: none
	Log        io.Writer
}

// Lab serves everything. Close it to end its machines.
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
	sts       *sts.Server
	iam       *iamapi.Store
	limits    *limit.Limits

	mu     sync.Mutex
	calls  []Call
	faults []Fault
	roles  map[string]imds.Credentials
}

// New makes a lab with a key pair of its own.
func New(o Options) (*Lab, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	l := &Lab{
		options: o, keys: &sigv4.Keys{Skew: o.ClockSkew, URLLife: o.URLLife, Regions: cloud.Regions}, ssm: &ssm.Store{}, limits: limit.New(o.Limits), faults: o.Faults, roles: map[string]imds.Credentials{},
		accessKey: "AKIALAB" + strings.ToUpper(random(6)), secretKey: random(20),
	}
	l.keys.Add(l.accessKey, l.secretKey, sigv4.Principal{ARN: "arn:aws:iam::" + cloud.Account + ":user/bakery", UserID: "AIDABAKERYLAB"})
	l.iam = iamapi.New(cloud.Account, Profile, o.IAMDelay)
	l.sts = &sts.Server{Account: cloud.Account, Keys: l.keys}
	l.seedParameters()
	backend, err := s3.NewBackend(filepath.Join(o.Run, "s3"))
	if err != nil {
		return nil, err
	}
	if l.s3, err = s3.NewServer(backend, cloud.Account, Bucket, ForeignBucket); err != nil {
		return nil, fmt.Errorf("make the lab's bucket: %w", err)
	}
	if l.addresses, err = address.NewPool(); err != nil {
		return nil, err
	}
	logger := log.New(o.Log, "bakery-lab: ", 0)
	l.cloud, err = cloud.New(cloud.Options{
		Images: o.Images, Run: o.Run, Runner: o.Runner, Disks: o.Disks, Base: o.Base, Listeners: l.listeners,
		Addresses: cloud.Addresses{Take: l.addresses.Take, Return: l.addresses.Return, Forward: forward},
		Profile:   l.profile,
		Delays:    o.Delays, Internet: o.Internet, Log: logger.Printf,
	})
	if err != nil {
		return nil, errors.Join(err, l.addresses.Close())
	}
	l.ec2 = &ec2.Server{Cloud: l.cloud, Resolve: l.resolve}
	return l, nil
}

// forward is address.Forward with the types that the cloud knows.
func forward(at string, dial func(context.Context) (net.Conn, error), done <-chan struct{}) (io.Closer, error) {
	return address.Forward(at, dial, done)
}

// Close ends every machine and waits for that.
func (l *Lab) Close() error { return errors.Join(l.cloud.Close(), l.addresses.Close()) }

// Variable is one environment variable.
type Variable struct{ Name, Value string }

// Env is what a program needs to use the lab and nothing else.
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

// seedParameters sets the parameters by which Debian publishes its AMIs.
func (l *Lab) seedParameters() {
	for _, suite := range cloud.Suites {
		for _, release := range []string{cloud.BaseVersion(suite), suite} {
			l.ssm.Seed("/aws/service/debian/release/"+release+"/latest/amd64", cloud.BaseImageID(suite))
		}
	}
}

// resolve is the image id that a public or own parameter holds.
func (l *Lab) resolve(parameter string) (string, error) {
	id, err := l.ssm.Value(parameter)
	if err != nil {
		return "", cloud.Errorf("InvalidParameterValue", "Unable to resolve the SSM parameter %s", parameter)
	}
	return id, nil
}

// listeners are what a machine finds in its own network: its metadata and the lab's endpoint, at the
// address the host has it, so that one URL works on both sides.
func (l *Lab) listeners(instance string) []machine.Listener {
	strict := false
	if i, ok := l.cloud.Instance(instance); ok && l.options.StrictIMDS != nil {
		strict = l.options.StrictIMDS(i)
	}
	metadata := &imds.Server{
		Instance: func() (cloud.Instance, bool) { return l.cloud.Instance(instance) },
		Groups:   l.groupNames, Credentials: l.roleCredentials, Strict: strict,
	}
	return []machine.Listener{{Address: "169.254.169.254:80", Handler: metadata}, {Address: l.options.Address, Handler: l}}
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

// profile tells the cloud what is known of an instance profile.
func (l *Lab) profile(name string) cloud.Profile {
	p := l.iam.Profile(name)
	return cloud.Profile{Known: p.Known, ID: p.ID, Role: p.Role}
}

// profileLife is how long the credentials of an instance profile's role are good, as on EC2.
const profileLife = 6 * time.Hour

func (l *Lab) roleCredentials(role string) imds.Credentials {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.roles[role]; ok && time.Until(c.Expires) > time.Hour {
		return c
	}
	lent, _ := sts.Lend(l.keys, cloud.Account, role, "lab")
	now := time.Now().UTC()
	c := imds.Credentials{AccessKey: lent.AccessKey, SecretKey: lent.SecretKey, Token: lent.Token, Updated: now, Expires: now.Add(profileLife)}
	l.roles[role] = c
	return c
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

var _ http.Handler = (*Lab)(nil)
