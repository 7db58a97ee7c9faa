// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
)

// somebody is a user of the account of a lab.
type somebody struct {
	q   *quickLab
	ec2 *ec2.Client
	iam *iam.Client
	s3  *s3.Client
}

func newSomebody(q *quickLab, cfg aws.Config) *somebody {
	return &somebody{q, ec2.NewFromConfig(cfg), iam.NewFromConfig(cfg),
		s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })}
}

// baker returns a user with the rights of documents only.
func (q *quickLab) baker(t *testing.T, documents ...string) *somebody {
	t.Helper()
	session := assume(t, q.sdk("us-east-1"), rights{documents: documents}.policy(t))
	cfg := q.sdk("us-east-1")
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*session.AccessKeyId, *session.SecretAccessKey,
		*session.SessionToken)
	return newSomebody(q, cfg)
}

// belongings are what somebody has in the account.
type belongings struct{ instance, volume, request, image, snapshot, group string }

// bakeTag is the tag of what a bake has made.
var bakeTag = types.Tag{Key: aws.String("bakery:bake-id"), Value: aws.String(someBake)}

// tagged returns the specification of tags for new resources of some kinds.
func tagged(tags []types.Tag, kinds ...types.ResourceType) (all []types.TagSpecification) {
	for _, kind := range kinds {
		if len(tags) > 0 {
			all = append(all, types.TagSpecification{ResourceType: kind, Tags: tags})
		}
	}
	return all
}

// machine is a Spot Instance with tags on some of what it consists of.
func (s *somebody) machine(tags []types.Tag, kinds ...types.ResourceType) *ec2.RunInstancesInput {
	return &ec2.RunInstancesInput{
		ImageId: aws.String(s.q.Value("BAKERY_LAB_AMI")), InstanceType: types.InstanceTypeT3Nano,
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1), TagSpecifications: tagged(tags, kinds...),
		InstanceMarketOptions: &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot},
	}
}

// machineKinds are what a Spot Instance consists of.
var machineKinds = []types.ResourceType{
	types.ResourceTypeInstance, types.ResourceTypeNetworkInterface, types.ResourceTypeSpotInstancesRequest,
	types.ResourceTypeVolume,
}

// makeEverything makes one of each of the belongings, with tags.
func (s *somebody) makeEverything(t *testing.T, name string, tags ...types.Tag) belongings {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	run, err := s.ec2.RunInstances(t.Context(), s.machine(tags, machineKinds...))
	must(err)
	b := belongings{instance: *run.Instances[0].InstanceId, request: *run.Instances[0].SpotInstanceRequestId}
	must(ec2.NewInstanceRunningWaiter(s.ec2, func(o *ec2.InstanceRunningWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second
	}).Wait(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{b.instance}}, 10*time.Minute))
	instances, err := s.ec2.DescribeInstances(t.Context(),
		&ec2.DescribeInstancesInput{InstanceIds: []string{b.instance}})
	must(err)
	b.volume = *instances.Reservations[0].Instances[0].BlockDeviceMappings[0].Ebs.VolumeId
	image, err := s.ec2.CreateImage(t.Context(), &ec2.CreateImageInput{InstanceId: &b.instance, Name: aws.String(name),
		NoReboot:          aws.Bool(true),
		TagSpecifications: tagged(tags, types.ResourceTypeImage, types.ResourceTypeSnapshot)})
	must(err)
	b.image = *image.ImageId
	b.snapshot = s.snapshotOf(t, b.image)
	group, err := s.ec2.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{GroupName: aws.String(name),
		Description: aws.String(name), TagSpecifications: tagged(tags, types.ResourceTypeSecurityGroup)})
	must(err)
	b.group = *group.GroupId
	return b
}

