// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
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
	Commit  Kind = "commit"  // the machine has made its secret; nothing of the user's has run yet
	Begin   Kind = "begin"   // the program is on the machine; Total is set
	Boot    Kind = "boot"    // the program continues after a reboot; Step is the number of the boot
	Start   Kind = "start"   // step Step, called Name, runs
	End     Kind = "end"     // it ended with exit status Code
	Warn    Kind = "warn"    // Text is a warning
	Tail    Kind = "tail"    // Text is one of the last lines a failed step printed
	Reason  Kind = "reason"  // Text says why the bake failed
	Clean   Kind = "clean"   // the clean-up is complete
	Verdict Kind = "verdict" // the last report: success with Secret, or step Name failed with Code
)

// Report is one line that the guest program wrote to the console.
type Report struct {
	Seq int // orders the reports of a bake, also across reboots
	// Commitment is the hash of the machine's secret: [Commitment]. Every report of a machine repeats it.
	Commitment string
	Kind       Kind
	Step       int    // from 1; 0 is cloud-init itself
	Total      int    // how many steps there are, in Begin
	Code       int    // exit status, in End and Verdict
	OK         bool   // in Verdict
	Secret     string // of the machine, in a Verdict that is OK
	Name       string // of the step
	Text       string
}

// Key is a secret of one machine and of who launched it. It is in the user data.
type Key [16]byte

// NewKey returns a random key.
func NewKey() Key {
	var k Key
	_, _ = rand.Read(k[:]) // never fails: crypto/rand aborts the program instead
	return k
}

func (k Key) String() string { return hex.EncodeToString(k[:]) }

// hashDigits is the length of a code, a secret and a commitment, in hex digits.
const hashDigits = 32

// shortHash returns what bakery_hash of program/report.sh prints.
func shortHash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:hashDigits]
}

// code returns the message authentication code of a report's body. The sha256 inside of another one keeps a code from
// being continued to that of a longer body; HMAC would need bytes that sh cannot hold in a variable.
func (k Key) code(body []byte) string {
	key := k.String()
	inner := sha256.Sum256(append([]byte(key), body...))
	return shortHash([]byte(key + hex.EncodeToString(inner[:])))
}

// Commitment returns the hash of a machine's secret, which the machine reports before anything of the user's runs. Who
// knows it, and all keys in the user data, still cannot report success: that takes the secret, which only root can read
// on the machine.
func Commitment(secret string) string { return shortHash([]byte(secret)) }

// reportMark begins a report.
const reportMark = "@bakery "

// reportHeader matches a report up to its body: its code, and the length of the body.
var reportHeader = regexp.MustCompile(`^([0-9a-f]{32}) (\d{1,3}) `)

// reportBody matches the body: bake id, number, commitment, kind and what follows.
var reportBody = regexp.MustCompile(`^([0-9a-z]{1,32}) (\d{1,10}) ([0-9a-f]{32}) ([a-z]{1,16})(?: ([ -~]*))?$`)

// escapes matches the terminal sequences in console text: CSI, OSC and two-byte ones (ECMA-48).
var escapes = regexp.MustCompile(`\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[@-_])`)

// Reader finds the reports of one machine in what it has printed.
type Reader struct {
	BakeID string
	Key    Key // signs the reports
}

// Reports returns the reports in a console's text, in order, each once. It skips what is cut, mixed with other text, or
// of another machine: its code is wrong. Two different reports with one number are both returned.
func (r Reader) Reports(console []byte) []Report {
	var reports reportSet
	reports.addFrom(r, stripEscapes(console))
	return SortReports(reports.all)
}

// reportSet is reports, each once.
type reportSet struct {
	all  []Report
	seen map[Report]bool
}

// addFrom adds the reports in a text. Its time is linear in the text's length, because that of parse is bounded.
func (s *reportSet) addFrom(r Reader, text []byte) {
	for {
		_, rest, ok := bytes.Cut(text, []byte(reportMark))
		if !ok {
			return
		}
		text = rest
		if report, ok := r.parse(rest); ok && !s.seen[report] {
			if s.seen == nil {
				s.seen = map[Report]bool{}
			}
			s.seen[report] = true
			s.all = append(s.all, report)
		}
	}
}

