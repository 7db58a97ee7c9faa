// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/ami"
	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

func refused(code string) error { return &smithy.GenericAPIError{Code: code} }

// pages returns an EC2 that lists one image on each page. The texts are ids and times of creation.
func pages(images ...string) *awscall.EC2 {
	return &awscall.EC2{DescribeImages: func(
		_ context.Context, in *ec2.DescribeImagesInput, _ ...func(*ec2.Options),
	) (*ec2.DescribeImagesOutput, error) {
		n, _ := strconv.Atoi(aws.ToString(in.NextToken))
		id := aws.String(images[n])
		out := &ec2.DescribeImagesOutput{Images: []types.Image{{ImageId: id, Name: id, CreationDate: id}}}
		if n+1 < len(images) {
			out.NextToken = aws.String(strconv.Itoa(n + 1))
		}
		return out, nil
	}}
}

// answer returns an EC2 that answers each request for images, which it records, with the same images.
func answer(in *ec2.DescribeImagesInput, images ...types.Image) *awscall.EC2 {
	return &awscall.EC2{DescribeImages: func(
		_ context.Context, request *ec2.DescribeImagesInput, _ ...func(*ec2.Options),
	) (*ec2.DescribeImagesOutput, error) {
		*in = *request
		return &ec2.DescribeImagesOutput{Images: images}, nil
	}}
}

func image(id string) types.Image {
	return types.Image{ImageId: aws.String(id), Name: aws.String(id), State: types.ImageStateAvailable}
}

func TestListReadsEveryPage(t *testing.T) {
	images, err := ami.List(t.Context(), pages("a", "b", "c"), new(ec2.DescribeImagesInput))
	if err != nil || len(images) != 3 {
		t.Errorf("%d images, error %v", len(images), err)
	}
}

func TestTheNewestSourceImageMayBeOnAnyPage(t *testing.T) {
	c := &ami.SourceConfig{SourceAmi: "debian-*"}
	source, err := ami.FindSource(t.Context(), c, pages("2025", "2026", "2024"), nil)
	if err != nil || aws.ToString(source.ImageId) != "2026" {
		t.Errorf("found %s, error %v", aws.ToString(source.ImageId), err)
	}
}

func TestWithNameReturnsOnlyTheExactName(t *testing.T) {
	in := new(ec2.DescribeImagesInput)
	images, err := ami.WithName(t.Context(), answer(in, image("hello"), image("hello-2")), "us-east-1", "hello")
	if err != nil || len(images) != 1 || !aws.ToBool(in.IncludeDisabled) || !slices.Equal(in.Owners, []string{"self"}) {
		t.Errorf("%d images, error %v, request %+v", len(images), err, in)
	}
}

