// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

const (
	testBake     = "0123456789abcdef"
	testInstance = "i-0123456789abcdef0"
	home         = "us-east-1"
	away         = "eu-west-1"
)

// refused is an error of EC2.
func refused(code string) error { return &smithy.GenericAPIError{Code: code} }

// account is a fake of the images and snapshots of one region. An image is pending for ten seconds.
type account struct {
	mu        sync.Mutex
	region    string
	images    map[string]*types.Image
	snapshots map[string]*types.Snapshot
	made      map[string]time.Time
	end       types.ImageState // what a new image becomes; available by default
	calls     []string
	inputs    map[string]any          // the last input of each call
	refuse    map[string]func() error // refuses a call
	lose      map[string]func() error // fails a call that has taken effect
}

func newAccount(region string) *account {
	return &account{
		region: region, images: map[string]*types.Image{}, snapshots: map[string]*types.Snapshot{},
		made: map[string]time.Time{}, end: types.ImageStateAvailable,
		inputs: map[string]any{}, refuse: map[string]func() error{}, lose: map[string]func() error{},
	}
}

// always returns an error for every call.
func always(code string) func() error { return func() error { return refused(code) } }

// once returns an error for the first call only.
func once(code string) func() error {
	done := false
	return func() error {
		if done {
			return nil
		}
		done = true
		return refused(code)
	}
}

// call returns a call that the test may refuse before, or fail after, it takes effect.
func call[I, O any](a *account, name string, do func(*I) (*O, error)) func(
	context.Context, *I, ...func(*ec2.Options),
) (*O, error) {
	return func(ctx context.Context, in *I, _ ...func(*ec2.Options)) (*O, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.calls, a.inputs[name] = append(a.calls, name), in
		if refuse := a.refuse[name]; refuse != nil {
			if err := refuse(); err != nil {
				return nil, err
			}
		}
		out, err := do(in)
		if ctx.Err() != nil {
			return nil, ctx.Err() // the call was broken off, and has taken effect
		}
		if lose := a.lose[name]; err == nil && lose != nil {
			err = lose()
		}
		return out, err
	}
}

// accept returns a call that has no effect.
func accept[I, O any](a *account, name string) func(context.Context, *I, ...func(*ec2.Options)) (*O, error) {
	return call(a, name, func(*I) (*O, error) { return new(O), nil })
}

func (a *account) ec2() *awscall.EC2 {
	return &awscall.EC2{
		DescribeImages:    call(a, "DescribeImages", a.describeImages),
		DescribeSnapshots: call(a, "DescribeSnapshots", a.describeSnapshots),
		DescribeRegions:   call(a, "DescribeRegions", describeRegions),
		CreateImage: call(a, "CreateImage", func(in *ec2.CreateImageInput) (*ec2.CreateImageOutput, error) {
			id, err := a.newImage(in.Name, in.TagSpecifications, a.newSnapshot(in.TagSpecifications, nil, nil))
			return &ec2.CreateImageOutput{ImageId: id}, err
		}),
		CopyImage: call(a, "CopyImage", func(in *ec2.CopyImageInput) (*ec2.CopyImageOutput, error) {
			snapshot := a.newSnapshot(in.TagSpecifications, in.Encrypted, in.KmsKeyId)
			id, err := a.newImage(in.Name, in.TagSpecifications, snapshot)
			return &ec2.CopyImageOutput{ImageId: id}, err
		}),
		RegisterImage: call(a, "RegisterImage", func(in *ec2.RegisterImageInput) (*ec2.RegisterImageOutput, error) {
			id, err := a.newImage(in.Name, in.TagSpecifications, in.BlockDeviceMappings[0].Ebs.SnapshotId)
			return &ec2.RegisterImageOutput{ImageId: id}, err
		}),
		DeregisterImage: call(a, "DeregisterImage", a.deregister),
		DeleteSnapshot:  call(a, "DeleteSnapshot", a.deleteSnapshot),
		CreateTags:      call(a, "CreateTags", a.createTags),
		DeleteTags:      call(a, "DeleteTags", a.deleteTags),

		ModifyImageAttribute: accept[ec2.ModifyImageAttributeInput, ec2.ModifyImageAttributeOutput](
			a, "ModifyImageAttribute"),
		ModifySnapshotAttribute: accept[ec2.ModifySnapshotAttributeInput, ec2.ModifySnapshotAttributeOutput](
			a, "ModifySnapshotAttribute"),
		EnableImageDeprecation: accept[ec2.EnableImageDeprecationInput, ec2.EnableImageDeprecationOutput](
			a, "EnableImageDeprecation"),
		EnableImageDeregistrationProtection:  call(a, "EnableImageDeregistrationProtection", a.protect),
		DisableImageDeregistrationProtection: call(a, "DisableImageDeregistrationProtection", a.unprotect),
	}
}

