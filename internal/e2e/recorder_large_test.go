// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// largeSize is the size of the largest upload, in bytes.
const largeSize = 300 << 20

// TestLargeUploads uploads 300 MiB and 200 small files in one template. They are staged as one object, and the plugin's
// memory does not grow with them.
func TestLargeUploads(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	machineSlots.acquire(t)
	idle := l.pluginMemory(t, provisionerTemplate(t, `provisioner "shell-local" {
    inline = ["sleep 1", "exit 1"]
  }`, nil))
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
    inline = [
      "sudo sh -c 'sha256sum </tmp/large >/sum; cat /tmp/0* /tmp/1* | wc -c >>/sum; stat -c %U /tmp/large >>/sum'"
    ]
  }
`, files)
	sum := randomFile(t, filepath.Join(filepath.Dir(template), "large"), largeSize)
	image := testName(t)
	argv := []string{packertest.Built(t).Packer, "build", "-var", "name=" + image, template}
	r, memory := runMeasured(t, 50*time.Millisecond, filepath.Dir(template), l.environ(t), argv)
	l.bakes.add(t.Name(), r.Output)
	if r.Code != 0 {
		t.Fatalf("the bake failed:\n%s", r.Output)
	}
	peak := memory.largest
	if got, want := l.cli(t, "cat", l.images(t, image)[0], "/sum"), sum+"  -\n1800\ndebian"; got != want {
		t.Errorf("the machine got %q, want %q", got, want)
	}
	t.Logf("resident memory of the plugin: idle %d MiB, peak %d MiB", idle>>20, peak>>20)
	if peak-idle > 100<<20 {
		t.Errorf("the plugin needs %d bytes at its peak, and %d bytes when it is idle", peak, idle)
	}
	for _, want := range []string{"Recorded 3 provisioners", "202 files of 31457",
		"bytes to s3://bakery-lab/recorder/"} {
		if !strings.Contains(r.Output, want) {
			t.Errorf("packer did not print %q", want)
		}
	}
	var staged []string
	for _, c := range l.calls(t) {
		uploads := c.Action == "PutObject" || c.Action == "CompleteMultipartUpload"
		name := path.Base(c.Detail)
		isOther := name == "log.gz" || name == "commitment" || name == "user-data"
		if uploads && strings.Contains(c.Detail, image) && !isOther {
			staged = append(staged, c.Detail)
		}
	}
	if len(staged) != 1 || !strings.HasSuffix(staged[0], "/provisioners.tgz") {
		t.Errorf("staged as %q", staged)
	}
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// calls lists the calls that the lab has answered.
func (l *lab) calls(t *testing.T) (all []labserver.Call) {
	t.Helper()
	answer, err := l.request(t.Context(), http.MethodGet, "calls", "")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// pluginMemory builds a template that fails, and returns the most resident memory of the plugin, in bytes.
func (l *lab) pluginMemory(t *testing.T, template string) int64 {
	t.Helper()
	argv := []string{packertest.Built(t).Packer, "build", "-var", "name=" + testName(t), template}
	r, memory := runMeasured(t, 50*time.Millisecond, filepath.Dir(template), l.environ(t), argv)
	if memory.largest == 0 {
		t.Fatalf("no process of the plugin was seen:\n%s", r.Output)
	}
	return memory.largest
}
