// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

func refused(service, operation, code string) error {
	return &smithy.OperationError{
		ServiceID: service, OperationName: operation, Err: &smithy.GenericAPIError{Code: code},
	}
}

func TestWarningNamesARightOnce(t *testing.T) {
	denied := refused("EC2", "DescribeTags", "UnauthorizedOperation")
	r := &Result{Errs: []error{denied, fmt.Errorf("elsewhere: %w", denied)}}
	got := r.Warning()
	if strings.Count(got, "ec2:DescribeTags") != 1 || !strings.Contains(got, "policies of docs/iam") {
		t.Error(got)
	}
}

func TestWarning(t *testing.T) {
	for name, c := range map[string]struct {
		errs []error
		want string
	}{
		"no error": {nil, ""},
		"a right with another name": {
			[]error{refused("S3", "ListObjectsV2", "AccessDenied")}, "without the right to s3:ListBucket, which",
		},
		"a missing bucket": {[]error{refused("S3", "ListObjectsV2", "NoSuchBucket")}, ""},
		"another error": {
			[]error{errors.New("broken")}, "sweeping what killed bakes have left: broken",
		},
		"both": {
			[]error{refused("IAM", "ListRoles", "AccessDenied"), errors.New("broken")},
			"iam:ListRoles, which the policies of docs/iam give; sweep = false leaves it\n" +
				"sweeping what killed bakes have left: broken",
		},
	} {
		got := (&Result{Errs: c.errs}).Warning()
		if !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestCheckRefusesWhatASweepDoesNotDo(t *testing.T) {
	c := SweepConfig{SweepOnly: true, Sweep: config.TriFalse}
	_, errs := c.Check(map[string]string{"source_ami": "ami-1", "ami_name": "hello", "bundle": ""})
	want := []string{
		"sweep_only = true conflicts with sweep = false: remove one of them",
		"sweep_only = true bakes nothing, so ami_name, source_ami would have no effect: remove one or the other",
	}
	var got []string
	for _, err := range errs {
		got = append(got, err.Error())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if warnings, errs := new(SweepConfig).Check(nil); len(warnings)+len(errs) > 0 {
		t.Errorf("nothing set: warnings %q, errors %v", warnings, errs)
	}
}