func describeRegions(*ec2.DescribeRegionsInput) (*ec2.DescribeRegionsOutput, error) {
	return &ec2.DescribeRegionsOutput{Regions: []types.Region{
		{RegionName: aws.String(home)}, {RegionName: aws.String(away)},
	}}, nil
}

func (a *account) newSnapshot(specs []types.TagSpecification, encrypted *bool, key *string) *string {
	id := fmt.Sprintf("snap-%s-%d", a.region, len(a.made))
	a.snapshots[id] = &types.Snapshot{
		SnapshotId: aws.String(id), Encrypted: encrypted, KmsKeyId: key,
		Tags: tagsOf(specs, types.ResourceTypeSnapshot),
	}
	return aws.String(id)
}

func tagsOf(specs []types.TagSpecification, resource types.ResourceType) []types.Tag {
	for _, s := range specs {
		if s.ResourceType == resource {
			return slices.Clone(s.Tags)
		}
	}
	return nil
}

func (a *account) newImage(name *string, specs []types.TagSpecification, snapshot *string) (*string, error) {
	for _, i := range a.images {
		if aws.ToString(i.Name) == aws.ToString(name) {
			return nil, refused(awscall.CodeImageNameTaken)
		}
	}
	id := aws.String(fmt.Sprintf("ami-%s-%d", a.region, len(a.made)))
	if s := a.snapshots[aws.ToString(snapshot)]; s != nil && s.Description == nil {
		s.Description = aws.String("Created by CreateImage(" + testInstance + ") for " + *id)
	}
	a.made[*id] = time.Now()
	encrypted := false
	if s := a.snapshots[aws.ToString(snapshot)]; s != nil {
		encrypted = aws.ToBool(s.Encrypted)
	}
	a.images[*id] = &types.Image{
		ImageId: id, Name: name, Tags: tagsOf(specs, types.ResourceTypeImage), CreationDate: aws.String("2026"),
		BlockDeviceMappings: []types.BlockDeviceMapping{{
			DeviceName: aws.String("/dev/xvda"),
			Ebs: &types.EbsBlockDevice{
				SnapshotId: snapshot, Encrypted: aws.Bool(encrypted), Iops: aws.Int32(100),
			},
		}},
	}
	return id, nil
}

// addOld adds an image that an earlier bake has made.
func (a *account) addOld(id, name string) *types.Image {
	snapshot := "snap-of-" + id
	of := types.Tag{Key: aws.String(bake.TagBake), Value: aws.String("00000000000000bb")}
	a.snapshots[snapshot] = &types.Snapshot{
		SnapshotId: aws.String(snapshot), Description: aws.String("Created by CreateImage(i-0) for " + id),
		Tags: []types.Tag{of},
	}
	a.images[id] = &types.Image{
		ImageId: aws.String(id), Name: aws.String(name), State: types.ImageStateAvailable,
		Tags:                []types.Tag{of, {Key: aws.String(bake.TagSelf), Value: aws.String(id)}},
		BlockDeviceMappings: []types.BlockDeviceMapping{{Ebs: &types.EbsBlockDevice{SnapshotId: aws.String(snapshot)}}},
	}
	return a.images[id]
}

