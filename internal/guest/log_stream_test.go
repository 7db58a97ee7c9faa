// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// logStream is log_stream.py running on this computer, with a file as its console.
type logStream struct {
	*testing.T
	dir      string
	consoles []string
	cmd      *exec.Cmd
}

func startLogStream(t *testing.T, url string, args ...string) *logStream {
	t.Helper()
	g := &logStream{T: t, dir: t.TempDir()}
	g.consoles = []string{g.path("console")}
	g.write("console", "")
	g.start(url, args...)
	return g
}

func (g *logStream) start(url string, args ...string) {
	g.Helper()
	program, err := filepath.Abs("program/log_stream.py")
	if err != nil {
		g.Fatal(err)
	}
	g.cmd = exec.Command("python3", append([]string{program}, args...)...)
	g.cmd.Env = []string{
		"BAKERY_ID=" + testID,
		"BAKERY_KEY=" + hex.EncodeToString(testKey[:]),
		"BAKERY_LOG_URL=" + url,
		"PYTHONDONTWRITEBYTECODE=1",
		"BAKERY_CONSOLES=" + strings.Join(g.consoles, " "),
		"BAKERY_DIR=" + g.dir,
		"BAKERY_RUN=" + g.dir,
		"BAKERY_OUTPUT=" + g.path("output"),
	}
	g.cmd.Stderr = os.Stderr
	if err := g.cmd.Start(); err != nil {
		g.Fatalf("starting python3 (Debian package python3): %v", err)
	}
	g.Cleanup(func() { _ = g.cmd.Process.Kill() })
}

func (g *logStream) path(name string) string { return filepath.Join(g.dir, name) }

// write appends to a file.
func (g *logStream) write(name, text string) {
	g.Helper()
	f, err := os.OpenFile(g.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		g.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		g.Fatal(err)
	}
	_ = f.Close()
}

// slow is longer than anything here takes, even on a busy computer. On a machine, the program is killed after a second.
const slow = 20 * time.Second

func (g *logStream) stop() time.Duration {
	g.Helper()
	began := time.Now()
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	g.end()
	return time.Since(began)
}

// end waits until the program has ended.
func (g *logStream) end() {
	g.Helper()
	if err := g.cmd.Wait(); err != nil {
		g.Error(err)
	}
}

// read returns the lines on the console.
func (g *logStream) read() []Lines {
	g.Helper()
	console, err := os.ReadFile(g.path("console"))
	if err != nil {
		g.Fatal(err)
	}
	return NewUnsealer(testID, testKey).Read(console)
}

// waitFor waits until ok returns true, and fails with what after three minutes.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// text returns all the lines of a source in order, each once, "?" for one that is missing.
func text(all []Lines, from Source) []string {
	byNumber := map[int]string{}
	last := 0
	for _, l := range all {
		for i, s := range l.Text {
			if l.Source == from {
				byNumber[l.First+i] = s
				last = max(last, l.First+i)
			}
		}
	}
	var lines []string
	for n := range last {
		s, ok := byNumber[n+1]
		if !ok {
			s = "?"
		}
		lines = append(lines, s)
	}
	return lines
}

func TestLogStreamPrintsOnTheConsole(t *testing.T) {
	g := startLogStream(t, "", "console")
	g.write("output", "early\n")
	waitFor(
		t,
		"the output of cloud-init is not sent",
		func() bool { return slices.Equal(text(g.read(), FromCloudInit), []string{"early"}) },
	)
	g.write("log", "one\nhalf a ")
	g.write("output", "late\n")
	g.write("pid", "1\n")
	waitFor(
		t,
		"the first line of the steps is not sent",
		func() bool { return slices.Equal(text(g.read(), FromSteps), []string{"one"}) },
	)
	g.write("log", "line\n"+strings.Repeat("x", 3000)+"\nlast\n")
	if d := g.stop(); d > slow {
		t.Errorf("it took %s to end", d)
	}
	want := []string{"one", "half a line", "\x1e3000", "last"}
	if got := text(g.read(), FromSteps); !slices.Equal(got, want) {
		t.Errorf("the steps printed %q", got)
	}
	if got := text(g.read(), FromCloudInit); !slices.Equal(got, []string{"early", "late"}) {
		t.Errorf("cloud-init printed %q", got)
	}
	console, _ := os.ReadFile(g.path("console"))
	for _, plain := range []string{"early", "half", "last"} {
		if strings.Contains(string(console), plain) {
			t.Errorf("%q is on the console unencrypted", plain)
		}
	}
	// As after a reboot: it starts again, with the same line numbers.
	g.start("", "console")
	g.write("log", "after\n")
	waitFor(
		t,
		"nothing is sent after a new start",
		func() bool { return slices.Equal(text(g.read(), FromSteps), append(want, "after")) },
	)
	g.stop()
}

