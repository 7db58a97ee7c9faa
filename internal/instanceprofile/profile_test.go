// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instanceprofile

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

const bakeID = "0123456789abcdef"

// account is the IAM of an account with at most one role and profile.
type account struct {
	exists   map[string]bool     // the parts: role, policy, profile, membership
	refusals map[string][]string // codes with which the next calls fail, by the name of the call
	lost     map[string]bool     // calls that take effect and fail with AccessDenied
	calls    []string
	role     *iam.CreateRoleInput
	policy   string
	asked    string // the name that GetInstanceProfile was called with
}

// do makes or removes a part, if the call is not refused.
func (a *account) do(call, part string, exists bool, ifNot string) error {
	a.calls = append(a.calls, call)
	if codes := a.refusals[call]; len(codes) > 0 {
		a.refusals[call] = codes[1:]
		return &smithy.GenericAPIError{Code: codes[0]}
	}
	if a.exists[part] == exists {
		return &smithy.GenericAPIError{Code: ifNot}
	}
	a.exists[part] = exists
	if a.lost[call] {
		return &smithy.GenericAPIError{Code: "AccessDenied"}
	}
	return nil
}

func (a *account) api() *awscall.IAM {
	if a.exists == nil {
		a.exists = map[string]bool{}
	}
	return &awscall.IAM{
		GetInstanceProfile: func(
			_ context.Context, in *iam.GetInstanceProfileInput, _ ...func(*iam.Options),
		) (*iam.GetInstanceProfileOutput, error) {
			a.asked = aws.ToString(in.InstanceProfileName)
			return nil, a.do("GetInstanceProfile", "profile", !a.exists["profile"], "")
		},
		CreateRole: func(
			_ context.Context, in *iam.CreateRoleInput, _ ...func(*iam.Options),
		) (*iam.CreateRoleOutput, error) {
			a.role = in
			return nil, a.do("CreateRole", "role", true, awscall.CodeEntityExists)
		},
		PutRolePolicy: func(
			_ context.Context, in *iam.PutRolePolicyInput, _ ...func(*iam.Options),
		) (*iam.PutRolePolicyOutput, error) {
			a.policy = aws.ToString(in.PolicyDocument)
			return nil, a.do("PutRolePolicy", "policy", true, "")
		},
		CreateInstanceProfile: func(
			context.Context, *iam.CreateInstanceProfileInput, ...func(*iam.Options),
		) (*iam.CreateInstanceProfileOutput, error) {
			return nil, a.do("CreateInstanceProfile", "profile", true, awscall.CodeEntityExists)
		},
		AddRoleToInstanceProfile: func(
			context.Context, *iam.AddRoleToInstanceProfileInput, ...func(*iam.Options),
		) (*iam.AddRoleToInstanceProfileOutput, error) {
			return nil, a.do("AddRoleToInstanceProfile", "membership", true, awscall.CodeLimitExceeded)
		},
		RemoveRoleFromInstanceProfile: func(
			context.Context, *iam.RemoveRoleFromInstanceProfileInput, ...func(*iam.Options),
		) (*iam.RemoveRoleFromInstanceProfileOutput, error) {
			return nil, a.do("RemoveRoleFromInstanceProfile", "membership", false, awscall.CodeNoSuchEntity)
		},
		DeleteInstanceProfile: func(
			context.Context, *iam.DeleteInstanceProfileInput, ...func(*iam.Options),
		) (*iam.DeleteInstanceProfileOutput, error) {
			return nil, a.do("DeleteInstanceProfile", "profile", false, awscall.CodeNoSuchEntity)
		},
		DeleteRolePolicy: func(
			context.Context, *iam.DeleteRolePolicyInput, ...func(*iam.Options),
		) (*iam.DeleteRolePolicyOutput, error) {
			return nil, a.do("DeleteRolePolicy", "policy", false, awscall.CodeNoSuchEntity)
		},
		DeleteRole: func(context.Context, *iam.DeleteRoleInput, ...func(*iam.Options)) (*iam.DeleteRoleOutput, error) {
			return nil, a.do("DeleteRole", "role", false, awscall.CodeNoSuchEntity)
		},
	}
}

// left returns the parts that exist.
func (a *account) left() []string {
	var parts []string
	for part, exists := range a.exists {
		if exists {
			parts = append(parts, part)
		}
	}
	slices.Sort(parts)
	return parts
}