// stripEscapes removes terminal sequences from console text.
func stripEscapes(text []byte) []byte {
	if bytes.IndexByte(text, '\x1b') < 0 {
		return text
	}
	return escapes.ReplaceAll(text, nil)
}

// Report finds the report in a printed line. It also returns the text before the report: the output of a command may
// end without a line end.
func (r Reader) Report(line string) (before string, report Report, ok bool) {
	before, rest, ok := strings.Cut(line, reportMark)
	if ok {
		report, ok = r.parse([]byte(rest))
	}
	if !ok {
		return line, report, false
	}
	return before, report, true
}

// SortReports sorts reports by their numbers, and returns them.
func SortReports(reports []Report) []Report {
	slices.SortStableFunc(reports, func(a, b Report) int { return cmp.Compare(a.Seq, b.Seq) })
	return reports
}

// longestReport is the length at which bakery_compose cuts the body of a report, in bytes.
const longestReport = 270

// MayBeCut reports whether a report is so long that the end of its text may be missing.
func MayBeCut(r Report) bool {
	const before = 92 // the id, the number, the commitment and the kind at their longest
	return len(r.Text) >= longestReport-before
}

// parse parses what follows reportMark. Its time does not depend on how long the text is.
func (r Reader) parse(text []byte) (Report, bool) {
	text = text[:min(len(text), hashDigits+5+longestReport)]
	m := reportHeader.FindSubmatch(text)
	if m == nil {
		return Report{}, false
	}
	length, _ := strconv.Atoi(string(m[2])) // at most three digits
	body := text[len(m[0]):]
	if length > len(body) {
		return Report{}, false
	}
	body = body[:length]
	if subtle.ConstantTimeCompare(m[1], []byte(r.Key.code(body))) == 0 {
		return Report{}, false
	}
	b := reportBody.FindSubmatch(body)
	if b == nil || string(b[1]) != r.BakeID {
		return Report{}, false
	}
	report, ok := newReport(string(b[2]), string(b[4]), string(b[5]))
	report.Commitment = string(b[3])
	return report, ok
}

// Writer writes reports as the guest program prints them, for programs that simulate a machine.
type Writer struct {
	Reader

	Secret string // of the machine; see [Commitment]
}

// Report returns a report. The words are its kind and what follows, such as "end 3 0 60_app.cfg runcmd[1]".
func (w Writer) Report(seq int, words string) string {
	body := printable(fmt.Sprintf("%s %d %s %s", w.BakeID, seq, Commitment(w.Secret), words))
	body = body[:min(len(body), longestReport)]
	return fmt.Sprintf("\r\n%s%s %d %s\r\n", reportMark, w.Key.code([]byte(body)), len(body), body)
}

func newReport(seq, kind, rest string) (Report, bool) {
	r := Report{Kind: Kind(kind)}
	var err error
	if r.Seq, err = strconv.Atoi(seq); err != nil {
		return r, false
	}
	switch r.Kind {
	case Commit, Clean:
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

// readVerdict reads "ok SECRET" or "fail CODE NAME". What is neither is a failure.
func (r *Report) readVerdict(rest string) (err error) {
	outcome, rest, _ := strings.Cut(rest, " ")
	if outcome == "ok" {
		r.OK, r.Secret = true, rest
		return nil
	}
	code, name, _ := strings.Cut(rest, " ")
	r.Name = name
	r.Code, err = strconv.Atoi(code)
	return err
}

// logMark begins a line of the log that says where a report was made, between what the steps print.
const logMark = "@bakery-at "

// ReadMark reads the place of a report in the log. What it returns is only for showing lines in order: everything that
// a step prints can look like it.
func ReadMark(line string) (before string, r Report, ok bool) {
	before, rest, ok := strings.Cut(line, logMark)
	if !ok {
		return line, r, false
	}
	seq, rest, _ := strings.Cut(strings.TrimRight(rest, "\r"), " ")
	kind, rest, _ := strings.Cut(rest, " ")
	if r, ok = newReport(seq, kind, rest); !ok {
		return line, r, false
	}
	return before, r, true
}

// FormatMark returns the line of the log for a report, as the guest program writes it.
func FormatMark(seq int, words string) string { return fmt.Sprintf("%s%d %s", logMark, seq, words) }
