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

// reportsContradict is the reason of a bake whose reports cannot all be from its machine.
const reportsContradict = "its reports contradict each other: a program on the machine, or somebody who has the user " +
	"data, sends reports of its own"

// maxTail is how many of the last lines of a failed step an Outcome has: as many as log_stream.py sends.
const maxTail = 40

// Judge returns the outcome of a bake from all its reports, sorted by number, or false while they contain no verdict.
//
// A bake has failed when any verdict says so, and when not all reports have the same commitment. It has succeeded when
// its last report is a success that reveals the secret of the commitment, and the clean-up was reported before. Then
// only the guest program, as root, can have reported it. Reports that are missing do not matter: a console may lose
// lines.
func Judge(reports []Report) (Outcome, bool) {
	if len(reports) == 0 {
		return Outcome{}, false
	}
	var o Outcome
	for _, r := range reports {
		switch {
		case r.Kind == Tail:
			if o.Tail = append(o.Tail, r.Text); len(o.Tail) > 2*maxTail {
				o.Tail = slices.Clone(o.Tail[maxTail:])
			}
		case r.Kind == Reason:
			o.Reason = r.Text
		}
	}
	o.Tail = o.Tail[max(0, len(o.Tail)-maxTail):]
	for _, r := range reports {
		if r.Kind == Verdict && !r.OK {
			o.Step, o.Code = r.Name, r.Code
			return o, true
		}
	}
	if contradict(reports) {
		return Outcome{Step: "the verdict", Code: 1, Reason: reportsContradict}, true
	}
	if reports[len(reports)-1].Kind != Verdict || !cleanedLast(reports) {
		return Outcome{}, false
	}
	return Outcome{OK: true}, true
}

// contradict reports whether not all reports, of which no verdict is a failure, can be from one machine: two
// commitments, a success without the secret, or something that was reported after the success.
func contradict(reports []Report) bool {
	succeeded := false
	for _, r := range reports {
		isSuccess := r.Kind == Verdict
		if r.Commitment != reports[0].Commitment || isSuccess && Commitment(r.Secret) != r.Commitment {
			return true
		}
		if succeeded && !isSuccess && r.Kind != Warn {
			return true
		}
		succeeded = succeeded || isSuccess
	}
	return false
}

// cleanedLast reports whether nothing but the clean-up, warnings and the verdict is reported after the last step. The
// machine repeats the last two reports, so that the console does not lose both.
func cleanedLast(reports []Report) bool {
	for _, r := range slices.Backward(reports) {
		switch r.Kind {
		case Clean:
			return true
		case Verdict, Warn:
		case Commit, Begin, Boot, Start, End, Tail, Reason:
			return false
		}
	}
	return false
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

// Parts of reasons of the guest program.
const (
	noWayToS3   = "Does its subnet have a way there"
	outOfMemory = "for lack of memory: "
)

// HasNoWayToS3 reports whether the machine could not reach S3.
func (o Outcome) HasNoWayToS3() bool { return strings.Contains(o.Reason, noWayToS3) }

// IsOutOfMemory reports whether the kernel has killed something because the machine has too little memory.
func (o Outcome) IsOutOfMemory() bool { return strings.Contains(o.Reason, outOfMemory) }

// LastStep describes the last step of a machine that gave no verdict, for error messages.
func LastStep(reports []Report) string {
	for _, r := range slices.Backward(reports) {
		switch r.Kind {
		case Start:
			return fmt.Sprintf("it was running step %d, %s", r.Step, r.Name)
		case End:
			return fmt.Sprintf("it had ended step %d, %s, with exit status %d", r.Step, r.Name, r.Code)
		case Begin, Commit:
			return "it was running cloud-init's own modules"
		case Clean:
			return "it had cleaned up"
		case Boot, Warn, Tail, Reason, Verdict:
		}
	}
	return "it never reported: cloud-init did not run or did not read the user data, or its reports are on a console " +
		"that EC2 does not show"
}