// makes makes a profile in an account, and returns the bake it was made for.
func (a *account) makes(t *testing.T) (b *bake.Bake, said *bytes.Buffer, name string, err error) {
	t.Helper()
	said = new(bytes.Buffer)
	b = &bake.Bake{
		ID: bakeID, Lifetime: time.Hour, UI: &packersdk.BasicUi{Writer: said}, CLI: bake.CLI{Region: "us-east-1"},
	}
	clients := &awscall.Clients{Config: aws.Config{Region: "us-east-1"}, IAM: a.api()}
	policy := statement("Allow", []string{"s3:GetObject"}, []string{"*"})
	name, err = Make(t.Context(), b, clients, policy, map[string]string{"Name": "bakery hello (1)"})
	return b, said, name, err
}

func undo(ctx context.Context, b *bake.Bake) error {
	return b.Ledger.UndoAll(ctx, context.WithCancel)
}

func TestMake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := new(account)
		b, said, name, err := a.makes(t)
		if err != nil {
			t.Fatal(err)
		}
		if want := bake.ExpiringName(time.Now().Add(time.Hour), bakeID); name != want {
			t.Errorf("it is called %q, want %q", name, want)
		}
		if aws.ToString(a.role.RoleName) != name || aws.ToString(a.role.Path) != "/bakery/" {
			t.Errorf("the role is %s%s", aws.ToString(a.role.Path), aws.ToString(a.role.RoleName))
		}
		const policy = `{"Version":"2012-10-17",` +
			`"Statement":[{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["*"]}]}`
		if a.policy != policy {
			t.Errorf("the policy is %s", a.policy)
		}
		if got := aws.ToString(a.role.Tags[0].Value); got != "bakery hello -1-" {
			t.Errorf("the role's tag is %q, and IAM accepts no brackets", got)
		}
		if !strings.Contains(said.String(), "Made the role and instance profile "+name) {
			t.Errorf("it says %q", said)
		}
		if diff := cmp.Diff([]string{"membership", "policy", "profile", "role"}, a.left()); diff != "" {
			t.Errorf("what was made (-want +got):\n%s", diff)
		}
		want := []string{
			fmt.Sprintf("aws iam remove-role-from-instance-profile --instance-profile-name %s --role-name %s "+
				"--region us-east-1", name, name),
			fmt.Sprintf("aws iam delete-instance-profile --instance-profile-name %s --region us-east-1", name),
			fmt.Sprintf("aws iam delete-role-policy --role-name %s --policy-name %s --region us-east-1", name, name),
			fmt.Sprintf("aws iam delete-role --role-name %s --region us-east-1", name),
		}
		if diff := cmp.Diff(want, b.Ledger.Commands()); diff != "" {
			t.Errorf("commands (-want +got):\n%s", diff)
		}
		if err := undo(t.Context(), b); err != nil || len(a.left()) > 0 {
			t.Errorf("error %v, left: %q", err, a.left())
		}
	})
}

func TestMakeSucceedsWhenIAMIsSlow(t *testing.T) {
	slow := []string{awscall.CodeNoSuchEntity, awscall.CodeConcurrentModification, awscall.CodeNoSuchEntity}
	for name, a := range map[string]*account{
		"to know the role, for the policy":      {refusals: map[string][]string{"PutRolePolicy": slow}},
		"to know the role, for the profile":     {refusals: map[string][]string{"AddRoleToInstanceProfile": slow}},
		"to answer, and has made the role":      {exists: map[string]bool{"role": true}},
		"to answer, and has made the profile":   {exists: map[string]bool{"profile": true}},
		"to answer, and has put the role in it": {exists: map[string]bool{"membership": true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, _, _, err := a.makes(t)
				if err != nil {
					t.Fatal(err)
				}
				if err := undo(t.Context(), b); err != nil || len(a.left()) > 0 {
					t.Errorf("error %v, left: %q", err, a.left())
				}
			})
		})
	}
}

func TestMakeThatFailsLeavesNothing(t *testing.T) {
	for _, call := range []string{"CreateRole", "PutRolePolicy", "CreateInstanceProfile", "AddRoleToInstanceProfile"} {
		for name, a := range map[string]*account{
			"refused": {refusals: map[string][]string{call: {"AccessDenied"}}},
			"lost":    {lost: map[string]bool{call: true}},
		} {
			t.Run(call+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, _, _, err := a.makes(t)
					if err == nil || !strings.Contains(err.Error(), "iam_instance_profile uses one that exists") {
						t.Errorf("error %v", err)
					}
					if err := undo(t.Context(), b); err != nil || len(a.left()) > 0 {
						t.Errorf("error %v, left: %q", err, a.left())
					}
				})
			})
		}
	}
}

