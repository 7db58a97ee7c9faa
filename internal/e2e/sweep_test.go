// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// sweeping returns the settings of a source that only sweeps.
func (q *quickLab) sweeping(more ...string) map[string]any {
	return map[string]any{
		"profile": q.profile, "max_retries": 2, "sweep_only": true, "ami_regions": more,
		"staging": map[string]any{"url": "s3://" + q.Value("BAKERY_LAB_BUCKET") + "/quick"},
	}
}

// plant makes one resource of each kind, as a bake makes them, and returns their ids by their kinds.
func (q *quickLab) plant(t *testing.T, region, bake, expires string) map[types.ResourceType][]string {
	t.Helper()
	ids := map[types.ResourceType][]string{}
	c := ec2.NewFromConfig(q.sdk(region))
	tagSelf := func(kind types.ResourceType, id *string) {
		t.Helper()
		ids[kind] = append(ids[kind], *id)
		self := []types.Tag{{Key: aws.String("bakery:self"), Value: id}}
		if _, err := c.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{*id}, Tags: self}); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tags := []types.Tag{{Key: aws.String("Name"), Value: aws.String("planted")}}
	for key, value := range map[string]string{"bakery:bake-id": bake, "bakery:expires": expires} {
		if value != "" {
			tags = append(tags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
		}
	}
	tagged := func(kinds ...types.ResourceType) (all []types.TagSpecification) {
		for _, kind := range kinds {
			tags := slices.Clone(tags)
			if kind == types.ResourceTypeImage || kind == types.ResourceTypeSnapshot {
				tags = append(tags, types.Tag{Key: aws.String("bakery:source-ami"),
					Value: aws.String(q.Value("BAKERY_LAB_AMI"))})
			}
			all = append(all, types.TagSpecification{ResourceType: kind, Tags: tags})
		}
		return all
	}
	name := strings.NewReplacer(":", "-", " ", "-").Replace("planted-" + bake + "-" + expires)
	group, err := c.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{
		GroupName: aws.String("bakery-" + bake), Description: aws.String("planted"),
		TagSpecifications: tagged(types.ResourceTypeSecurityGroup),
	})
	must(err)
	tagSelf(types.ResourceTypeSecurityGroup, group.GroupId)
	run := func(market *types.InstanceMarketOptionsRequest, kinds ...types.ResourceType) types.Instance {
		out, err := c.RunInstances(t.Context(), &ec2.RunInstancesInput{
			ImageId: aws.String(q.Value("BAKERY_LAB_AMI")), InstanceType: types.InstanceTypeT3Nano,
			MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
			ClientToken:           aws.String(fmt.Sprintf("%s-%s-%v", bake, expires, market != nil)),
			InstanceMarketOptions: market,
			TagSpecifications:     tagged(append(kinds, types.ResourceTypeInstance, types.ResourceTypeVolume)...),
			BlockDeviceMappings: []types.BlockDeviceMapping{{ // which outlives its machine
				DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(false)},
			}},
		})
		must(err)
		tagSelf(types.ResourceTypeInstance, out.Instances[0].InstanceId)
		return out.Instances[0]
	}
	instance := run(nil)
	spot := run(&types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot,
		SpotOptions: &types.SpotMarketOptions{
			SpotInstanceType:             types.SpotInstanceTypePersistent,
			InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorStop,
		}}, types.ResourceTypeSpotInstancesRequest)
	must(ec2.NewInstanceRunningWaiter(c, func(o *ec2.InstanceRunningWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second
	}).
		Wait(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{*instance.InstanceId, *spot.InstanceId}},
			10*time.Minute))
	tagSelf(types.ResourceTypeSpotInstancesRequest, spot.SpotInstanceRequestId)
	volumes, err := c.DescribeVolumes(t.Context(), new(ec2.DescribeVolumesInput))
	must(err)
	for _, v := range volumes.Volumes {
		if *v.Attachments[0].InstanceId == *instance.InstanceId || *v.Attachments[0].InstanceId == *spot.InstanceId {
			tagSelf(types.ResourceTypeVolume, v.VolumeId)
		}
	}
	image, err := c.CreateImage(t.Context(), &ec2.CreateImageInput{
		InstanceId: instance.InstanceId, Name: aws.String(name), NoReboot: aws.Bool(true),
		TagSpecifications: tagged(types.ResourceTypeImage, types.ResourceTypeSnapshot),
	})
	must(err)
	tagSelf(types.ResourceTypeImage, image.ImageId)
	return ids
}

