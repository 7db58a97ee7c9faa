// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package network

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

const bakeID = "0123456789abcdef"

func newBake(said *bytes.Buffer) *bake.Bake {
	return &bake.Bake{
		ID: bakeID, UI: &packersdk.BasicUi{Writer: said, ErrorWriter: said}, CLI: bake.CLI{Region: "us-east-1"},
	}
}

// groupAPI is an EC2 with at most one security group.
type groupAPI struct {
	exists      bool
	createErr   error    // after the group was made or not
	refusesMake bool     // does not make the group
	deleteErrs  []string // codes of the first calls; a lost answer deletes the group all the same
	creates     []*ec2.CreateSecurityGroupInput
	deletes     int
	tagged      []*ec2.CreateTagsInput
}

const lostAnswer = "InternalError"

func (g *groupAPI) api() *awscall.EC2 {
	return &awscall.EC2{
		CreateSecurityGroup: func(
			_ context.Context, in *ec2.CreateSecurityGroupInput, _ ...func(*ec2.Options),
		) (*ec2.CreateSecurityGroupOutput, error) {
			g.creates = append(g.creates, in)
			g.exists = !g.refusesMake
			return &ec2.CreateSecurityGroupOutput{GroupId: aws.String("sg-1")}, g.createErr
		},
		DescribeSecurityGroups: func(
			_ context.Context, in *ec2.DescribeSecurityGroupsInput, _ ...func(*ec2.Options),
		) (*ec2.DescribeSecurityGroupsOutput, error) {
			out := new(ec2.DescribeSecurityGroupsOutput)
			if g.exists && in.Filters[0].Values[0] == "bakery-"+bakeID {
				out.SecurityGroups = []types.SecurityGroup{{GroupId: aws.String("sg-1")}}
			}
			return out, nil
		},
		DeleteSecurityGroup: g.delete,
		CreateTags: func(
			_ context.Context, in *ec2.CreateTagsInput, _ ...func(*ec2.Options),
		) (*ec2.CreateTagsOutput, error) {
			g.tagged = append(g.tagged, in)
			return new(ec2.CreateTagsOutput), nil
		},
	}
}

func (g *groupAPI) delete(
	_ context.Context, in *ec2.DeleteSecurityGroupInput, opts ...func(*ec2.Options),
) (*ec2.DeleteSecurityGroupOutput, error) {
	g.deletes++
	code := ""
	if g.deletes <= len(g.deleteErrs) {
		code = g.deleteErrs[g.deletes-1]
	}
	if code == lostAnswer { // as the SDK does, which calls again by itself
		g.exists = false
		o := ec2.Options{Retryer: retry.NewStandard()}
		for _, set := range opts {
			set(&o)
		}
		o.Retryer.IsErrorRetryable(&smithy.GenericAPIError{Code: "RequestTimeout"})
		code = awscall.CodeGroupNotFound
	}
	if code == "" && (!g.exists || aws.ToString(in.GroupId) != "sg-1") {
		code = awscall.CodeGroupNotFound
	}
	if code != "" {
		return nil, &smithy.GenericAPIError{Code: code}
	}
	g.exists = false
	return new(ec2.DeleteSecurityGroupOutput), nil
}

func undo(ctx context.Context, b *bake.Bake) error {
	return b.Ledger.UndoAll(ctx, context.WithCancel)
}

func TestMakeGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		b, g := newBake(&said), new(groupAPI)
		got, err := MakeGroup(t.Context(), b, g.api(), "vpc-1", map[string]string{"a": "b"})
		if err != nil {
			t.Fatal(err)
		}
		if want := (Group{ID: "sg-1", Made: time.Now()}); got != want {
			t.Errorf("the group is %v, want %v", got, want)
		}
		in := g.creates[0]
		if aws.ToString(in.GroupName) != "bakery-"+bakeID || aws.ToString(in.VpcId) != "vpc-1" {
			t.Errorf("the group was made as %q in %q", aws.ToString(in.GroupName), aws.ToString(in.VpcId))
		}
		if diff := cmp.Diff(map[string]string{"a": "b"}, awscall.TagMap(in.TagSpecifications[0].Tags)); diff != "" {
			t.Errorf("tags (-want +got):\n%s", diff)
		}
		tagged := g.tagged[0]
		if tags := awscall.TagMap(tagged.Tags); tagged.Resources[0] != "sg-1" || tags[bake.TagSelf] != "sg-1" {
			t.Errorf("%v got the tags %v", tagged.Resources, tags)
		}
		if !strings.Contains(said.String(), "Made security group sg-1, which lets nothing in") {
			t.Errorf("it says %q", said.String())
		}
		if diff := cmp.Diff([]string{"security group sg-1"}, b.Ledger.List()); diff != "" {
			t.Errorf("the ledger (-want +got):\n%s", diff)
		}
		want := []string{"aws ec2 delete-security-group --group-id sg-1 --region us-east-1"}
		if diff := cmp.Diff(want, b.Ledger.Commands()); diff != "" {
			t.Errorf("commands (-want +got):\n%s", diff)
		}
		if err := undo(t.Context(), b); err != nil || g.exists {
			t.Errorf("error %v, the group still exists: %t", err, g.exists)
		}
	})
}

