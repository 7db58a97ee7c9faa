// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

var recordLab = flag.Bool("record-lab", false, "write the answers of the lab that make test-aws compares with")

// TestAWSTrial runs what make test-aws runs, with the lab in place of AWS. The lab must answer as testdata/lab.json of
// internal/awstrial says: go test ./internal/e2e -run TestAWSTrial -record-lab writes it anew.
func TestAWSTrial(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	machineSlots.acquire(t)
	out := t.TempDir()
	program := filepath.Join(t.TempDir(), "awstrial")
	build := packertest.Run(t, packertest.Root(), append(os.Environ(), "CGO_ENABLED=0"), "go", "build", "-o", program,
		"./internal/awstrial")
	if build.Code != 0 {
		t.Fatal(build.Output)
	}
	known := filepath.Join("internal", "awstrial", "testdata", "lab.json")
	args := []string{program, "-out", out, "-parallel", "2", "-only", "^(debian|al2023-fails|debian-xen-staged)$"}
	for _, guest := range []string{"al2023", "debian", "rocky", "ubuntu"} {
		args = append(args, "-source", guest+"="+l.values["BAKERY_LAB_AMI"])
	}
	if *recordLab {
		args = append(args, "-record", known)
	}
	r := packertest.Run(t, packertest.Root(), l.environ(t), args...)
	report, err := os.ReadFile(filepath.Join(out, "report.md"))
	if r.Code != 0 || err != nil {
		t.Fatalf("exit status %d, error %v\n%s\n%s", r.Code, err, r.Output, report)
	}
	for _, want := range []string{"| debian | ", "| al2023-fails | ", "| debian-xen-staged | ", "ec2 RunInstances"} {
		if !strings.Contains(string(report), want) {
			t.Errorf("the report lacks %q:\n%s", want, report)
		}
	}
	// The lab answers nothing that its record does not have. What a short run did not see is no difference.
	for line := range strings.Lines(string(report)) {
		isNew := strings.Contains(line, "only AWS answers") || strings.Contains(line, "AWS also answers with") ||
			strings.Contains(line, "the lab was not asked this")
		if isNew && !*recordLab {
			t.Errorf("the record of the lab does not have this, run the test with -record-lab: %s", line)
		}
	}
	calls, err := os.ReadFile(filepath.Join(out, "calls.jsonl"))
	if err != nil || !strings.Contains(string(calls), `"action":"CreateImage"`) {
		t.Errorf("error %v, and the calls are %.1000s", err, calls)
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if strings.Contains(string(calls), l.values[name]) {
			t.Errorf("%s is in the record of the calls", name)
		}
	}
}
