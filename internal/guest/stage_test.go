// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fetchProgram returns the only part of user data that fetches the real one.
func fetchProgram(t *testing.T, l Launch, f Fetched) string {
	t.Helper()
	userData, err := Fetch(l, f)
	if err != nil {
		t.Fatal(err)
	}
	document, err := Decompress(userData)
	if err != nil {
		t.Fatal(err)
	}
	parts := read(t, document)
	if len(parts) != 1 || parts[0][0] != typeBoothook || !strings.HasPrefix(parts[0][2], boothookHead) {
		t.Fatalf("the parts are %v", parts)
	}
	return parts[0][2]
}

func TestFetchRefusesValuesThatCouldInjectCode(t *testing.T) {
	for name, change := range map[string]func(*Launch, *Fetched){
		"a URL of two lines":    func(_ *Launch, f *Fetched) { f.URL += "\n#include\nhttp://evil" },
		"a URL with a quote":    func(_ *Launch, f *Fetched) { f.URL += "\"" },
		"no URL":                func(_ *Launch, f *Fetched) { f.URL = "" },
		"a checksum with shell": func(_ *Launch, f *Fetched) { f.SHA256 = "'; reboot; '" },
		"no limit":              func(_ *Launch, f *Fetched) { f.Limit = 0 },
		"an id with shell":      func(l *Launch, _ *Fetched) { l.BakeID = "$(reboot)" },
		"a header of two lines": func(l *Launch, _ *Fetched) {
			l.CommitHeaders = []string{"a: b\nurl = x"}
		},
		"a URL to commit that is not escaped": func(l *Launch, _ *Fetched) { l.CommitURL = "http://x/ y" },
	} {
		l, f := testLaunch, Fetched{
			URL: "https://b.s3/k", SHA256: strings.Repeat("ab", 32), Limit: time.Minute,
		}
		change(&l, &f)
		if _, err := Fetch(l, f); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// fakeS3 answers as S3 does, with what a test says.
type fakeS3 struct {
	content     string // of the user data; "" is no such object
	putStatus   int
	firstStatus int    // of the first PUT, where it is another
	code        string // of errors
	puts        []string
	headers     []string
	fetchedFrom int // how many puts there were when the user data was fetched
}

func (s *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPut:
		body, _ := io.ReadAll(r.Body)
		s.puts, s.headers = append(s.puts, string(body)), append(s.headers, r.Header.Get("If-None-Match"))
		if len(s.puts) == 1 && s.firstStatus != 0 {
			w.WriteHeader(s.firstStatus)
			return
		}
		w.WriteHeader(s.putStatus)
		s.explain(w)
	case s.content == "":
		w.WriteHeader(http.StatusForbidden)
		s.explain(w)
	default:
		s.fetchedFrom = len(s.puts)
		_, _ = w.Write([]byte(s.content))
	}
}

func (s *fakeS3) explain(w io.Writer) {
	_, _ = io.WriteString(w, "<?xml version=\"1.0\"?>\n<Error><Code>"+s.code+"</Code><Message>x</Message></Error>")
}

// runFetch runs the program that fetches user data on this computer. It returns the console, and whether what was
// fetched ran, the machine powers off, or it waits for ever.
func runFetch(t *testing.T, s3 *fakeS3, staged string, stayOn bool) (console, end string) {
	t.Helper()
	server := httptest.NewServer(s3)
	defer server.Close()
	sum := sha256.Sum256(Compress([]byte(staged)))
	l := testLaunch
	l.CommitURL = server.URL + "/commitment"
	text := fetchProgram(t, l, Fetched{
		URL: server.URL + "/user-data", SHA256: hex.EncodeToString(sum[:]), StayOn: stayOn, Limit: 2 * time.Hour,
	})

	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	m := terminals{"ttyS0 tty0\n", nil, []string{"ttyS0"}}
	ends := m.write(t, dir)
	file("bin/systemctl", "#!/bin/sh\necho off >"+dir+"/end\n", 0o755)
	file("bin/sync", "#!/bin/sh\n", 0o755)
	file("bin/sleep", "#!/bin/sh\n[ $1 -lt 3600 ] || kill -9 $PPID\n", 0o755)
	file("fetch.sh", strings.NewReplacer(
		"/var/lib/cloud/instance/bakery", dir+"/bake", "/var/lib/bakery", dir+"/bake", "/run/bakery", dir+"/run",
		"=/dev/console", "="+dir+"/console", "=/sys/class/tty", "="+dir+"/sys",
	).Replace(text), 0o755)
	cmd := exec.CommandContext(t.Context(), "/bin/sh", filepath.Join(dir, "fetch.sh"))
	cmd.Env = []string{"PATH=" + filepath.Join(dir, "bin") + ":/usr/bin:/bin", "dir=" + dir}
	_ = cmd.Run()
	console = ends["console"].take(t)
	if serial := ends["ttyS0"].take(t); serial != console {
		t.Errorf("the serial console shows %q, and /dev/console %q", serial, console)
	}
	exists := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	switch {
	case exists("ran"):
		end = "runs it"
	case exists("end"):
		end = "powers off"
	default:
		end = "waits"
	}
	return console, end
}

func TestMachineRunsWhatPackerHasStagedOrNothing(t *testing.T) {
	const staged = "#!/bin/sh\ntouch $dir/ran\n"
	good := string(Compress([]byte(staged)))
	for name, c := range map[string]struct {
		s3     fakeS3
		stayOn bool
		end    string
		reason string
	}{
		"what was staged": {fakeS3{content: good, putStatus: 200}, false, "runs it", ""},
		"a commitment whose answer was lost": {
			fakeS3{content: good, firstStatus: 500, putStatus: 412}, false, "runs it", "",
		},
		"a commitment that was there": {fakeS3{content: good, putStatus: 412}, false, "powers off",
			"somebody else has put a commitment into S3"},
		"something else": {fakeS3{content: string(Compress([]byte(staged + "\n"))), putStatus: 200}, false,
			"powers off", "is not what Packer has staged: its sha256 is "},
		"what was staged, with more behind it": {fakeS3{content: good + "x", putStatus: 200}, false, "powers off",
			"is not what Packer has staged"},
		"an include of what was staged": {fakeS3{content: "#include\nhttp://x\n", putStatus: 200}, false, "powers off",
			"is not what Packer has staged"},
		"nothing": {fakeS3{putStatus: 200, code: "AccessDenied"}, false, "powers off",
			"S3 gave this machine no good answer: HTTP status 403 (AccessDenied). Does a policy of the bucket"},
		"a commitment that S3 refuses": {fakeS3{content: good, putStatus: 403, code: "RequestTimeTooSkewed"}, false,
			"powers off", "HTTP status 403 (RequestTimeTooSkewed). Is its clock right? It says 2"},
		"something else, with StayOn": {fakeS3{content: "evil", putStatus: 200}, true, "waits",
			"is not what Packer has staged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			console, end := runFetch(t, &c.s3, staged, c.stayOn)
			if end != c.end {
				t.Errorf("the machine %s, want %s:\n%s", end, c.end, console)
			}
			outcome, judged := Judge(testReader.Reports([]byte(console)))
			if judged != (c.reason != "") || outcome.OK || !strings.Contains(outcome.Reason, c.reason) {
				t.Errorf("the outcome is %+v, %v, want the reason %q:\n%s", outcome, judged, c.reason, console)
			}
			if c.s3.putStatus != 403 && c.s3.firstStatus == 0 && len(c.s3.puts) != 1 || c.s3.headers[0] != "*" {
				t.Errorf("the commitment is put %q times, with If-None-Match %q", c.s3.puts, c.s3.headers)
			}
			if end == "runs it" && c.s3.fetchedFrom == 0 {
				t.Error("the user data is fetched before the commitment is there")
			}
			committed := testReader.Reports([]byte(c.s3.puts[0]))
			if len(committed) != 1 || committed[0].Kind != Commit ||
				committed[0].Commitment != testReader.Reports([]byte(console))[0].Commitment {
				t.Errorf("the commitment is %q, and the console says:\n%s", c.s3.puts[0], console)
			}
		})
	}
}

