// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/ami"
	"github.com/amibakery/packer-plugin-bakery/internal/awsconfig"
	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/blockdevice"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/instance"
	"github.com/amibakery/packer-plugin-bakery/internal/instanceprofile"
)

// What the tests of whole builds use of the builder's internals is in this file, and nowhere else.

// The types of settings that tests write out.
type (
	blockDevice              = blockdevice.BlockDevice
	deregistrationProtection = ami.DeregistrationProtection
	licenseSpecification     = instance.LicenseSpecification
	placement                = instance.Placement
	policyDocument           = instanceprofile.PolicyDocument
	policyStatement          = instanceprofile.Statement
	sourceFilter             = ami.SourceFilter
	stagingConfig            = StagingConfig
)

const (
	// testFolder is the folder in the bucket of what only this build uses. A synctest bubble begins at
	// 2000-01-01T00:00:00Z, and the folder expires an hour and a half later.
	testFolder = "bakery-20000101T014500Z-" + awsfake.BakeID
	// testPrefix is below which all builds use the bucket.
	testPrefix = "some/prefix/"
)

// testKey encrypts the lines that the machine prints.
var testKey = guest.Key{7}

// testBuild is one run of the builder in a test: of a small script, unless the test says otherwise.
type testBuild struct {
	*testing.T
	account         *awsfake.Account
	config          *Config
	hook            packersdk.Hook // what the provisioners are
	ui              *bytes.Buffer  // what the user is told
	ctx             context.Context
	cancel          context.CancelFunc
	secondInterrupt chan struct{}           // closed for the user's second interrupt
	credentials     aws.CredentialsProvider // nil: permanent ones
	ask             func() string           // the user's answers to -on-error=ask
	built           *build                  // what was run
}

// runBuild runs the builder in a synctest bubble, after set has changed its settings and the account, and returns
// what Packer gets.
func runBuild(t *testing.T, set func(*testBuild)) (*testBuild, packersdk.Artifact, error) {
	t.Helper()
	b := &testBuild{
		T: t, account: awsfake.New(t), config: smallConfig(), hook: &packersdk.DispatchHook{}, ui: new(bytes.Buffer),
		ctx: t.Context(),
	}
	var artifact packersdk.Artifact
	var err error
	synctest.Test(t, func(t *testing.T) {
		b.ctx, b.cancel = context.WithCancel(t.Context())
		defer b.cancel()
		if set != nil {
			set(b)
		}
		if _, problems := b.config.check(); problems != nil {
			t.Fatal(problems)
		}
		ui := userInterface(b.ui)
		if b.ask != nil {
			ui, b.config.PackerOnError = askedUI{ui, b.ask}, "ask"
		}
		run := newBuild(b.config, ui)
		run.ID, run.log.key = awsfake.BakeID, testKey
		run.log.newReportKey = func() guest.Key { return awsfake.ReportKey }
		run.load = loadFrom(b.account, b.credentials)
		run.hurry = b.secondInterrupt
		b.built = run
		artifact, err = run.run(b.ctx, b.hook)
	})
	return b, artifact, err
}

func smallConfig() *Config {
	c := &Config{}
	c.SourceAmi, c.AMIName, c.UserData = awsfake.SourceImageID, "hello-1", "#!/bin/sh\ntrue\n"
	c.LogFile = os.DevNull
	return c
}

func userInterface(w io.Writer) packersdk.Ui {
	return &packersdk.BasicUi{Writer: w, ErrorWriter: w, PB: &packersdk.NoopProgressTracker{}}
}

// askedUI answers questions.
type askedUI struct {
	packersdk.Ui

	answer func() string
}

func (u askedUI) Ask(string) (string, error) { return u.answer(), nil }

// loadFrom returns what loads the AWS configuration of a build, as the plugin does, but for the HTTP client, and for
// credentials that are not nil.
func loadFrom(
	account *awsfake.Account, credentials aws.CredentialsProvider,
) func(context.Context, *awsconfig.Settings) (aws.Config, error) {
	return func(ctx context.Context, s *awsconfig.Settings) (aws.Config, error) {
		cfg, err := s.Load(ctx, 0)
		cfg.HTTPClient = account
		if credentials != nil {
			cfg.Credentials = credentials
		}
		return cfg, err
	}
}

// cancelAfter cancels the build, as an interrupted Packer does.
func (b *testBuild) cancelAfter(d time.Duration) {
	time.AfterFunc(d, b.cancel)
}

// setStaging gives the build a bucket, and an fs/ that is too large for the user data.
func (b *testBuild) setStaging() {
	b.config.UserData = ""
	b.config.ImageSource = writeImageSource(b.T, 20_000)
	b.config.Staging = &stagingConfig{URL: "s3://" + awsfake.Bucket + "/" + strings.TrimSuffix(testPrefix, "/")}
}

// setSpot makes the machine a Spot Instance of one of two types.
func (b *testBuild) setSpot() {
	b.config.SpotPrice = "0.02"
	b.config.SpotInstanceTypes = []string{"m5.large", "t3.small"}
	b.account.SpotPrices = map[string]string{"m5.large": "0.04", "t3.small": "0.006"}
}