func TestRemoveCallsAgainWhileIAMIsSlow(t *testing.T) {
	calls := []string{"RemoveRoleFromInstanceProfile", "DeleteInstanceProfile", "DeleteRolePolicy", "DeleteRole"}
	for _, code := range []string{
		awscall.CodeNoSuchEntity, awscall.CodeDeleteConflict, awscall.CodeConcurrentModification,
	} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &account{
					exists:   map[string]bool{"role": true, "policy": true, "profile": true, "membership": true},
					refusals: map[string][]string{},
				}
				for _, call := range calls {
					a.refusals[call] = []string{code, code}
				}
				if err := Remove(t.Context(), a.api(), "x", time.Now()); err != nil || len(a.left()) > 0 {
					t.Errorf("error %v, left: %q", err, a.left())
				}
			})
		})
	}
}

func TestRemoveDoesNotWaitForWhatDoesNotExist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, began := new(account), time.Now()
		err := Remove(t.Context(), a.api(), "x", time.Time{})
		if waited := time.Since(began); err != nil || len(a.calls) != 4 || waited > 0 {
			t.Errorf("error %v, calls %q, %s", err, a.calls, waited)
		}
	})
}

func TestRemoveGoesOnAfterAnError(t *testing.T) {
	a := &account{
		exists:   map[string]bool{"role": true, "policy": true, "profile": true, "membership": true},
		refusals: map[string][]string{"DeleteInstanceProfile": {"AccessDenied"}},
	}
	err := Remove(t.Context(), a.api(), "x", time.Time{})
	if diff := cmp.Diff([]string{"profile"}, a.left()); !awscall.HasCode(err, "AccessDenied") || diff != "" {
		t.Errorf("error %v, left (-want +got):\n%s", err, diff)
	}
}

func TestCheckExists(t *testing.T) {
	const arn = "arn:aws:iam::123456789012:instance-profile/path/typo"
	for name, c := range map[string]struct {
		code, wantErr, wantSaid string
	}{
		"it does not exist": {awscall.CodeNoSuchEntity, "there is no instance profile " + arn, ""},
		"access denied":     {"AccessDenied", "", "Whether there is an instance profile " + arn + " cannot be told"},
		"IAM does not work": {"ServiceUnavailable", "", "cannot be told"},
	} {
		t.Run(name, func(t *testing.T) {
			var said string
			say := func(format string, args ...any) { said += fmt.Sprintf(format, args...) }
			a := &account{refusals: map[string][]string{"GetInstanceProfile": {c.code}}}
			err := CheckExists(t.Context(), &ProfileConfig{IamInstanceProfile: arn}, a.api(), say)
			if (err != nil) != (c.wantErr != "") || err != nil && !strings.Contains(err.Error(), c.wantErr) {
				t.Errorf("error %v, want %q", err, c.wantErr)
			}
			if (said != "") != (c.wantSaid != "") || !strings.Contains(said, c.wantSaid) {
				t.Errorf("it says %q, want %q", said, c.wantSaid)
			}
			if a.asked != "typo" {
				t.Errorf("IAM was asked for the profile %q", a.asked)
			}
		})
	}
}

func TestCheckExistsCallsNothingWithoutNeed(t *testing.T) {
	for name, c := range map[string]ProfileConfig{
		"no profile":     {},
		"the check left": {IamInstanceProfile: "x", SkipProfileValidation: true},
	} {
		if err := CheckExists(t.Context(), &c, new(awscall.IAM), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheRoleTrustsTheEC2OfItsPartition(t *testing.T) {
	for region, want := range map[string]string{
		"us-east-1":     `"ec2.amazonaws.com"`,
		"us-gov-west-1": `"ec2.amazonaws.com"`,
		"cn-north-1":    `"ec2.amazonaws.com.cn"`,
	} {
		if got := trustPolicy(region); !strings.Contains(got, want) {
			t.Errorf("the role of %s trusts %s", region, got)
		}
	}
}

func TestTagsOfARoleAreWhatIAMAccepts(t *testing.T) {
	got := map[string]string{}
	for _, tag := range iamTags(map[string]string{"Name": "a (b)", "name": "again", "cost{center}": "7"}) {
		got[*tag.Key] = *tag.Value
	}
	if diff := cmp.Diff(map[string]string{"Name": "a -b-", "cost-center-": "7"}, got); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}
