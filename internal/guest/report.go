// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kind is the kind of a report.
type Kind string

// The kinds of report, in the order a bake sends them.
const (
	Begin   Kind = "begin"   // the program is on the machine; Total is set
	Boot    Kind = "boot"    // the program continues after a reboot; Step is the number of the boot
	Start   Kind = "start"   // step Step, called Name, runs
	End     Kind = "end"     // it ended with exit status Code
	Warn    Kind = "warn"    // Text is a warning
	Tail    Kind = "tail"    // Text is one of the last lines a failed step printed
	Reason  Kind = "reason"  // Text says why the bake failed
	Verdict Kind = "verdict" // the last report: Code 0, or step Name failed with Code
)

// Report is one line the guest program wrote to the console.
type Report struct {
	Seq   int // orders the reports of a bake, also across reboots
	Kind  Kind
	Step  int    // from 1; 0 is cloud-init itself
	Total int    // how many steps there are, in Begin
	Code  int    // exit status, in End and Verdict
	OK    bool   // in Verdict
	Name  string // of the step
	Text  string
}

// reportLine matches a report anywhere on a console line: the kernel and systemd write there too.
var reportLine = regexp.MustCompile(`@bakery (\d{1,10}) (([0-9a-z]{1,32}) (\d{1,9}) ([a-z]{1,16})(?: ([ -~]*))?)`)

// escapes matches the terminal sequences in console text: CSI, OSC and two-byte ones (ECMA-48).
var escapes = regexp.MustCompile(`\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[@-_])`)

// ReadReports returns the reports of one bake in a console's text, in order, each once. It skips a line that is cut,
// mixed with another, or of another bake: its checksum or its id is wrong.
func ReadReports(console []byte, bakeID string) []Report {
	seen := map[int]bool{}
	var reports []Report
	text := escapes.ReplaceAll(console, nil)
	for line := range bytes.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		r, ok := parseReport(line, bakeID)
		if ok && !seen[r.Seq] {
			seen[r.Seq] = true
			reports = append(reports, r)
		}
	}
	slices.SortStableFunc(reports, func(a, b Report) int { return cmp.Compare(a.Seq, b.Seq) })
	return reports
}

// ReadReport finds the report in a printed line. It also returns the text before the report: the output of a command
// may end without a line end.
func ReadReport(line, bakeID string) (before string, r Report, ok bool) {
	r, ok = parseReport([]byte(line), bakeID)
	if !ok {
		return line, r, false
	}
	before, _, _ = strings.Cut(line, "@bakery ")
	return before, r, true
}

// longestReport is the length at which bakery_compose cuts a report, in bytes after its checksum.
const longestReport = 240

// MayBeCut reports whether a report is so long that the end of its text may be missing.
func MayBeCut(r Report) bool {
	const before = 60 // the id, the number and the kind at their longest
	return len(r.Text) >= longestReport-before
}

// FormatReport returns a report as the guest program prints it, for programs that simulate a machine. The words are its
// kind and what follows, such as "end 3 0 60_app.cfg runcmd[1]".
func FormatReport(bakeID string, seq int, words string) string {
	body := printable(fmt.Sprintf("%s %d %s", bakeID, seq, words))
	body = body[:min(len(body), longestReport)]
	return fmt.Sprintf("\r\n@bakery %d %s\r\n", cksum([]byte(body)), body)
}

func parseReport(line []byte, bakeID string) (Report, bool) {
	m := reportLine.FindSubmatch(line)
	if m == nil || string(m[3]) != bakeID {
		return Report{}, false
	}
	// Other output right after the report, without a line end, makes the match too long. Try all lengths, from the
	// whole match down to the kind alone, until the checksum is right.
	sum := string(m[1])
	body := m[2]
	least := len(body) - len(m[6])
	for n := len(body); n >= least; n-- {
		if strconv.FormatUint(uint64(cksum(body[:n])), 10) != sum {
			continue
		}
		return newReport(string(m[4]), string(m[5]), strings.TrimPrefix(string(body[least:n]), " "))
	}
	return Report{}, false
}

func newReport(seq, kind, rest string) (Report, bool) {
	r := Report{Kind: Kind(kind)}
	var err error
	if r.Seq, err = strconv.Atoi(seq); err != nil {
		return r, false
	}
	switch r.Kind {
	case Begin:
		r.Total, err = strconv.Atoi(rest)
	case Boot:
		r.Step, err = strconv.Atoi(rest)
	case Start:
		var step string
		step, r.Name, _ = strings.Cut(rest, " ")
		r.Step, err = strconv.Atoi(step)
	case End:
		err = r.readEnd(rest)
	case Verdict:
		err = r.readVerdict(rest)
	case Warn, Tail, Reason:
		r.Text = rest
	default:
		return r, false
	}
	return r, err == nil
}

func (r *Report) readEnd(rest string) (err error) {
	step, rest, _ := strings.Cut(rest, " ")
	code, name, _ := strings.Cut(rest, " ")
	if r.Step, err = strconv.Atoi(step); err != nil {
		return err
	}
	r.Name = name
	r.Code, err = strconv.Atoi(code)
	return err
}

func (r *Report) readVerdict(rest string) (err error) {
	outcome, rest, _ := strings.Cut(rest, " ")
	code, name, _ := strings.Cut(rest, " ")
	r.OK, r.Name = outcome == "ok", name
	r.Code, err = strconv.Atoi(code)
	return err
}

// cksum returns the checksum of POSIX cksum(1), which every machine has: CRC-32 with polynomial 0x04C11DB7, the length
// appended, not reflected.
func cksum(b []byte) uint32 {
	var crc uint32
	add := func(c byte) {
		crc ^= uint32(c) << 24
		for range 8 {
			if crc&0x80000000 != 0 {
				crc = crc<<1 ^ 0x04C11DB7
			} else {
				crc <<= 1
			}
		}
	}
	for _, c := range b {
		add(c)
	}
	for n := len(b); n > 0; n >>= 8 {
		add(byte(n))
	}
	return ^crc
}
