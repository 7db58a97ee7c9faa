// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machinelog

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// machine writes what a machine with all keys can write: a program on it, or whoever has the user data.
var machine = guest.Writer{
	Reader: guest.Reader{BakeID: "0123456789abcdef", Key: guest.Key{1}}, Secret: strings.Repeat("5", 32),
}

// quietUI shows nothing to nobody. The SDK's own would write to the log of the test.
type quietUI struct {
	packersdk.Ui

	say, warn func(string)
}

func (u quietUI) Say(text string) {
	if u.say != nil {
		u.say(text)
	}
}

func (u quietUI) Error(text string) {
	if u.warn != nil {
		u.warn(text)
	}
}

// newLog returns a log whose lines are shown to nobody.
func newLog(t testing.TB) *Log {
	t.Helper()
	b := &bake.Bake{ID: machine.BakeID, UI: quietUI{}}
	record := NewRecord(b, false)
	t.Cleanup(record.Close)
	return New(b, machine.Reader, machine.Key, record, nil)
}

const consoleSize = 64 << 10 // what EC2 keeps

// repeat returns a text of so many bytes.
func repeat(text string, size int) string { return strings.Repeat(text, size/len(text)+1)[:size] }

// consoles are hostile texts of a console, of so many bytes. Poll makes those of each poll different.
var consoles = map[string]func(size, poll int) string{
	"marks of reports":       func(size, _ int) string { return repeat("@bakery ", size) },
	"beginnings of reports":  func(size, _ int) string { return repeat(machine.Report(1, "warn w")[2:60], size) },
	"reports within reports": func(size, _ int) string { return repeat(fmt.Sprintf("@bakery %032x 270 ", 1), size) },
	"reports": func(size, poll int) string {
		var b strings.Builder
		for n := 0; b.Len() < size; n++ {
			b.WriteString(machine.Report(poll*10_000+n, "warn "+strings.Repeat("w", 150)))
		}
		return b.String()[:size]
	},
	"verdicts": func(size, _ int) string { return repeat(machine.Report(2, "verdict ok "+machine.Secret), size) },
	"beginnings of lines": func(size, _ int) string {
		return repeat("@bakery-log 1 0123456789abcdef 0000000000000000 0 999 A", size)
	},
	"chunks that never end": func(size, poll int) string {
		var b strings.Builder
		for n := 0; b.Len() < size; n++ {
			body := fmt.Sprintf("%s %016x %d 256 %s", machine.BakeID, poll*10_000+n/4, n%4, strings.Repeat("A", 240))
			fmt.Fprintf(&b, "@bakery-log %d %s.", crc32.ChecksumIEEE([]byte(body)), body)
		}
		return b.String()[:size]
	},
	"chunks that unpack": func(size, poll int) string { // each is behind a gap
		var b strings.Builder
		for n := 0; b.Len() < size; n++ {
			first := 1 + (poll*10_000+n)*1_000_000
			b.WriteString(strings.Join(guest.FormatLines(machine.BakeID, machine.Key, guest.Lines{
				Source: guest.FromSteps, Since: first, First: first, Text: []string{strings.Repeat("\n", 30_000)},
			}), ""))
		}
		return b.String()[:size]
	},
	"one escape":             func(size, _ int) string { return "\x1b]" + repeat("x", size) },
	"escapes":                func(size, _ int) string { return repeat("\x1b[0;", size) },
	"bytes that are no text": func(size, _ int) string { return repeat("\x00\xff\x1b", size) },
	"presigned URLs":         func(size, _ int) string { return repeat("X-Amz-Signature=", size) },
	"short lines":            func(size, _ int) string { return repeat("a\n", size) },
}

// The time for a console grows with its size, whatever it says: compare the figures of the sizes.
func BenchmarkConsole(b *testing.B) {
	for name, console := range consoles {
		for _, size := range []int{consoleSize / 4, consoleSize / 2, consoleSize} {
			text := []byte(console(size, 1))
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					l := newLog(b)
					l.Show(b.Context(), l.ReadConsole(text), true)
					_ = l.LastOutput()
				}
			})
		}
	}
}

// peak returns how much memory was in use at most while a function ran, in bytes, beyond what was before.
func peak(f func()) uint64 {
	inUse := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	runtime.GC()
	before := inUse()
	var most atomic.Uint64
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			most.Store(max(most.Load(), inUse()))
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	f()
	close(done)
	<-stopped
	return most.Load() - min(most.Load(), before)
}