func TestLogStreamLimitsItsRateOnTheConsole(t *testing.T) {
	g := startLogStream(t, "", "console")
	g.write("pid", "1\n")
	const lines = 100_000
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "%d %x\n", i+1, uint64(i)*0x9e3779b97f4a7c15)
	}
	g.write("log", b.String())
	waitFor(t, "the last line is not sent", func() bool { return len(text(g.read(), FromSteps)) == lines })
	began := time.Now()
	for range 10 {
		g.write("log", b.String())
		time.Sleep(300 * time.Millisecond)
	}
	g.stop()
	console, _ := os.ReadFile(g.path("console"))
	if most := 25_000 + 9000*int(time.Since(began).Seconds()+1); len(console) > most {
		t.Errorf("%d bytes on the console, want at most %d", len(console), most)
	}
	for _, l := range g.read() {
		if l.Source == FromSteps && l.Since < l.First && l.First <= lines &&
			!strings.HasPrefix(l.Text[0], fmt.Sprintf("%d ", l.First)) {
			t.Errorf("line %d is %q", l.First, l.Text[0])
		}
	}
}

func TestLogStreamSendsTheLastLinesOfAFile(t *testing.T) {
	g := &logStream{T: t, dir: t.TempDir()}
	g.consoles = []string{g.path("console")}
	g.write("console", "")
	g.write("log", "before\n"+strings.Repeat("@bakery 1 2\n\n", 10)+strings.Repeat("x\n", 100)+"the end")
	g.start("", "tail", g.path("log"), "7")
	if err := g.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	got := g.read()
	want := append(slices.Repeat([]string{"x"}, 39), "the end")
	if len(got) != 1 || got[0].Source != FromEnd || !slices.Equal(got[0].Text, want) {
		t.Errorf("the tail is %+v", got)
	}
}

func TestLogStreamSendsNoPartOfALine(t *testing.T) {
	g := &logStream{T: t, dir: t.TempDir()}
	g.consoles = []string{g.path("console")}
	g.write("console", "")
	const read = 65536 // bytes of the end of a file
	rest := "ret\n" + strings.Repeat("0", read-12) + "\nthe end"
	g.write("log", "a sec"+rest) // the end begins within the secret
	g.start("", "tail", g.path("log"), "0")
	if err := g.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := g.read(); len(got) != 1 ||
		!slices.Equal(got[0].Text, []string{fmt.Sprintf("\x1e%d", read-12), "the end"}) {
		t.Errorf("the tail is %+v", got)
	}
}

// bucket is an HTTP server that accepts uploads, or refuses them when it is broken.
type bucket struct {
	mu     sync.Mutex
	body   []byte
	broken bool
	calls  int
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if b.broken || r.Method != http.MethodPut || r.Header.Get("Content-Type") != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	b.body = body
}

func (b *bucket) read(t *testing.T) []Lines {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	r, err := gzip.NewReader(strings.NewReader(string(b.body)))
	if err != nil {
		return nil
	}
	all, _, err := ReadLog(t.Context(), r, testReader)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLogStreamUploadsToS3(t *testing.T) {
	b := &bucket{}
	server := httptest.NewServer(b)
	defer server.Close()
	g := startLogStream(t, server.URL, "s3")
	g.write("output", "early\n")
	waitFor(
		t,
		"cloud-init's line is not there",
		func() bool { return slices.Equal(text(b.read(t), FromCloudInit), []string{"early"}) },
	)
	g.write("pid", "1\n")
	g.write("log", "one\n")
	waitFor(
		t,
		"the first line is not there",
		func() bool { return slices.Equal(text(b.read(t), FromSteps), []string{"one"}) },
	)
	g.write("log", strings.Repeat("0123456789\n", 50_000)+"last\n")
	waitFor(t, "the last line is not there", func() bool {
		lines := text(b.read(t), FromSteps)
		return len(lines) == 50_002 && lines[50_001] == "last" && lines[50_000] == "0123456789"
	})
	if lines := text(b.read(t), FromCloudInit); !slices.Equal(lines, []string{"early"}) {
		t.Errorf("cloud-init printed %q", lines)
	}
	b.mu.Lock()
	calls := b.calls
	b.mu.Unlock()
	if calls > 20 {
		t.Errorf("%d uploads of three changes", calls)
	}
	if d := g.stop(); d > slow {
		t.Errorf("it took %s to end", d)
	}
}

func TestLogStreamFallsBackToTheConsole(t *testing.T) {
	b := &bucket{broken: true}
	server := httptest.NewServer(b)
	defer server.Close()
	g := startLogStream(t, server.URL, "s3")
	g.write("pid", "1\n")
	g.write("output", "early\n")
	g.write("log", "one\n")
	waitFor(
		t,
		"nothing is on the console",
		func() bool { return slices.Equal(text(g.read(), FromSteps), []string{"one"}) },
	)
	g.stop()
	if got := text(g.read(), FromCloudInit); !slices.Equal(got, []string{"early"}) {
		t.Errorf("cloud-init printed %q", got)
	}
}