func TestFindSource(t *testing.T) {
	const id = "ami-0123456789abcdef0"
	parameters := &awscall.SSM{GetParameter: func(
		_ context.Context, in *ssm.GetParameterInput, _ ...func(*ssm.Options),
	) (*ssm.GetParameterOutput, error) {
		value, ok := map[string]string{"/id": id + "\n", "/text": "hello"}[*in.Name]
		if !ok {
			return nil, errors.New("ParameterNotFound")
		}
		return &ssm.GetParameterOutput{Parameter: &ssmtypes.Parameter{Value: aws.String(value)}}, nil
	}}
	pending := types.Image{ImageId: aws.String(id), State: types.ImageStatePending}
	mine := ami.SourceFilter{Owners: []string{"self"}, Filters: map[string]string{"name": "a, b"}}
	byID := ec2.DescribeImagesInput{ImageIds: []string{id}}
	for name, c := range map[string]struct {
		config  ami.SourceConfig
		images  []types.Image
		want    string // in the error
		request ec2.DescribeImagesInput
	}{
		"an id":         {ami.SourceConfig{SourceAmi: id}, []types.Image{image(id)}, "", byID},
		"an unknown id": {ami.SourceConfig{SourceAmi: id}, nil, "no image is " + id, byID},
		"a pending image": {
			ami.SourceConfig{SourceAmi: id}, []types.Image{pending}, "is pending; it must be available", byID,
		},
		"a parameter": {
			ami.SourceConfig{SourceAmi: "resolve:ssm:/id"}, []types.Image{image(id)}, "",
			byID,
		},
		"a parameter that is no id": {
			ami.SourceConfig{SourceAmi: "resolve:ssm:/text"}, nil, `holds "hello", which is no image id`,
			ec2.DescribeImagesInput{},
		},
		"a parameter that is missing": {
			ami.SourceConfig{SourceAmi: "resolve:ssm:/x"}, nil, "read SSM parameter /x of source_ami",
			ec2.DescribeImagesInput{},
		},
		"a name": {
			ami.SourceConfig{SourceAmi: "debian-*"}, []types.Image{image("a"), image("b")}, "",
			ec2.DescribeImagesInput{
				Owners:  []string{"self", "amazon"},
				Filters: []types.Filter{awscall.Filter("name", "debian-*"), awscall.Filter("state", "available")},
			},
		},
		"a filter and an id": {
			ami.SourceConfig{SourceAmi: id, SourceAmiFilter: mine}, []types.Image{image(id)}, "",
			ec2.DescribeImagesInput{
				ImageIds: []string{id}, Owners: []string{"self"},
				Filters: []types.Filter{awscall.Filter("name", "a", "b"), awscall.Filter("state", "available")},
			},
		},
		"a filter that finds several": {
			ami.SourceConfig{SourceAmiFilter: mine}, []types.Image{image("a"), image("b")},
			"2 images are owned by self with name=a,b, state=available: set most_recent = true",
			ec2.DescribeImagesInput{
				Owners:  []string{"self"},
				Filters: []types.Filter{awscall.Filter("name", "a", "b"), awscall.Filter("state", "available")},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := new(ec2.DescribeImagesInput)
			_, err := ami.FindSource(t.Context(), &c.config, answer(in, c.images...), parameters)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %q, got %v", c.want, err)
			}
			if diff := cmp.Diff(c.request.ImageIds, in.ImageIds) + cmp.Diff(c.request.Owners, in.Owners) +
				cmp.Diff(filters(c.request.Filters), filters(in.Filters)); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func filters(all []types.Filter) map[string][]string {
	texts := map[string][]string{}
	for _, f := range all {
		texts[*f.Name] = f.Values
	}
	return texts
}

// removal is an EC2 with one image, which records what is removed.
type removal struct {
	protection string
	calls      []string
	deregister func(n int) error // the error of each call
	delete     func(n int) error
}

func (r *removal) count(name string) (n int) {
	for _, c := range r.calls {
		if strings.HasPrefix(c, name) {
			n++
		}
	}
	return n
}

func (r *removal) ec2() *awscall.EC2 {
	record := func(name, id string, err func(int) error) error {
		n := r.count(name)
		r.calls = append(r.calls, name+" "+id)
		if err == nil {
			return nil
		}
		return err(n)
	}
	mapping := func(id string) types.BlockDeviceMapping {
		return types.BlockDeviceMapping{Ebs: &types.EbsBlockDevice{SnapshotId: aws.String(id)}}
	}
	api := answer(new(ec2.DescribeImagesInput), types.Image{
		ImageId: aws.String("ami-1"), DeregistrationProtection: aws.String(r.protection),
		BlockDeviceMappings: []types.BlockDeviceMapping{mapping("snap-2"), mapping("snap-1"), mapping("snap-1")},
	})
	api.DeregisterImage = func(
		_ context.Context, in *ec2.DeregisterImageInput, _ ...func(*ec2.Options),
	) (*ec2.DeregisterImageOutput, error) {
		return nil, record("deregister", *in.ImageId, r.deregister)
	}
	api.DeleteSnapshot = func(
		_ context.Context, in *ec2.DeleteSnapshotInput, _ ...func(*ec2.Options),
	) (*ec2.DeleteSnapshotOutput, error) {
		return nil, record("delete", *in.SnapshotId, r.delete)
	}
	api.DisableImageDeregistrationProtection = func(
		_ context.Context, in *ec2.DisableImageDeregistrationProtectionInput, _ ...func(*ec2.Options),
	) (*ec2.DisableImageDeregistrationProtectionOutput, error) {
		return nil, record("unprotect", *in.ImageId, nil)
	}
	return api
}

// times returns an error for the first n calls.
func times(n int, code string) func(int) error {
	return func(call int) error {
		if call < n {
			return refused(code)
		}
		return nil
	}
}

func TestRemove(t *testing.T) {
	for name, c := range map[string]struct {
		removal
		calls []string
		want  string // in the error
	}{
		"deletes each snapshot once": {calls: []string{"deregister ami-1", "delete snap-1", "delete snap-2"}},
		"disables the protection": {
			removal: removal{protection: "enabled-without-cooldown"},
			calls:   []string{"unprotect ami-1", "deregister ami-1", "delete snap-1", "delete snap-2"},
		},
		"says why a protection lasts": {
			removal: removal{protection: "enabled-with-cooldown", deregister: times(9, awscall.CodeNotPermitted)},
			calls:   []string{"unprotect ami-1", "deregister ami-1"}, want: "24 hours",
		},
		"does not disable a protection that the image does not have": {
			removal: removal{deregister: times(9, awscall.CodeNotPermitted)},
			calls:   []string{"deregister ami-1"}, want: "deregister ami-1: ",
		},
		"ignores an image that is gone": {
			removal: removal{deregister: times(9, awscall.CodeImageUnavailable)},
			calls:   []string{"deregister ami-1", "delete snap-1", "delete snap-2"},
		},
		"waits for a snapshot that is in use": {
			removal: removal{delete: times(2, awscall.CodeSnapshotInUse)},
			calls:   []string{"deregister ami-1", "delete snap-1", "delete snap-1", "delete snap-1", "delete snap-2"},
		},
		"leaves the snapshots of an image that stays": {
			removal: removal{deregister: times(9, "UnauthorizedOperation")},
			calls:   []string{"deregister ami-1"}, want: "deregister ami-1: ",
		},
		"tries every snapshot": {
			removal: removal{delete: times(1, "UnauthorizedOperation")},
			calls:   []string{"deregister ami-1", "delete snap-1", "delete snap-2"}, want: "delete snapshot snap-1: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := ami.Remove(t.Context(), c.ec2(), "ami-1", ami.SnapshotsOf)
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("want %q, got %v", c.want, err)
				}
				if diff := cmp.Diff(c.calls, c.removal.calls); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAnImageThatIsGoneNeedsNoRemoval(t *testing.T) {
	api := &awscall.EC2{DescribeImages: func(
		context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options),
	) (*ec2.DescribeImagesOutput, error) {
		return nil, refused(awscall.CodeImageNotFound)
	}}
	if err := ami.Remove(t.Context(), api, "ami-1", ami.SnapshotsOf); err != nil {
		t.Error(err)
	}
	if exists, err := ami.Exists(t.Context(), api, "ami-1"); err != nil || exists {
		t.Errorf("it exists: %t, error %v", exists, err)
	}
}

func TestANewImageMayNotBeVisibleYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := removal{deregister: times(3, awscall.CodeImageNotFound), delete: times(3, awscall.CodeSnapshotNotFound)}
		if err := ami.Deregister(t.Context(), r.ec2(), "ami-1", false, time.Now()); err != nil ||
			r.count("deregister") != 4 {
			t.Errorf("error %v after %q", err, r.calls)
		}
		if err := ami.DeleteSnapshots(t.Context(), r.ec2(), []string{"snap-1"}, time.Now()); err != nil ||
			r.count("delete") != 4 {
			t.Errorf("error %v after %q", err, r.calls)
		}
	})
}

func TestTheProtectionOfANewImageMayNotBeVisibleYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := removal{deregister: times(1, awscall.CodeNotPermitted)}
		if err := ami.Deregister(t.Context(), r.ec2(), "ami-1", false, time.Now()); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"deregister ami-1", "unprotect ami-1", "deregister ami-1"}, r.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}

func TestDescribe(t *testing.T) {
	i := types.Image{ImageId: aws.String("ami-1"), Name: aws.String("hello")}
	if got := ami.Describe(&i); got != "ami-1 (hello)" {
		t.Errorf("it is %q", got)
	}
}