// plantElsewhere makes a role and staged objects.
func (q *quickLab) plantElsewhere(t *testing.T, role, folder string, tags map[string]string) {
	t.Helper()
	bucket := aws.String(q.Value("BAKERY_LAB_BUCKET"))
	client := s3.NewFromConfig(q.sdk("us-east-1"), func(o *s3.Options) { o.UsePathStyle = true })
	for _, name := range []string{"fs.tgz", "log.gz"} {
		if _, err := client.PutObject(t.Context(),
			&s3.PutObjectInput{Bucket: bucket, Key: aws.String("quick/" + folder + "/" + name),
				Body: strings.NewReader("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.CreateMultipartUpload(t.Context(),
		&s3.CreateMultipartUploadInput{Bucket: bucket, Key: aws.String("quick/" + folder + "/large")}); err != nil {
		t.Fatal(err)
	}
	q.plantRole(t, role, tags)
}

// plantRole makes a role.
func (q *quickLab) plantRole(t *testing.T, role string, tags map[string]string) {
	t.Helper()
	const trust = `{"Version":"2012-10-17","Statement":[` +
		`{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	in := &iam.CreateRoleInput{RoleName: aws.String(role), Path: aws.String("/bakery/"),
		AssumeRolePolicyDocument: aws.String(trust)}
	in.Tags = append(in.Tags, iamtypes.Tag{Key: aws.String("bakery:self"), Value: &role})
	for key, value := range tags {
		in.Tags = append(in.Tags, iamtypes.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	if _, err := iam.NewFromConfig(q.sdk("us-east-1")).CreateRole(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

const (
	someBake = "0123456789abcdef"
	longAgo  = "2020-01-02T03:04:05Z"
	farAway  = "2999-01-02T03:04:05Z"
	// aMinuteAgo stands for a time that is taken when the test begins.
	aMinuteAgo = "a minute ago"
)

// TestSweep checks that a sweep removes everything that has expired, in every region, and nothing else.
func TestSweep(t *testing.T) {
	t.Parallel()
	t.Run("each", func(t *testing.T) {
		t.Run("what has expired goes, with sweep_only", func(t *testing.T) {
			t.Parallel()
			q := sweptLab(t)
			_, printed, err := q.bakeAs(t, q.sweeping("eu-west-1"))
			if left := q.Left(); err != nil || len(left) > 0 {
				t.Errorf("%v, left: %q\n%s", err, left, printed)
			}
			for _, what := range []string{
				"instance i-", "spot request sir-", "security group sg-", "pending image ami-", "snapshot snap-",
				"volume vol-", "the unfinished upload to s3://",
				"/quick/bakery-20200102T030405Z-" + someBake + "/log.gz",
				"the role and instance profile bakery-20200102T030405Z-" + someBake, "in eu-west-1",
			} {
				if !strings.Contains(printed, "Swept "+what) && !strings.Contains(printed, what) {
					t.Errorf("the sweep does not print %q:\n%s", what, printed)
				}
			}
		})
		t.Run("what has expired goes beside a bake that has the rights", func(t *testing.T) {
			t.Parallel()
			q := sweptLab(t)
			if _, printed, err := q.bake(t, map[string]any{"skip_create_ami": true,
				"ami_regions": []string{"eu-west-1"}}); err != nil {
				t.Fatalf("%v\n%s", err, printed)
			}
			// A bake without a temporary profile does not sweep roles.
			left := slices.DeleteFunc(q.Left(), func(what string) bool { return strings.HasPrefix(what, "role ") })
			if len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
		t.Run("nothing goes with sweep = false", func(t *testing.T) {
			t.Parallel()
			q := sweptLab(t)
			before := q.Left()
			if _, printed, err := q.bake(t, map[string]any{"skip_create_ami": true, "sweep": false}); err != nil {
				t.Fatalf("%v\n%s", err, printed)
			}
			if diff := cmp.Diff(before, q.Left()); diff != "" {
				t.Errorf("the bake has changed (-before +after):\n%s", diff)
			}
		})
		t.Run("nothing goes that is not one's own and expired", sweepSpares)
		t.Run("two at once", func(t *testing.T) {
			t.Parallel()
			q := sweptLab(t)
			var all sync.WaitGroup
			for range 2 {
				all.Go(func() {
					if _, printed, err := q.bakeAs(t, q.sweeping("eu-west-1")); err != nil {
						t.Errorf("%v\n%s", err, printed)
					}
				})
			}
			all.Wait()
			if left := q.Left(); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
		for _, r := range everyRight(t, "bake", "staging") {
			if r.action != "ec2:DescribeTags" && r.action != "s3:ListBucketMultipartUploads" {
				continue
			}
			t.Run("without the right to "+r.action+" it is one warning", func(t *testing.T) {
				t.Parallel()
				limited := startQuickLab(t).limited(t, rights{documents: []string{"bake", "staging"}, without: r})
				_, printed, err := limited.bake(t, nil)
				if err != nil {
					t.Fatalf("%v\n%s", err, printed)
				}
				if strings.Count(printed, "warning: ") != 1 ||
					!strings.Contains(printed, "cannot be swept without the right to "+r.action+",") {
					t.Errorf("the warnings are not one about this right:\n%s", printed)
				}
			})
		}
	})
}

// sweptLab starts a lab with expired resources, in which images never become available.
func sweptLab(t *testing.T) *quickLab {
	t.Helper()
	q := startQuickLabOptions(t, labserver.Options{Delays: cloud.Delays{Image: time.Hour},
		Runner: labtest.Runner{Guest: func(m *labtest.Machine) {
			if status, _ := m.Metadata("/latest/user-data"); status == http.StatusOK {
				m.PowerOff() // a bake's; the planted ones have none
			}
		}}})
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		q.plant(t, region, someBake, longAgo)
	}
	name := "bakery-20200102T030405Z-" + someBake
	q.plantElsewhere(t, name, name, map[string]string{"bakery:bake-id": someBake, "bakery:expires": longAgo})
	return q
}

// waitUntilImagesAreMade waits until the lab has made all images.
func (q *quickLab) waitUntilImagesAreMade(t *testing.T) {
	t.Helper()
	pending := func(r resource) bool { return r.Kind == "image" && r.State == "pending" }
	for ; slices.ContainsFunc(q.State(), pending); time.Sleep(10 * time.Millisecond) {
		if t.Context().Err() != nil {
			t.Fatal("the images were not made")
		}
	}
}

// sweepSpares makes what a sweep must not remove.
func sweepSpares(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bake, expires string
		role, folder  string
		image         time.Duration // until images are available
	}{
		"not expired": {someBake, farAway, "bakery-29990102T030405Z-" + someBake,
			"bakery-29990102T030405Z-" + someBake, time.Hour},
		"expired a minute ago": {someBake, aMinuteAgo, "bakery-29990102T030405Z-" + someBake,
			"bakery-29990102T030405Z-" + someBake, time.Hour},
		"without the id of a bake": {"", longAgo, "bakery-20200102T030405Z-" + someBake, "bakery-20200102T030405Z-0123",
			time.Hour},
		"with an id that is none": {"prod", longAgo, "bakery-20200102T030405Z-prod", "bakery-20200102T030405Z-prod",
			time.Hour},
		"without an expiry": {someBake, "", "other",
			"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", time.Hour},
		"with one nobody can read": {someBake, "2020-01-02", "bakery-2020-" + someBake, "bakery-20200102-" + someBake,
			time.Hour},
		"with words for one": {someBake, "never", "bakery-never-" + someBake, "bakery-never-" + someBake, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := startQuickLabOptions(t, labserver.Options{Delays: cloud.Delays{Image: c.image}})
			if c.expires == aMinuteAgo { // of now: the lab may have waited for its turn
				c.expires = time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
			}
			q.plant(t, "us-east-1", c.bake, c.expires)
			q.plantElsewhere(t, c.role, c.folder, map[string]string{"bakery:bake-id": c.bake,
				"bakery:expires": c.expires})
			before := fmt.Sprint(q.Left())
			_, printed, err := q.bakeAs(t, q.sweeping())
			if diff := cmp.Diff(before, fmt.Sprint(q.Left())); err != nil || diff != "" {
				t.Errorf("%v, the sweep has changed (-before +after):\n%s\n%s", err, diff, printed)
			}
			if !strings.Contains(printed, "Nothing of bakes has expired") {
				t.Errorf("it says\n%s", printed)
			}
		})
	}
	t.Run("images that are available, and their snapshots", func(t *testing.T) {
		t.Parallel()
		q := startQuickLabOptions(t, labserver.Options{})
		q.plant(t, "us-east-1", someBake, longAgo)
		q.waitUntilImagesAreMade(t)
		_, printed, err := q.bakeAs(t, q.sweeping())
		left := q.Left()
		if err != nil || len(left) != 2 || !strings.HasPrefix(left[0], "image ami-") ||
			!strings.HasPrefix(left[1], "snapshot snap-") ||
			!strings.Contains(printed, "Kept: ami-") {
			t.Errorf("%v, left: %q\n%s", err, left, printed)
		}
	})
}