const memoryLimit = 100 << 20

// readConsoles reads so many bytes of consoles in polls, as a bake does.
func readConsoles(t *testing.T, name string, total int) {
	t.Helper()
	l := newLog(t)
	// So many different polls fill every memory; making each anew would take longer than reading it.
	texts := make([][]byte, 220)
	if name != "reports" {
		texts = texts[:8]
	}
	for poll := range texts {
		texts[poll] = []byte(consoles[name](consoleSize, poll))
	}
	got := peak(func() {
		for poll := range total / consoleSize {
			l.Show(t.Context(), l.ReadConsole(texts[poll%len(texts)]), false)
			_, _ = l.Judge()
		}
		_ = l.LastOutput()
	})
	if got > memoryLimit {
		t.Errorf("%d MiB of memory for %d MiB of %s", got>>20, total>>20, name)
	}
}

func TestConsolesTakeBoundedMemory(t *testing.T) {
	for name, total := range map[string]int{
		"reports": 14 << 20, "chunks that unpack": 1 << 20, "chunks that never end": 4 << 20, "short lines": 4 << 20,
	} {
		t.Run(name, func(t *testing.T) { readConsoles(t, name, total) })
	}
}

// logOf returns a compressed log of so many bytes, that is made while it is read.
func logOf(begin, line string, size int) io.Reader {
	r, w := io.Pipe()
	go func() {
		zip, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		block := []byte(repeat(line, len(line)*(1+(1<<16)/len(line))))
		_, err := io.WriteString(zip, begin)
		for n := 0; n < size && err == nil; n += len(block) {
			_, err = zip.Write(block)
		}
		_ = w.CloseWithError(errors.Join(err, zip.Close()))
	}()
	return r
}

// logs are hostile logs: what they begin with, and what then is repeated.
func logs() map[string][2]string {
	header := "@bakery-lines " + machine.BakeID + " 1 1 1\n"
	return map[string][2]string{
		"lines of one byte":   {header, "a\n"},
		"empty lines":         {header, "\n"},
		"one line":            {header, "a"},
		"headers":             {header, header},
		"marks of lines":      {header, "@bakery-lines "},
		"marks of reports":    {header, "@bakery-at 1 clean\n"},
		"reports":             {"@bakery-reports " + machine.BakeID + " 999999\n", machine.Report(1, "clean")[2:]},
		"reports of megabyte": {"@bakery-reports " + machine.BakeID + " 999999\n", repeat("@bakery ", 1<<20) + "\n"},
	}
}

// readLog reads a log as a bake does at its end, and as log_file is written.
func readLog(t *testing.T, ctx context.Context, name string, size int) (err error) {
	t.Helper()
	l := newLog(t)
	got := peak(func() {
		in := logs()[name]
		unzipped, unzipErr := unzip(logOf(in[0], in[1], size), logLimit)
		if unzipErr != nil {
			t.Fatal(unzipErr)
		}
		var lines []guest.Lines
		var reports []guest.Report
		lines, reports, err = guest.ReadLog(ctx, unzipped, machine.Reader)
		l.add(lines)
		l.Show(ctx, l.addReports(reports), true)
		if unzipped, unzipErr = unzip(logOf(in[0], in[1], size), logLimit); unzipErr != nil {
			t.Fatal(unzipErr)
		}
		if _, err := copyStaged(ctx, io.Discard, unzipped, machine.Reader); err != nil {
			t.Error(err)
		}
	})
	if got > memoryLimit {
		t.Errorf("%d MiB of memory for %d MiB of %s", got>>20, size>>20, name)
	}
	return err
}

func TestLogsTakeBoundedMemory(t *testing.T) {
	for name := range logs() {
		t.Run(name, func(t *testing.T) {
			if err := readLog(t, t.Context(), name, 2<<20); err != nil {
				t.Error(err)
			}
		})
	}
}

