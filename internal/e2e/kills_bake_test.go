// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// variant is a bake to kill.
type variant struct {
	name     string
	settings map[string]any
	actions  []string // calls during which it can be killed
	regions  []string // beside us-east-1
	replaces bool     // an image that is there
}

// commonActions are calls that every bake makes.
var commonActions = []string{
	"GetCallerIdentity", "DescribeTags", "CreateSecurityGroup", "PutObject", "RunInstances", "CreateTags",
	"DescribeInstances",
	"GetConsoleOutput",
	"CreateImage", "DescribeImages", "DeleteTags", "TerminateInstances", "DeleteSecurityGroup", "DeleteObject",
}

var variants = []variant{
	{name: "plain", settings: killSettings(nil), actions: commonActions},
	{
		name: "copied", regions: []string{"eu-west-1"},
		actions: append(slices.Clone(commonActions), "CopyImage", "ModifyImageAttribute"),
		settings: killSettings(map[string]any{"ami_regions": []string{"eu-west-1"},
			"ami_users": []string{"111111111111"}}),
	},
	{
		name: "encrypted", actions: append(slices.Clone(commonActions), "CopyImage", "DeregisterImage",
			"DeleteSnapshot"),
		settings: killSettings(map[string]any{"encrypt_boot": true}),
	},
	{
		name: "replacing", replaces: true, actions: append(slices.Clone(commonActions), "CopyImage", "DeregisterImage"),
		settings: killSettings(map[string]any{"force_deregister": true}),
	},
	{
		name: "spot", actions: append(slices.Clone(commonActions), "DescribeSpotInstanceRequests",
			"CancelSpotInstanceRequests"),
		settings: killSettings(map[string]any{"spot_price": "auto"}),
	},
	{
		name: "profile", actions: append(slices.Clone(commonActions), "CreateRole", "PutRolePolicy",
			"CreateInstanceProfile", "AddRoleToInstanceProfile", "DeleteRole"),
		settings: killSettings(map[string]any{"temporary_iam_instance_profile_policy_document": map[string]any{
			"Version": "2012-10-17", "Statement": []any{map[string]any{"Effect": "Allow",
				"Action": []string{"s3:GetObject"}, "Resource": []string{"*"}}},
		}}),
	},
}

func killSettings(more map[string]any) map[string]any {
	all := map[string]any{"ami_name": "killed", "profile": nil, "max_retries": nil}
	for _, settings := range []map[string]any{reportVerdict, more} {
		maps.Copy(all, settings)
	}
	return all
}

// before makes the image that the bake replaces, and returns the ids of all there is.
func (q *quickLab) before(t *testing.T, v variant) []string {
	t.Helper()
	if !v.replaces {
		return nil
	}
	if _, printed, err := q.bake(t, map[string]any{"ami_name": "killed", "sweep": false}); err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	var ids []string
	for _, r := range q.State() {
		if !r.Gone() {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// packer is a running packer build, in a process group of its own as in a terminal.
type packer struct {
	cmd  *exec.Cmd
	out  string // a file: a closed pipe would end processes that outlive packer
	tmp  string // its TMPDIR
	gone chan struct{}
}

func (q *quickLab) startPacker(t *testing.T, settings map[string]any) *packer {
	t.Helper()
	return q.startPackerIn(t, t.TempDir(), settings)
}

// startPackerIn starts packer with a TMPDIR.
func (q *quickLab) startPackerIn(t *testing.T, tmp string, settings map[string]any) *packer {
	t.Helper()
	dir := t.TempDir()
	template := map[string]any{
		"source": map[string]any{"bakery-userdata": map[string]any{"it": settings}},
		"build":  map[string]any{"sources": []string{"source.bakery-userdata.it"}},
	}
	text, err := json.Marshal(template)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "killed.pkr.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	b := &packer{out: filepath.Join(dir, "out"), tmp: tmp, gone: make(chan struct{})}
	out, err := os.Create(b.out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	b.cmd = exec.Command(packertest.Built(t).Packer, "build", file)
	b.cmd.Env, b.cmd.Stdout, b.cmd.Stderr = append(q.client().environ(t), "TMPDIR="+tmp), out, out
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(b.gone)
		_ = b.cmd.Wait() // its exit status does not matter
	}()
	t.Cleanup(func() { _ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL) })
	return b
}

// temporaryFiles returns what the plugin has in TMPDIR. Packer has files of its own there.
func (b *packer) temporaryFiles() []string {
	found, _ := filepath.Glob(filepath.Join(b.tmp, "bakery-*")) // the pattern is right
	return found
}

func (b *packer) output() string {
	text, err := os.ReadFile(b.out)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text))
}