// setTemporaryProfile gives the machine a role of its own.
func (b *testBuild) setTemporaryProfile() {
	b.config.TemporaryProfilePolicy = &policyDocument{
		Version:   "2012-10-17",
		Statement: []policyStatement{{Effect: "Allow", Action: []string{"s3:GetObject"}, Resource: []string{"*"}}},
	}
	b.config.AMIName = "hello (1)"
}

// copyToOtherRegions makes the build copy its image to all regions of the account. Some regions are listed twice.
func (b *testBuild) copyToOtherRegions() {
	b.config.AMIRegions = []string{"us-east-1", "eu-west-1", "ap-south-1", "eu-west-1"}
}

// setEveryImageAttribute sets everything that is set of an image after it was created.
func (b *testBuild) setEveryImageAttribute() {
	c := b.config
	c.AMIUsers, c.AMIProductCodes = []string{"111111111111", "222222222222"}, []string{"abc"}
	c.AMIOrgArns = []string{"arn:aws:organizations::111111111111:organization/o-1"}
	c.AMIOuArns = []string{"arn:aws:organizations::111111111111:ou/o-1/ou-1-2"}
	c.SnapshotUsers, c.SnapshotGroups = []string{"333333333333"}, []string{"all"}
	c.IMDSSupport, c.DeprecateAt = "v2.0", "2001-02-03T04:05:06Z"
	c.DeregistrationProtection.WithCooldown = true
	c.ENASupport, c.SriovSupport = config.TriTrue, true
	c.RunTags, c.SkipAMIRunTags = map[string]string{"team": "builders"}, true
	c.AMIBlockDevices = []blockDevice{
		{DeviceName: "/dev/sdb", VirtualName: "ephemeral0"}, {DeviceName: "/dev/sdc", VolumeSize: 9},
	}
}

// imageRegions returns the regions that are to have an image, of a build in us-east-1.
func (b *testBuild) imageRegions() []string {
	return append(b.config.OtherRegions("us-east-1"), "us-east-1")
}

// printLines makes the machine print lines on its console.
func (b *testBuild) printLines(at time.Duration, l guest.Lines) {
	b.account.PrintLines(at, testKey, l)
}

// uploadLog makes the machine upload its log, with the reports and all lines that it has by then.
func (b *testBuild) uploadLog(at time.Duration, reports []string, all ...guest.Lines) {
	var printed []string
	for i, words := range reports {
		printed = append(printed, awsfake.Report(i+1, words))
	}
	b.putLogAfter(at, awsfake.Machine.Log(printed, all...))
}

// uploadLongLog makes the machine upload a log of megabytes, with a report.
func (b *testBuild) uploadLongLog(report string) {
	b.putLogAfter(10*time.Second, awsfake.Machine.Log([]string{awsfake.Report(9, report)})+
		strings.Repeat("x\n", 3<<20))
}

func (b *testBuild) putLogAfter(d time.Duration, text string) {
	log := gzipped(b.T, text)
	key := testPrefix + testFolder + "/" + logName
	if b.config.Staging.KeepLog {
		key = testPrefix + "logs/" + awsfake.BakeID + "/" + logName
	}
	time.AfterFunc(d, func() { b.account.PutObject(key, log) })
}

// launched reports whether an instance was launched.
func (b *testBuild) launched() bool { return b.account.Count("RunInstances") > 0 }

func (b *testBuild) checkNothingLeft() {
	b.Helper()
	if left := b.account.Leftovers(); len(left) > 0 {
		b.Errorf("left: %v\n%s", left, b.ui)
	}
}

// checkOnlyImageLeft checks that nothing is left but the image and its snapshot.
func (b *testBuild) checkOnlyImageLeft() {
	b.Helper()
	if diff := cmp.Diff([]string{awsfake.NewImageID, awsfake.NewSnapshotID}, b.account.Leftovers()); diff != "" {
		b.Errorf("what is left (-want +got):\n%s\n%s", diff, b.ui)
	}
}

// checkSaid checks that the user was told some texts.
func (b *testBuild) checkSaid(texts ...string) {
	b.Helper()
	for _, text := range texts {
		if !strings.Contains(b.ui.String(), text) {
			b.Errorf("the user is not told %q:\n%s", text, b.ui)
		}
	}
}

// checkUserDataHas checks that the machine was launched with user data that has some texts.
func (b *testBuild) checkUserDataHas(texts ...string) {
	b.Helper()
	document := string(b.account.UserData())
	for _, text := range texts {
		if !strings.Contains(document, text) {
			b.Errorf("the user data does not have %q:\n%s", text, document)
		}
	}
}

// checkImages checks which images there are, as "region name", sorted.
func (b *testBuild) checkImages(want ...string) {
	b.Helper()
	if diff := cmp.Diff(want, b.account.ImageNames()); diff != "" {
		b.Errorf("images (-want +got):\n%s", diff)
	}
}

func checkErrorSays(t *testing.T, err error, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}
