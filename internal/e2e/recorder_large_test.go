// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// largeSize is that of the largest upload of the test, in bytes.
const largeSize = 300 << 20

// TestLargeUploads: 300 MiB and 200 small files in one template. They are staged as one object, and the plugin's memory
// does not grow with them.
func TestLargeUploads(t *testing.T) {
	l := sharedLab(t)
	idle := watchMemory(t, func() {
		l.buildRefused(t, "idle", `provisioner "shell-local" {
    inline = ["sleep 1", "exit 1"]
  }`, nil)
	})
	var sources []string
	files := map[string]string{}
	for i := range 200 {
		name := fmt.Sprintf("small/%03d", i)
		files[name] = name
		sources = append(sources, strconv.Quote(name))
	}
	template := provisionerTemplate(t, `
  provisioner "file" {
    source      = "large"
    destination = "/tmp/large"
  }

  provisioner "file" {
    sources     = [`+strings.Join(sources, ", ")+`]
    destination = "/tmp/"
  }

  provisioner "shell" {
    inline = ["sudo sh -c 'sha256sum </tmp/large >/sum; cat /tmp/0* /tmp/1* | wc -c >>/sum; stat -c %U /tmp/large >>/sum'"]
  }
`, files)
	sum := randomFile(t, filepath.Join(filepath.Dir(template), "large"), largeSize)
	l.calls(t, http.MethodDelete)
	image := testName(t)
	var r packertest.Result
	peak := watchMemory(t, func() { r = l.build(t, template, "name="+image) })
	if r.Code != 0 {
		t.Fatal("the bake failed")
	}
	if got, want := l.cli(t, "cat", l.images(t, image)[0], "/sum"), sum+"  -\n1800\ndebian"; got != want {
		t.Errorf("the machine got %q, want %q", got, want)
	}
	t.Logf("resident memory of the plugin: idle %d MiB, peak %d MiB", idle>>20, peak>>20)
	if peak-idle > 100<<20 {
		t.Errorf("the plugin needs %d bytes at its peak, and %d bytes when it is idle", peak, idle)
	}
	for _, want := range []string{"Recorded 3 provisioners", "202 files of 31457", "bytes to s3://bakery-lab/recorder/"} {
		if !strings.Contains(r.Output, want) {
			t.Errorf("packer did not say %q", want)
		}
	}
	var staged []string
	for _, c := range l.calls(t, http.MethodGet) {
		if slices.Contains([]string{"PutObject", "CompleteMultipartUpload"}, c.Action) && !strings.HasSuffix(c.Detail, "/log.gz") {
			staged = append(staged, c.Detail)
		}
	}
	if len(staged) != 1 || !strings.HasSuffix(staged[0], "/provisioners.tgz") {
		t.Errorf("staged as %q", staged)
	}
	if left := append(l.leftovers(t), l.orphans(t)...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// call is one the lab has served.
type call struct{ Action, Detail string }

// calls lists the calls the lab has served since they were last deleted, or deletes them.
func (l *lab) calls(t *testing.T, method string) []call {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, l.values["AWS_ENDPOINT_URL"]+"/_lab/calls", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+l.values["AWS_SECRET_ACCESS_KEY"])
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var all []call
	if method == http.MethodGet {
		if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
			t.Fatalf("%s /_lab/calls: %s, %v", method, answer.Status, err)
		}
	}
	return all
}

// watchMemory is the most resident memory that one process of the plugin had, in bytes, while something is done.
func watchMemory(t *testing.T, do func()) int64 {
	t.Helper()
	dir, err := filepath.EvalSymlinks(packertest.Built(t).Dir)
	if err != nil {
		t.Fatal(err)
	}
	done, result := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			most = max(most, highWater(filepath.Join(dir, "plugins")))
			select {
			case <-done:
				tick.Stop()
				result <- most
				return
			case <-tick.C:
			}
		}
	}()
	do()
	close(done)
	most := <-result
	if most == 0 {
		t.Fatal("no process of the plugin was seen")
	}
	return most
}

// highWater is the largest VmHWM of the processes whose program is below a directory.
func highWater(dir string) int64 {
	var most int64
	programs, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range programs {
		if program, err := os.Readlink(exe); err != nil || !strings.HasPrefix(program, dir+"/") {
			continue
		}
		status, err := os.Open(filepath.Join(filepath.Dir(exe), "status"))
		if err != nil {
			continue // it has ended meanwhile
		}
		for lines := bufio.NewScanner(status); lines.Scan(); {
			if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
				kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
				most = max(most, kb<<10)
			}
		}
		_ = status.Close()
	}
	return most
}