// await waits until the time of the kill. A bake that has ended by then is killed as well, which does nothing.
func (b *packer) await(t *testing.T, q *quickLab, s *killCase) {
	t.Helper()
	before := len(q.Calls())
	deadline := time.After(5 * time.Minute) // a verdict is waited for two minutes
	for {
		switch {
		case s.action != "" && q.faultsUsedUp(t):
			return
		case s.action == "" && len(q.Calls())-before >= s.calls:
			time.Sleep(s.delay)
			return
		}
		select {
		case <-b.gone:
			return
		case <-deadline:
			t.Errorf("packer has not come so far, and not ended")
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// faultsUsedUp reports whether all faults of the lab were applied.
func (q *quickLab) faultsUsedUp(t *testing.T) bool {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, q.URL+"/_lab/faults", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+q.Value("AWS_SECRET_ACCESS_KEY"))
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	var left []string
	if err := json.NewDecoder(r.Body).Decode(&left); err != nil {
		t.Fatal(err)
	}
	return len(left) == 0
}

// awaitEnd waits until all processes in the process group of the bake have ended.
func (b *packer) awaitEnd(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		alive := running(func(p process) bool { return p.group == b.cmd.Process.Pid })
		if len(alive) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes have not ended: %v\n%s", alive, b.output())
		}
	}
	<-b.gone
}

// process is one that runs.
type process struct{ pid, parent, group int }

// running lists processes, without zombies.
func running(wanted func(process) bool) []process {
	var all []process
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(text), ") ") // behind the name, which may hold anything
		var state string
		p := process{}
		if _, err := fmt.Sscan(rest, &state, &p.parent, &p.group); err != nil || state == "Z" || state == "X" {
			continue
		}
		p.pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if wanted(p) {
			all = append(all, p)
		}
	}
	return all
}

// clockAhead returns a URL of the lab whose clock is ahead: the header Date of its answers is, which is what the sweep
// goes by. Clients use that time for their signatures, so each request is signed again.
func (q *quickLab) clockAhead(t *testing.T, by time.Duration) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := q.resign(r); err != nil {
			t.Error(err)
		}
		q.ServeHTTP(dateOverride{w, time.Now().Add(by)}, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// resign signs a request with the current time.
func (q *quickLab) resign(r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	sum := sha256.Sum256(body)
	payload := hex.EncodeToString(sum[:])
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	parts := strings.Split(scope, "/") // key, day, region, service
	if len(parts) < 4 {
		return fmt.Errorf("a request is not signed: %s %s", r.Method, r.URL)
	}
	r.Header.Del("Authorization")
	if parts[3] == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", payload)
	}
	r.URL.Host = r.Host
	key := aws.Credentials{AccessKeyID: q.Value("AWS_ACCESS_KEY_ID"), SecretAccessKey: q.Value("AWS_SECRET_ACCESS_KEY")}
	return v4.NewSigner().SignHTTP(r.Context(), key, r, payload, parts[3], parts[2], time.Now(),
		func(o *v4.SignerOptions) { o.DisableURIPathEscaping = parts[3] == "s3" })
}

// dateOverride sets the header Date of an answer.
type dateOverride struct {
	http.ResponseWriter

	at time.Time
}

func (d dateOverride) WriteHeader(status int) {
	d.Header().Set("Date", d.at.UTC().Format(http.TimeFormat))
	d.ResponseWriter.WriteHeader(status)
}

func (d dateOverride) Write(text []byte) (int, error) {
	d.Header().Set("Date", d.at.UTC().Format(http.TimeFormat)) // no effect after WriteHeader
	return d.ResponseWriter.Write(text)
}

// awaitMachines waits until no machine runs.
func (q *quickLab) awaitMachines(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		runs := slices.IndexFunc(q.State(), func(r labserver.Resource) bool {
			return r.Kind == "instance" && (r.State == "pending" || r.State == "running" || r.State == "stopping" ||
				r.State == "shutting-down")
		})
		if runs < 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has not powered itself off", q.State()[runs])
		}
	}
}

// check checks that every image is one whose machine has reported success, and returns those of the killed bake.
func (q *quickLab) check(t *testing.T, s *killCase, old []string) []labserver.Resource {
	t.Helper()
	var mine []labserver.Resource
	there := false
	for _, r := range q.State() {
		if r.Kind != "image" {
			continue
		}
		there = true
		switch {
		case slices.Contains(old, r.ID):
			continue
		case r.State != "available":
			t.Errorf("%s is there", r)
		case s.fails():
			t.Errorf("%s is there, and its machine has not reported success", r)
		}
		mine = append(mine, r)
	}
	if s.bake.replaces && !there {
		t.Errorf("the old image is gone, and there is no new one")
	}
	return mine
}

// fails reports whether the machine does not report success.
func (s *killCase) fails() bool { return s.baker.Fail > 0 || s.baker.Hang > 0 || s.baker.NoVerdict }

// besidesImages lists what there is, without images, their snapshots and what was there before.
func (q *quickLab) besidesImages(old []string) []string {
	all := q.State()
	ofAnImage := func(r labserver.Resource) bool {
		return r.Kind == "snapshot" && slices.ContainsFunc(all, func(i labserver.Resource) bool {
			return i.Kind == "image" && strings.Contains(r.Name, i.ID)
		})
	}
	var left []string
	for _, r := range all {
		if !r.Gone() && r.Kind != "image" && !ofAnImage(r) && !slices.Contains(old, r.ID) {
			left = append(left, r.String())
		}
	}
	return left
}