func (a *account) describeImages(in *ec2.DescribeImagesInput) (*ec2.DescribeImagesOutput, error) {
	out := new(ec2.DescribeImagesOutput)
	for _, id := range slices.Sorted(maps.Keys(a.images)) {
		i := *a.images[id]
		if len(in.ImageIds) > 0 && !slices.Contains(in.ImageIds, id) || !matches(&i, in.Filters) {
			continue
		}
		if made, ok := a.made[id]; ok {
			i.State = a.end
			if time.Since(made) < 10*time.Second {
				i.State = types.ImageStatePending
			}
		}
		out.Images = append(out.Images, i)
	}
	if len(in.ImageIds) > 0 && len(out.Images) == 0 {
		return nil, refused(awscall.CodeImageNotFound)
	}
	return out, nil
}

func matches(i *types.Image, filters []types.Filter) bool {
	tags := awscall.TagMap(i.Tags)
	for _, f := range filters {
		value := aws.ToString(i.Name)
		if key, isTag := strings.CutPrefix(*f.Name, "tag:"); isTag {
			value = tags[key]
		}
		if !slices.Contains(f.Values, value) {
			return false
		}
	}
	return true
}

func (a *account) describeSnapshots(in *ec2.DescribeSnapshotsInput) (*ec2.DescribeSnapshotsOutput, error) {
	out := new(ec2.DescribeSnapshotsOutput)
	for _, id := range slices.Sorted(maps.Keys(a.snapshots)) {
		s := a.snapshots[id]
		byTag := len(in.Filters) > 0 && awscall.TagMap(s.Tags)[bake.TagBake] == in.Filters[0].Values[0]
		byID := len(in.Filters) > 0 && slices.Contains(in.Filters[0].Values, id)
		if byTag || byID || slices.Contains(in.SnapshotIds, id) {
			out.Snapshots = append(out.Snapshots, *s)
		}
	}
	return out, nil
}

func (a *account) deregister(in *ec2.DeregisterImageInput) (*ec2.DeregisterImageOutput, error) {
	i := a.images[*in.ImageId]
	switch {
	case i == nil:
		return nil, refused(awscall.CodeImageUnavailable)
	case IsProtected(i):
		return nil, refused(awscall.CodeNotPermitted)
	}
	delete(a.images, *in.ImageId)
	return new(ec2.DeregisterImageOutput), nil
}

func (a *account) deleteSnapshot(in *ec2.DeleteSnapshotInput) (*ec2.DeleteSnapshotOutput, error) {
	for _, i := range a.images {
		if slices.Contains(SnapshotsOf(i), *in.SnapshotId) {
			return nil, refused(awscall.CodeSnapshotInUse)
		}
	}
	if a.snapshots[*in.SnapshotId] == nil {
		return nil, refused(awscall.CodeSnapshotNotFound)
	}
	delete(a.snapshots, *in.SnapshotId)
	return new(ec2.DeleteSnapshotOutput), nil
}

func (a *account) createTags(in *ec2.CreateTagsInput) (*ec2.CreateTagsOutput, error) {
	for _, id := range in.Resources {
		if i := a.images[id]; i != nil {
			i.Tags = append(i.Tags, in.Tags...)
		}
		if s := a.snapshots[id]; s != nil {
			s.Tags = append(s.Tags, in.Tags...)
		}
	}
	return new(ec2.CreateTagsOutput), nil
}

func (a *account) deleteTags(in *ec2.DeleteTagsInput) (*ec2.DeleteTagsOutput, error) {
	is := func(t types.Tag) bool { return *t.Key == *in.Tags[0].Key }
	for _, id := range in.Resources {
		if i := a.images[id]; i != nil {
			i.Tags = slices.DeleteFunc(i.Tags, is)
		}
		if s := a.snapshots[id]; s != nil {
			s.Tags = slices.DeleteFunc(s.Tags, is)
		}
	}
	return new(ec2.DeleteTagsOutput), nil
}

func (a *account) protect(
	in *ec2.EnableImageDeregistrationProtectionInput,
) (*ec2.EnableImageDeregistrationProtectionOutput, error) {
	a.images[*in.ImageId].DeregistrationProtection = aws.String("enabled-without-cooldown")
	return new(ec2.EnableImageDeregistrationProtectionOutput), nil
}

