// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// boto3 pages, filters, waits and fails on the lab as on AWS.
func TestBoto3(t *testing.T) {
	t.Parallel()
	s := newShell(t, lab.Options{})
	python := packertest.PythonWith(t, "boto3", "python3-boto3")
	c := exec.CommandContext(t.Context(), python, "testdata/boto3_client.py", s.lab.URL)
	c.Env = s.env
	if out, err := c.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "as AWS does" {
		t.Errorf("%v\n%s", err, out)
	}
}
