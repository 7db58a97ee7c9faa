// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"fmt"
	"slices"
	"strings"
)

// Outcome is the result of a bake, as the machine reported it.
type Outcome struct {
	OK     bool
	Step   string   // the step that failed
	Code   int      // its exit status
	Reason string   // why, when the exit status alone does not say it
	Tail   []string // the last lines it printed
}

// Judge returns the outcome of a bake, or false while its reports contain no verdict.
func Judge(reports []Report) (Outcome, bool) {
	var o Outcome
	judged := false
	for _, r := range reports {
		switch r.Kind {
		case Tail:
			o.Tail = append(o.Tail, r.Text)
		case Reason:
			o.Reason = r.Text
		case Verdict:
			o.OK, o.Step, o.Code, judged = r.OK, r.Name, r.Code, true
		case Begin, Boot, Start, End, Warn:
		}
	}
	if !judged {
		return Outcome{}, false
	}
	return o, true
}

// Err returns nil for a success, else an error with the step, its exit status, the reason and the last lines.
func (o Outcome) Err() error {
	if o.OK {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s failed with exit status %d", o.Step, o.Code)
	if o.Reason != "" {
		fmt.Fprintf(&b, ": %s", o.Reason)
	}
	if len(o.Tail) > 0 {
		b.WriteString("; its last lines were:")
		for _, line := range o.Tail {
			b.WriteString("\n    " + line)
		}
	}
	return fmt.Errorf("baking on the machine: %s", b.String())
}

// LastStep describes the last step of a machine that gave no verdict, for error messages.
func LastStep(reports []Report) string {
	for _, r := range slices.Backward(reports) {
		switch r.Kind {
		case Start:
			return fmt.Sprintf("it was running step %d, %s", r.Step, r.Name)
		case End:
			return fmt.Sprintf("it had ended step %d, %s, with exit status %d", r.Step, r.Name, r.Code)
		case Begin:
			return "it was running cloud-init's own modules"
		case Boot, Warn, Tail, Reason, Verdict:
		}
	}
	return "it never reported: cloud-init did not run, or did not read the user data"
}
