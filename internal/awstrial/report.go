// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// report is all that a run has found.
type report struct {
	run, region string
	results     []result
	calls       behaviour
	differences []difference
	left        []string // resources of this run that are still there
	problems    []string // of the run itself
}

// ok reports whether everything went as it has to.
func (r *report) ok() bool {
	return len(r.left) == 0 && len(r.problems) == 0 &&
		!slices.ContainsFunc(r.results, func(t result) bool { return t.problem != "" })
}

// write prints the report in Markdown, to be pasted into an issue.
func (r *report) write(out io.Writer) {
	fmt.Fprintf(out, "# make test-aws, run %s in %s\n\n", r.run, r.region)
	fmt.Fprintln(out, "| bake | source | type | staging | seconds | result |\n| --- | --- | --- | --- | --- | --- |")
	for _, t := range r.results {
		verdict := "as expected"
		if t.problem != "" {
			verdict = "**" + t.problem + "**"
		}
		staging := "no"
		if t.isStaged {
			staging = "yes"
		}
		fmt.Fprintf(out, "| %s | `%s` | %s | %s | %.0f | %s |\n", t.name, t.source, t.instanceType, staging, t.seconds,
			verdict)
	}
	r.writeProblems(out)
	fmt.Fprint(out, "\n## Answers that the lab gives otherwise\n\n")
	if len(r.differences) == 0 {
		fmt.Fprintln(out, "None.")
	}
	for _, d := range r.differences {
		d.write(out)
	}
	fmt.Fprintln(out, "\n## Calls\n\n| call | number | answers |\n| --- | --- | --- |")
	for _, action := range slices.Sorted(maps.Keys(r.calls)) {
		a := r.calls[action]
		var statuses []string
		for _, s := range slices.Sorted(maps.Keys(a.Statuses)) {
			statuses = append(statuses, fmt.Sprintf("%s (%d)", s, a.Statuses[s]))
		}
		fmt.Fprintf(out, "| %s | %d | %s |\n", strings.ReplaceAll(action, "|", "&#124;"), a.Calls,
			strings.Join(statuses, ", "))
	}
}

func (r *report) writeProblems(out io.Writer) {
	for _, p := range r.problems {
		fmt.Fprintf(out, "\n**%s**\n", p)
	}
	if len(r.left) > 0 {
		fmt.Fprintf(out, "\n**Still there, with the tag bakery-test-aws = %s: %s. Look at them, and remove them.**\n",
			r.run, strings.Join(r.left, ", "))
	}
	for _, t := range r.results {
		if t.problem != "" {
			fmt.Fprintf(out, "\n### The end of %s\n\n```text\n%s\n```\n", t.name, lastLines(t.output, 40))
		}
	}
}

func (d difference) write(out io.Writer) {
	if d.unknownToTheLab {
		fmt.Fprintf(out, "- `%s`: the lab was not asked this\n", d.action)
		return
	}
	var parts []string
	for _, p := range []struct {
		about string
		names []string
	}{
		{"only AWS answers", d.missing}, {"only the lab answers", d.added}, {"AWS also answers with", d.statuses},
	} {
		if len(p.names) > 0 {
			parts = append(parts, p.about+" `"+strings.Join(p.names, "`, `")+"`")
		}
	}
	fmt.Fprintf(out, "- `%s`: %s\n", d.action, strings.Join(parts, "; "))
}

// lastLines returns the last n lines of what packer has printed, without numbers of accounts.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	text = strings.Join(lines[max(0, len(lines)-n):], "\n")
	return accountNumber.ReplaceAllString(text, "ACCOUNT")
}

// writeCalls writes each call on a line of its own, in JSON.
func writeCalls(file string, exchanges []exchange) error {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("write the calls: %w", err)
	}
	defer func() { _ = f.Close() }()
	w := bufio.NewWriter(f)
	lines := json.NewEncoder(w)
	for _, x := range exchanges {
		if err := lines.Encode(x); err != nil {
			return fmt.Errorf("write the calls: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the calls: %w", err)
	}
	return f.Close()
}
