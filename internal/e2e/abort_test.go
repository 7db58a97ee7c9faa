// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// TestAbortPrintsCleanupCommands checks that with -on-error=abort the printed commands work: one shows the machine's
// log, one keeps the machine longer, and the rest remove everything that is left.
func TestAbortPrintsCleanupCommands(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		baker  labtest.Baker
		more   map[string]any
		faults []string
		kept   string // what is at least left
	}{
		"when a step fails": {labtest.Baker{Steps: []string{"one"}, Fail: 1}, nil, nil, "instance i-"},
		"when a step fails on a Spot Instance with a profile": {
			labtest.Baker{Steps: []string{"one"}, Fail: 1},
			map[string]any{"spot_price": "auto", "temporary_iam_instance_profile_policy_document": map[string]any{
				"Version": "2012-10-17", "Statement": []any{map[string]any{"Effect": "Allow",
					"Action": []string{"s3:GetObject"}, "Resource": []string{"*"}}},
			}}, nil, "spot-request sir-",
		},
		"when an image cannot be shared": {
			labtest.Baker{}, map[string]any{"ami_regions": []string{"eu-west-1"},
				"ami_users": []string{"111111111111"}},
			[]string{"ModifyImageAttribute=UnauthorizedOperation"}, "image ami-",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := startBakerLab(t, c.baker, c.faults...)
			settings := maps.Clone(reportVerdict)
			maps.Copy(settings, c.more)
			settings["packer_on_error"] = "abort"
			_, printed, err := q.bake(t, settings)
			if err == nil || !strings.Contains(fmt.Sprint(q.Left()), c.kept) {
				t.Fatalf("error %v, left %q\n%s", err, q.Left(), printed)
			}
			_, log, _ := strings.Cut(printed, "The machine's log: ")
			log, _, _ = strings.Cut(log, "\n")
			if out := q.shell(t, log); !strings.Contains(out, "@bakery ") {
				t.Errorf("%s prints %q", log, out)
			}
			_, longer, _ := strings.Cut(printed, "To keep the machine longer: ")
			longer, _, _ = strings.Cut(longer, "\n")
			q.shell(t, longer)
			for _, r := range q.State() {
				if r.Kind == "instance" && (r.Tags["bakery:expires"] != "" || r.Tags["bakery:bake-id"] == "") {
					t.Errorf("after %s, the tags are %v", longer, r.Tags)
				}
			}
			_, commands, found := strings.Cut(printed, "These commands remove it, in this order:\n")
			if !found {
				t.Fatalf("no commands:\n%s", printed)
			}
			for line := range strings.Lines(commands) {
				command, ok := strings.CutPrefix(line, "    ")
				if !ok {
					break
				}
				q.shell(t, command)
			}
			if left := q.Left(); len(left) > 0 {
				t.Errorf("left after all commands: %q\n%s", left, printed)
			}
		})
	}
}

// shell runs a command that the builder has printed for the user.
func (q *quickLab) shell(t *testing.T, command string) string {
	t.Helper()
	bin := t.TempDir()
	wrapper := fmt.Sprintf("#!/bin/sh\nexec %s --endpoint-url %s \"$@\"\n", packertest.AWSCLI(t), q.URL)
	if err := os.WriteFile(filepath.Join(bin, "aws"), []byte(wrapper), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "AWS_PAGER=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", strings.TrimSpace(command), err, out)
	}
	return string(out)
}