func (a *account) unprotect(
	in *ec2.DisableImageDeregistrationProtectionInput,
) (*ec2.DisableImageDeregistrationProtectionOutput, error) {
	a.images[*in.ImageId].DeregistrationProtection = aws.String("disabled")
	return new(ec2.DisableImageDeregistrationProtectionOutput), nil
}

// left returns the names of the images, and the ids of the snapshots.
func (a *account) left() []string {
	var all []string
	for _, i := range a.images {
		all = append(all, *i.Name)
	}
	return append(slices.Sorted(slices.Values(all)), slices.Sorted(maps.Keys(a.snapshots))...)
}

// fixture is a Maker of images named hello-1 in the region of the build, and in another one if the settings say so.
type fixture struct {
	*testing.T
	Maker    *Maker
	settings Settings
	bake     *bake.Bake
	accounts map[string]*account
	ui       *bytes.Buffer
}

func newFixture(t *testing.T, set func(*fixture)) *fixture {
	t.Helper()
	f := &fixture{
		T: t, ui: new(bytes.Buffer), accounts: map[string]*account{home: newAccount(home), away: newAccount(away)},
		settings: Settings{
			Image: &ImageConfig{
				AMIName: "hello-1", ImageTimeout: 5 * time.Minute, ImagePollInterval: 5 * time.Second,
			},
			Copy: new(CopyConfig), Sharing: new(SharingConfig), Attributes: new(AttributesConfig),
		},
	}
	f.bake = &bake.Bake{
		ID: testBake, ImageName: "hello-1", CLI: bake.CLI{Region: home}, Lifetime: time.Hour,
		UI: &packersdk.BasicUi{Writer: f.ui, ErrorWriter: f.ui},
	}
	if set != nil {
		set(f)
	}
	f.Maker = newMaker(f.bake, home, func(region string) *awscall.EC2 { return f.accounts[region].ec2() }, f.settings,
		func(name string) (Spec, error) {
			tags := map[string]string{bake.TagBake: testBake, bake.TagExpires: "2026-01-01T00:00:00Z"}
			return Spec{Name: name, Description: "of a test", ImageTags: tags, SnapshotTags: tags}, nil
		})
	return f
}

// abroad adds a second region.
func abroad(f *fixture) { f.settings.Copy.AMIRegions = []string{away} }

// everyAttribute sets everything that is applied to an image that is available.
func everyAttribute(f *fixture) {
	f.settings.Sharing.AMIUsers, f.settings.Sharing.SnapshotUsers = []string{"111111111111"}, []string{"222222222222"}
	f.settings.Attributes.IMDSSupport, f.settings.Attributes.DeprecateAt = "v2.0", "2030-01-31T00:00:00Z"
	f.settings.Attributes.DeregistrationProtection.Enabled = true
}

// newMachine returns a stopped machine to make an image of.
func newMachine() *Machine {
	return &Machine{ID: testInstance, MayStop: func(context.Context) bool { return true }}
}

// make makes the images as the steps of a bake do.
func (f *fixture) make() error {
	ctx, m := f.Context(), f.Maker
	machine := newMachine()
	machine.Source.BootMode = "legacy-bios"
	first, err := m.Create(ctx, machine)
	if err != nil {
		return err
	}
	if err := m.CopyAll(ctx, first); err != nil {
		return err
	}
	for _, do := range []func(context.Context) error{m.ApplyAttributes, m.Replace, m.Protect, m.Complete} {
		if err := do(ctx); err != nil {
			return err
		}
	}
	m.Release()
	return nil
}

// undo undoes what the ledger has.
func (f *fixture) undo() error {
	return f.bake.Ledger.UndoAll(f.Context(), context.WithCancel)
}

// count returns how often a call was made in all regions.
func (f *fixture) count(name string) int {
	n := 0
	for _, a := range f.accounts {
		for _, call := range a.calls {
			if call == name {
				n++
			}
		}
	}
	return n
}

// input returns the last input of a call.
func input[I any](f *fixture, region, name string) *I {
	f.Helper()
	in, ok := f.accounts[region].inputs[name].(*I)
	if !ok {
		f.Fatalf("%s was not called in %s", name, region)
	}
	return in
}
