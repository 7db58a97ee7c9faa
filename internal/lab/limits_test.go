// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/limit"
)

func TestRequestLimitsOfEachRegion(t *testing.T) {
	l := labtest.Start(t, lab.Options{Limits: &limit.Rates{Actions: map[string]limit.Rate{"DescribeVpcs": {Size: 2}}}})
	c := ec2.NewFromConfig(sdk(l))
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		for i, want := range []string{"", "", "503 RequestLimitExceeded"} {
			_, err := c.DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{}, func(o *ec2.Options) { o.Region = region })
			if got := statusAnd(err); got != want {
				t.Errorf("call %d in %s: %s", i+1, region, got)
			}
		}
	}
}