func TestMakeGroupFindsAGroupWhoseAnswerWasLost(t *testing.T) {
	var said bytes.Buffer
	b, g := newBake(&said), &groupAPI{createErr: &smithy.GenericAPIError{Code: awscall.CodeGroupDuplicate}}
	if got, err := MakeGroup(t.Context(), b, g.api(), "", nil); err != nil || got.ID != "sg-1" {
		t.Errorf("the group is %v, error %v", got, err)
	}
	if g.creates[0].VpcId != nil {
		t.Errorf("EC2 is to make it in the VPC %q", *g.creates[0].VpcId)
	}
}

func TestMakeGroupThatFailsLeavesNothing(t *testing.T) {
	var said bytes.Buffer
	b := newBake(&said)
	g := &groupAPI{createErr: &smithy.GenericAPIError{Code: "UnauthorizedOperation"}, refusesMake: true}
	_, err := MakeGroup(t.Context(), b, g.api(), "vpc-1", nil)
	if err == nil || !strings.Contains(err.Error(), "security_group_id uses one that exists") {
		t.Errorf("error %v", err)
	}
	want := []string{
		"aws ec2 describe-security-groups --filters Name=group-name,Values=bakery-" + bakeID + " --region us-east-1",
	}
	if diff := cmp.Diff(want, b.Ledger.Commands()); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	g.exists = true // EC2 shows only now that it has made the group
	if err := undo(t.Context(), b); err != nil || g.exists {
		t.Errorf("error %v, the group still exists: %t", err, g.exists)
	}
	if err := removeGroup(t.Context(), bakeID, g.api(), "", Group{}); err != nil || g.deletes != 1 {
		t.Errorf("error %v, %d calls delete a group", err, g.deletes)
	}
}

func TestDeleteGroupCallsAgain(t *testing.T) {
	const inUse, notFound = awscall.CodeGroupInUse, awscall.CodeGroupNotFound
	for name, c := range map[string]struct {
		errs         []string
		age          time.Duration // of the group
		awaitRelease bool
		calls        int
		code         string // of the error
	}{
		"in use":                     {[]string{inUse, inUse}, time.Hour, true, 3, ""},
		"in use, without waiting":    {[]string{inUse}, time.Hour, false, 1, inUse},
		"not known yet":              {[]string{notFound, awscall.CodeGroupIDNotFound}, 0, true, 3, ""},
		"not known any more":         {[]string{notFound}, time.Hour, true, 1, notFound},
		"deleted, the answer lost":   {[]string{lostAnswer}, 0, true, 1, notFound},
		"refused for another reason": {[]string{"UnauthorizedOperation"}, 0, true, 1, "UnauthorizedOperation"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &groupAPI{exists: true, deleteErrs: c.errs}
				made := time.Now().Add(-c.age)
				err := DeleteGroup(t.Context(), g.api(), Group{ID: "sg-1", Made: made}, c.awaitRelease)
				asWanted := err == nil && c.code == "" || awscall.HasCode(err, c.code)
				if g.deletes != c.calls || !asWanted {
					t.Errorf("%d calls and %v, want %d and %q", g.deletes, err, c.calls, c.code)
				}
			})
		})
	}
}

func TestDeleteGroupGivesUpOnAGroupThatStaysInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &awscall.EC2{DeleteSecurityGroup: func(
			context.Context, *ec2.DeleteSecurityGroupInput, ...func(*ec2.Options),
		) (*ec2.DeleteSecurityGroupOutput, error) {
			return nil, &smithy.GenericAPIError{Code: awscall.CodeGroupInUse}
		}}
		began := time.Now()
		err := DeleteGroup(t.Context(), api, Group{ID: "sg-1"}, true)
		late := time.Since(began) - GroupReleaseTimeout
		if err == nil || late < 0 || late > 5*time.Second {
			t.Errorf("error %v, %s after the timeout", err, late)
		}
	})
}