// TestMachineThatFetchesEndsByItself checks that a machine ends whatever it fetches: Packer may be gone.
func TestMachineThatFetchesEndsByItself(t *testing.T) {
	const staged = "#!/bin/sh\ntouch ran\n"
	good := string(Compress([]byte(staged)))
	for name, c := range map[string]struct {
		answer string // "" never comes
		stayOn bool
		offs   int // how often the machine powers off
		ran    bool
	}{
		"an answer that never comes":                {"", false, 1, false},
		"an answer that never comes, with StayOn":   {"", true, 1, false},
		"something else, with StayOn":               {"evil", true, 1, false},
		"what was staged, which hangs, with StayOn": {good, true, 1, true},
		"what was staged, which has its own limit":  {good, false, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet && c.answer == "" {
					<-r.Context().Done()
				}
				_, _ = io.WriteString(w, c.answer)
			}))
			defer server.Close()
			sum := sha256.Sum256([]byte(good))
			l := testLaunch
			l.CommitURL = server.URL + "/commitment"
			until := "off"
			if c.offs == 0 {
				until = "ran"
			}
			limit := 3 * time.Second
			run := func() (console string, offs int, ran bool, took time.Duration) {
				return runUntil(t, fetchProgram(t, l, Fetched{
					URL: server.URL + "/user-data", SHA256: hex.EncodeToString(sum[:]), StayOn: c.stayOn, Limit: limit,
				}), until, limit)
			}
			console, offs, ran, took := run()
			for ; c.ran && !ran && limit < time.Minute; console, offs, ran, took = run() {
				limit *= 4 // a busy computer has fetched nothing within the limit
			}
			if offs != c.offs || ran != c.ran || offs > 0 && took < limit {
				t.Errorf("after %s: powered off %d times, what was staged ran: %v", took, offs, ran)
			}
			outcome, judged := Judge(testReader.Reports([]byte(console)))
			if judged != (offs > 0) || outcome.OK {
				t.Errorf("the outcome is %+v, %v:\n%s", outcome, judged, console)
			}
		})
	}
}