func BenchmarkLog(b *testing.B) {
	for name, in := range logs() {
		for _, size := range []int{1 << 20, 1 << 21, 1 << 22} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					unzipped, err := unzip(logOf(in[0], in[1], size), logLimit)
					if err != nil {
						b.Fatal(err)
					}
					if _, _, err := guest.ReadLog(b.Context(), unzipped, machine.Reader); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// endlessReader never ends, and needs no call that a context would end.
type endlessReader struct{ read *int }

func (e endlessReader) Read(p []byte) (int, error) {
	*e.read += len(p)
	for i := range p {
		p[i] = "a\n"[i%2]
	}
	return len(p), nil
}

// cancelAfter cancels once so much was read.
type cancelAfter struct {
	io.Reader

	left   int
	cancel func()
}

func (c *cancelAfter) Read(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		c.cancel()
	}
	return c.Reader.Read(p)
}

// What is read after the end of the context is one buffer at most, however long it would go on.
func TestReadingEndsWithItsContext(t *testing.T) {
	for name, read := range map[string]func(context.Context, io.Reader) error{
		"ReadLog": func(ctx context.Context, in io.Reader) error {
			_, _, err := guest.ReadLog(ctx, in, machine.Reader)
			return err
		},
		"copyStaged": func(ctx context.Context, in io.Reader) error {
			whole, err := copyStaged(ctx, io.Discard, in, machine.Reader)
			if whole || err != nil {
				return fmt.Errorf("whole: %t, %w", whole, err)
			}
			return context.Canceled
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		read1 := 0
		err := read(ctx, &cancelAfter{endlessReader{&read1}, 4 << 20, cancel})
		if !errors.Is(err, context.Canceled) || read1 > 8<<20 {
			t.Errorf("%s read %d bytes: %v", name, read1, err)
		}
	}
}

// Each line that is shown is a call of Packer's, which may be slow.
func TestShowingEndsWithItsContext(t *testing.T) {
	said := 0
	ctx, cancel := context.WithCancel(t.Context())
	l := newLog(t)
	l.bake.UI = quietUI{say: func(string) {
		if said++; said == 10 {
			cancel()
		}
	}}
	l.add([]guest.Lines{{Source: guest.FromSteps, Since: 1, First: 1, Text: make([]string, 100_000)}})
	var fresh []guest.Report
	for n := range 10_000 {
		fresh = append(fresh, guest.Report{Seq: n, Kind: guest.Warn, Text: "x"})
	}
	l.Show(ctx, l.addReports(fresh), true)
	if said > 2*maxLate {
		t.Errorf("%d lines were shown after the bake was cancelled", said)
	}
}

// A record takes disk only up to a limit, and says so once.
func TestRecordIsBounded(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var warned strings.Builder
	r := NewRecord(&bake.Bake{UI: quietUI{warn: func(text string) { warned.WriteString(text) }}}, false)
	defer r.Close()
	r.Add("a line")
	r.size = recordLimit - 1000
	for range 1000 {
		r.Add("a line of twenty by")
	}
	if info, err := r.file.Stat(); err != nil || info.Size() > 2000 {
		t.Errorf("the record has %d bytes: %v", info.Size(), err)
	}
	if n := strings.Count(warned.String(), "it is over 256 MiB"); n != 1 {
		t.Errorf("the user was told %d times: %q", n, warned.String())
	}
}

// A log that does not end is saved as far as it is there at once, when the user has interrupted the bake.
func TestSavingIsShortAfterAnInterrupt(t *testing.T) {
	l := newLog(t)
	l.record.Add("a line")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "log")
	l.record.Save(ctx, path, l, "i-0123")
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), "a line") {
		t.Errorf("the log is %q, %v", text, err)
	}
}

var full = flag.Bool("full", false, "TestFloods: all of it, which takes most of an hour")

// TestFloods is what make test leaves to make test-floods: ten gibibytes of consoles, and logs of a gibibyte; without
// -full a fiftieth of it.
func TestFloods(t *testing.T) {
	part := 50
	if *full {
		part = 1
	}
	few := map[string]int{ // of what takes a tenth of a second for each console, for the lines in it
		"chunks that unpack": 64 << 20, "escapes": 256 << 20, "one escape": 256 << 20,
		"bytes that are no text": 256 << 20,
	}
	for name := range consoles {
		t.Run(name, func(t *testing.T) {
			readConsoles(t, name, cmp.Or(few[name], 10<<30/(len(consoles)-len(few)))/part)
		})
	}
	for name := range logs() {
		t.Run(name, func(t *testing.T) {
			if err := readLog(t, t.Context(), name, (1<<30-1<<20)/part); err != nil {
				t.Error(err)
			}
		})
	}
}