// snapshotOf waits until an image is available and returns its snapshot.
func (s *somebody) snapshotOf(t *testing.T, image string) string {
	t.Helper()
	in := &ec2.DescribeImagesInput{ImageIds: []string{image}}
	err := ec2.NewImageAvailableWaiter(s.ec2, func(o *ec2.ImageAvailableWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second
	}).Wait(t.Context(), in, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	images, err := s.ec2.DescribeImages(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return *images.Images[0].BlockDeviceMappings[0].Ebs.SnapshotId
}

// makeRole makes a role with an instance profile of the same name.
func (s *somebody) makeRole(t *testing.T, name string) {
	t.Helper()
	ctx, n := t.Context(), aws.String(name)
	_, err := s.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: n,
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[]}`)})
	if err == nil {
		_, err = s.iam.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: n})
	}
	if err == nil {
		_, err = s.iam.AddRoleToInstanceProfile(ctx,
			&iam.AddRoleToInstanceProfileInput{InstanceProfileName: n, RoleName: n})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// attempts are calls that the policies must refuse, by what they are for.
type attempts map[string]func(context.Context) error

// do makes a call and returns its error.
func do[I, O, P any](call func(context.Context, *I, ...func(*P)) (O, error), in *I) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := call(ctx, in)
		return err
	}
}

// checkRefused makes all attempts.
func (a attempts) checkRefused(t *testing.T) {
	t.Helper()
	for name, call := range a {
		if err := call(t.Context()); err == nil ||
			!strings.Contains(err.Error(), "UnauthorizedOperation") && !strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// onMachines are attempts on the machines of others, and to launch what is not marked as a bake's.
func (s *somebody) onMachines(b belongings) attempts {
	c := s.ec2
	with := []types.Tag{bakeTag}
	launch := func(without types.ResourceType) *ec2.RunInstancesInput {
		return s.machine(with, slices.DeleteFunc(slices.Clone(machineKinds),
			func(k types.ResourceType) bool { return k == without })...)
	}
	passing := s.machine(with, machineKinds...)
	passing.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String("theirs")}
	all := attempts{
		"launch a machine that passes a role of others": do(c.RunInstances, passing),
		"terminate": do(c.TerminateInstances, &ec2.TerminateInstancesInput{InstanceIds: []string{b.instance}}),
		"terminate it with one of a bake": do(c.TerminateInstances,
			&ec2.TerminateInstancesInput{InstanceIds: []string{"i-0123456789abcdef0", b.instance}}),
		"read the console": do(c.GetConsoleOutput, &ec2.GetConsoleOutputInput{InstanceId: &b.instance}),
		"change the machine": do(c.ModifyInstanceAttribute, &ec2.ModifyInstanceAttributeInput{InstanceId: &b.instance,
			EnaSupport: &types.AttributeBooleanValue{Value: aws.Bool(true)}}),
		"delete the volume": do(c.DeleteVolume, &ec2.DeleteVolumeInput{VolumeId: &b.volume}),
		"cancel the spot request": do(c.CancelSpotInstanceRequests,
			&ec2.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{b.request}}),
		"delete the group": do(c.DeleteSecurityGroup, &ec2.DeleteSecurityGroupInput{GroupId: &b.group}),
		"let something in": do(c.AuthorizeSecurityGroupIngress, &ec2.AuthorizeSecurityGroupIngressInput{
			GroupId: &b.group, IpPermissions: []types.IpPermission{{IpProtocol: aws.String("-1")}}}),
		"make a group without the tag": do(c.CreateSecurityGroup,
			&ec2.CreateSecurityGroupInput{GroupName: aws.String("bare"), Description: aws.String("bare")}),
	}
	for _, kind := range machineKinds {
		all["launch a machine without the tag of its "+string(kind)] = do(c.RunInstances, launch(kind))
	}
	return all
}

// onImages are attempts on the images of others. own has what a bake has made.
func (s *somebody) onImages(b, own belongings) attempts {
	c, stolen := s.ec2, aws.String("stolen")
	in := &ec2.CreateImageInput{InstanceId: &b.instance, Name: stolen,
		TagSpecifications: tagged([]types.Tag{bakeTag}, types.ResourceTypeImage, types.ResourceTypeSnapshot)}
	disk := func(snapshot string) []types.BlockDeviceMapping {
		return []types.BlockDeviceMapping{
			{DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{SnapshotId: &snapshot}},
		}
	}
	return attempts{
		"make an image of the machine": do(c.CreateImage, in),
		"make an image without the tag": do(c.CreateImage, &ec2.CreateImageInput{InstanceId: &own.instance,
			Name: stolen, TagSpecifications: tagged([]types.Tag{bakeTag}, types.ResourceTypeSnapshot)}),
		"make a snapshot without the tag": do(c.CreateImage, &ec2.CreateImageInput{InstanceId: &own.instance,
			Name: stolen, TagSpecifications: tagged([]types.Tag{bakeTag}, types.ResourceTypeImage)}),
		"make an image of the disk": do(c.RegisterImage, &ec2.RegisterImageInput{Name: stolen,
			RootDeviceName: aws.String("/dev/xvda"), BlockDeviceMappings: disk(b.snapshot),
			TagSpecifications: tagged([]types.Tag{bakeTag}, types.ResourceTypeImage)}),
		"register an image without the tag": do(c.RegisterImage, &ec2.RegisterImageInput{Name: stolen,
			RootDeviceName: aws.String("/dev/xvda"), BlockDeviceMappings: disk(own.snapshot)}),
		"deregister":      do(c.DeregisterImage, &ec2.DeregisterImageInput{ImageId: &b.image}),
		"delete the disk": do(c.DeleteSnapshot, &ec2.DeleteSnapshotInput{SnapshotId: &b.snapshot}),
		"deprecate": do(c.EnableImageDeprecation, &ec2.EnableImageDeprecationInput{ImageId: &b.image,
			DeprecateAt: aws.Time(time.Now().Add(time.Hour))}),
		"protect": do(c.EnableImageDeregistrationProtection,
			&ec2.EnableImageDeregistrationProtectionInput{ImageId: &b.image}),
		"stop protecting": do(c.DisableImageDeregistrationProtection,
			&ec2.DisableImageDeregistrationProtectionInput{ImageId: &b.image}),
		"share the image": do(c.ModifyImageAttribute, sharing(b.image)),
		"share the disk":  do(c.ModifySnapshotAttribute, sharingDisk(b.snapshot)),
	}
}

func sharing(image string) *ec2.ModifyImageAttributeInput {
	return &ec2.ModifyImageAttributeInput{ImageId: &image, LaunchPermission: &types.LaunchPermissionModifications{
		Add: []types.LaunchPermission{{Group: types.PermissionGroupAll}},
	}}
}

func sharingDisk(snapshot string) *ec2.ModifySnapshotAttributeInput {
	return &ec2.ModifySnapshotAttributeInput{SnapshotId: &snapshot, OperationType: types.OperationTypeAdd,
		UserIds: []string{"111111111111"}, Attribute: types.SnapshotAttributeNameCreateVolumePermission}
}

// onTags are attempts to set or remove tags: any of others, and of a bake any but the two that bakes change.
func (s *somebody) onTags(b, own belongings) attempts {
	c, all := s.ec2, attempts{}
	key := func(name, value string) types.Tag { return types.Tag{Key: &name, Value: aws.String(value)} }
	set := func(id string, tags ...types.Tag) func(context.Context) error {
		return do(c.CreateTags, &ec2.CreateTagsInput{Resources: []string{id}, Tags: tags})
	}
	remove := func(id string, tags ...types.Tag) func(context.Context) error {
		return do(c.DeleteTags, &ec2.DeleteTagsInput{Resources: []string{id}, Tags: tags})
	}
	for _, id := range []string{b.instance, b.volume, b.image, b.snapshot, b.group, b.request} {
		all["call "+id+" a bake's"] = set(id, bakeTag)
		all["mark "+id] = set(id, key("bakery:self", id))
		all["take the tag off "+id] = remove(id, bakeTag)
		all["take the expiry off "+id] = remove(id, types.Tag{Key: aws.String("bakery:expires")})
		all["take everything off "+id] = remove(id)
	}
	for _, id := range []string{own.instance, own.volume, own.image, own.snapshot, own.group, own.request} {
		all["rename "+id] = set(id, key("Name", "x"))
		all["give "+id+" to another bake"] = set(id, key("bakery:bake-id", "fedcba9876543210"))
		all["set another tag beside the mark of "+id] = set(id, key("bakery:self", id), key("Name", "x"))
		all["take everything off "+id+" of a bake"] = remove(id)
		all["take the tag off "+id+" of a bake"] = remove(id, bakeTag)
		all["take more than the expiry off "+id] = remove(id, key("bakery:expires", longAgo), bakeTag)
	}
	return all
}

// onRoles are attempts on roles: "theirs", and "bakery-ci", which is named almost as those of bakes.
func (s *somebody) onRoles() attempts {
	all := attempts{}
	for _, name := range []string{"theirs", "bakery-ci"} {
		n, c := aws.String(name), s.iam
		all["give rights to "+name] = do(c.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: n, PolicyName: n,
			PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[]}`)})
		all["delete the role "+name] = do(c.DeleteRole, &iam.DeleteRoleInput{RoleName: n})
		all["delete the profile "+name] = do(c.DeleteInstanceProfile,
			&iam.DeleteInstanceProfileInput{InstanceProfileName: n})
		all["empty the profile "+name] = do(c.RemoveRoleFromInstanceProfile,
			&iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: n, RoleName: n})
		all["take the rights of "+name] = do(c.DeleteRolePolicy, &iam.DeleteRolePolicyInput{RoleName: n, PolicyName: n})
		all["make a role like "+name] = do(c.CreateRole, &iam.CreateRoleInput{RoleName: aws.String(name + "-2"),
			AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[]}`)})
	}
	return all
}

// onObjects are attempts on what is not below the prefix of staging.
func (s *somebody) onObjects() attempts {
	c, bucket, key := s.s3, aws.String(labserver.Bucket), aws.String("theirs/secret")
	return attempts{
		"read an object":   do(c.GetObject, &s3.GetObjectInput{Bucket: bucket, Key: key}),
		"write an object":  do(c.PutObject, &s3.PutObjectInput{Bucket: bucket, Key: key}),
		"delete an object": do(c.DeleteObject, &s3.DeleteObjectInput{Bucket: bucket, Key: key}),
		"write beside the prefix": do(c.PutObject,
			&s3.PutObjectInput{Bucket: bucket, Key: aws.String("quick-2/object")}),
		"make a bucket": do(c.CreateBucket, &s3.CreateBucketInput{Bucket: aws.String("bakery-lab-2")}),
	}
}

// TestPoliciesKeepOffWhatNoBakeHasMade checks that all documents of docs/iam together allow no change of anything
// without the tag of a bake, and do not allow to give it that tag, or to make something without it.
func TestPoliciesKeepOffWhatNoBakeHasMade(t *testing.T) {
	t.Parallel()
	q := startQuickLabOptions(t, labserver.Options{}) // whose machines run on
	owner := newSomebody(q, q.sdk("us-east-1"))
	theirs := owner.makeEverything(t, "theirs")
	owner.makeRole(t, "theirs")
	owner.makeRole(t, "bakery-ci")
	_, err := owner.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(labserver.Bucket),
		Key: aws.String("theirs/secret"), Body: strings.NewReader("secret")})
	if err != nil {
		t.Fatal(err)
	}
	baker := q.baker(t, documents(t)...)
	own := baker.makeEverything(t, "own", bakeTag) // with the same calls as the attempts, so that these can succeed
	for name, some := range map[string]attempts{
		"machines": baker.onMachines(theirs), "images": baker.onImages(theirs, own), "tags": baker.onTags(theirs, own),
		"roles": baker.onRoles(), "objects": baker.onObjects(),
	} {
		t.Run(name, some.checkRefused)
	}
}

// TestPoliciesLetBakesMarkWhatTheyHaveMade checks that a bake may write the tag bakery:self, and nothing beside it,
// where it has made something; and take its expiry off an image.
func TestPoliciesLetBakesMarkWhatTheyHaveMade(t *testing.T) {
	t.Parallel()
	q := startQuickLabOptions(t, labserver.Options{})
	baker := q.baker(t, "bake", "spot")
	own := baker.makeEverything(t, "own", bakeTag)
	for _, id := range []string{own.instance, own.volume, own.image, own.snapshot, own.group, own.request} {
		mark := types.Tag{Key: aws.String("bakery:self"), Value: &id}
		if _, err := baker.ec2.CreateTags(t.Context(),
			&ec2.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{mark}}); err != nil {
			t.Errorf("mark %s: %v", id, err)
		}
	}
	if _, err := baker.ec2.DeleteTags(t.Context(), &ec2.DeleteTagsInput{Resources: []string{own.image, own.snapshot},
		Tags: []types.Tag{{Key: aws.String("bakery:expires")}}}); err != nil {
		t.Errorf("take off the expiry: %v", err)
	}
}

// TestPoliciesToCopyDoNotShare checks that no policy both copies images and shares them: AWS has no condition on the
// tags of the image that is copied, so who has both policies can share every image that the account can copy.
func TestPoliciesToCopyDoNotShare(t *testing.T) {
	t.Parallel()
	q := startQuickLabOptions(t, labserver.Options{})
	theirs := newSomebody(q, q.sdk("us-east-1")).makeEverything(t, "theirs")
	copying := &ec2.CopyImageInput{Name: aws.String("copied"), SourceImageId: &theirs.image,
		SourceRegion:      aws.String("us-east-1"),
		TagSpecifications: tagged([]types.Tag{bakeTag}, types.ResourceTypeImage, types.ResourceTypeSnapshot)}
	without := func(document string) *somebody {
		return q.baker(t, slices.DeleteFunc(documents(t), func(name string) bool { return name == document })...)
	}
	attempts{"copy an image of others": do(without("image").ec2.CopyImage, copying)}.checkRefused(t)
	copier := without("share")
	out, err := copier.ec2.CopyImage(t.Context(), copying)
	if err != nil {
		t.Fatalf("docs/security.md says that image.json allows this: %v", err)
	}
	copied := copier.snapshotOf(t, *out.ImageId)
	attempts{
		"share the copy":          do(copier.ec2.ModifyImageAttribute, sharing(*out.ImageId)),
		"share the copy's disk":   do(copier.ec2.ModifySnapshotAttribute, sharingDisk(copied)),
		"share the image":         do(copier.ec2.ModifyImageAttribute, sharing(theirs.image)),
		"share the image's disk":  do(copier.ec2.ModifySnapshotAttribute, sharingDisk(theirs.snapshot)),
		"delete the copied image": do(copier.ec2.DeregisterImage, &ec2.DeregisterImageInput{ImageId: &theirs.image}),
	}.checkRefused(t)
}