// cloud-init waits until nobody has the pipes of a boothook any more.
func TestWhatEndsTheMachineKeepsNoPipe(t *testing.T) {
	for _, shell := range []string{"dash", "bash"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			const staged = "#!/bin/sh\necho ran\n"
			server := httptest.NewServer(&fakeS3{content: string(Compress([]byte(staged))), putStatus: http.StatusOK})
			defer server.Close()
			sum := sha256.Sum256(Compress([]byte(staged)))
			l := testLaunch
			l.CommitURL = server.URL + "/commitment"
			text := fetchProgram(t, l, Fetched{
				URL: server.URL + "/user-data", SHA256: hex.EncodeToString(sum[:]), StayOn: true, Limit: time.Hour,
			})
			dir := t.TempDir()
			file := filepath.Join(dir, "fetch.sh")
			text = strings.NewReplacer("/var/lib/cloud/instance/bakery", dir+"/bake", "/var/lib/bakery", dir+"/bake",
				"/run/bakery", dir+"/run", "=/dev/console", "="+dir+"/console").Replace(text)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, shell, file)
			cmd.Env = []string{"PATH=/usr/bin:/bin"}
			cmd.WaitDelay = time.Minute // for who has the pipe after the end; what ends the machine sleeps for an hour
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			end := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
			cmd.Cancel = end
			out, err := cmd.CombinedOutput() // as cloud-init reads it
			if err != nil || !strings.Contains(string(out), "ran\n") {
				t.Errorf("%v\n%s", err, out)
			}
			if err := end(); err != nil {
				t.Errorf("nothing is there that ends the machine: %v", err)
			}
		})
	}
}

// runUntil runs a program that fetches user data until the machine has powered off ("off"), or what it fetched has run
// ("ran"), which takes longer than any limit, and then for the limit and a bit more. It returns how long that took.
func runUntil(t *testing.T, text, until string, limit time.Duration) (
	console string, offs int, ran bool, took time.Duration,
) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"console": "", "systemctl": "#!/bin/sh\necho off >>" + dir + "/off\n", "sync": "#!/bin/sh\n",
		"fetch.sh": strings.NewReplacer(
			"/var/lib/cloud/instance/bakery", dir+"/bake", "/var/lib/bakery", dir+"/bake", "/run/bakery", dir+"/run",
			"=/dev/console", "="+dir+"/console", `>"$bakery_console"`, `>>"$bakery_console"`,
			`exec /bin/sh "$bakery_dir/user-data.sh"`, "cd "+dir+"; . \"$bakery_dir/user-data.sh\"; exec sleep 600",
		).Replace(text),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", filepath.Join(dir, "fetch.sh"))
	cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exists := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	waitFor(t, "the machine has not come so far: "+until, func() bool { return exists("off") || exists(until) })
	took = time.Since(began)
	time.Sleep(limit + 2*time.Second)
	_ = cmd.Cancel()
	_ = cmd.Wait()
	printed, err := os.ReadFile(filepath.Join(dir, "console"))
	if err != nil {
		t.Fatal(err)
	}
	off, _ := os.ReadFile(filepath.Join(dir, "off"))
	return string(printed), strings.Count(string(off), "off"), exists("ran"), took
}

func TestStageMakesOneScriptOfADocument(t *testing.T) {
	document, err := Document(Program{
		CloudConfig: []byte("#cloud-config\npackages: [a]\n"),
		Before:      []Step{{Name: "x", Script: []byte("#!/bin/sh\n")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	staged, err := Stage(document, Delivery{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	script, err := Decompress(staged)
	if err != nil {
		t.Fatal(err)
	}
	text := withoutPrograms(string(script))
	golden(t, "staged.sh", []byte(text))
	for _, key := range []string{"BAKERY_REPORT_KEY='", "BAKERY_ID='"} {
		if strings.Contains(text, key) {
			t.Errorf("what is staged has %s: who reads the bucket could write reports", key)
		}
	}
	for _, sh := range [][]string{{"dash", "-n"}, {"bash", "--posix", "-n"}} {
		cmd := exec.CommandContext(t.Context(), sh[0], sh[1:]...)
		cmd.Stdin = strings.NewReader(string(script))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", sh[0], err, out)
		}
	}
}
