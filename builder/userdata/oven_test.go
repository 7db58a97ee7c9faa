// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/awsconfig"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// testFolder is what a bake stages below, that begins when a bubble does.
const testFolder = "bakery-20000101T013000Z-" + testBake

// oven is a bake in a test: of a small script, unless the test says otherwise.
type oven struct {
	*testing.T
	cloud  *cloud
	config *Config
	hook   packersdk.Hook
	ui     *bytes.Buffer
	ctx    context.Context
	cancel context.CancelFunc
	hurry  chan struct{} // closed for the user's second interrupt
}

// bakes runs a bake in a bubble of its own time, and returns what Packer gets.
func bakes(t *testing.T, set func(*oven)) (*oven, packersdk.Artifact, error) {
	t.Helper()
	o := &oven{
		T: t, cloud: newCloud(t), hook: &packersdk.DispatchHook{}, ui: new(bytes.Buffer), ctx: t.Context(),
		config: &Config{
			SourceConfig: SourceConfig{SourceAmi: sourceID},
			ImageConfig:  ImageConfig{AMIName: "hello-1"},
			LogConfig:    LogConfig{LogFile: os.DevNull},
		},
	}
	o.config.UserData = "#!/bin/sh\ntrue\n"
	var artifact packersdk.Artifact
	var err error
	synctest.Test(t, func(t *testing.T) {
		o.ctx, o.cancel = context.WithCancel(t.Context())
		defer o.cancel()
		if set != nil {
			set(o)
		}
		if _, problems := o.config.check(); problems != nil {
			t.Fatal(problems)
		}
		ui := &packersdk.BasicUi{Writer: o.ui, ErrorWriter: o.ui, PB: &packersdk.NoopProgressTracker{}}
		b := newBake(o.config, ui)
		b.id, b.key = testBake, testKey
		b.load = o.cloud.load
		b.hurry = o.hurry
		artifact, err = b.run(o.ctx, o.hook)
	})
	return o, artifact, err
}

func (c *cloud) load(_ context.Context, s *awsconfig.Settings) (aws.Config, error) {
	cfg, err := s.Load(c.t.Context())
	cfg.HTTPClient = c
	return cfg, err
}

// cancelAfter cancels the bake, as an interrupted Packer does.
func (o *oven) cancelAfter(d time.Duration) {
	time.AfterFunc(d, o.cancel)
}

// stage gives the bake a bucket, and an fs/ that is too large to travel inside the user data.
func (o *oven) stage() {
	o.config.UserData = ""
	o.config.ImageSource = imageSource(o.T, 20_000)
	o.config.Staging = &StagingConfig{URL: "s3://" + bucket + "/some/prefix"}
}

// image is the one image that has a name in a region.
func (o *oven) image(region, name string) *fakeImage {
	o.Helper()
	for _, i := range o.cloud.images {
		if i.region == region && i.name == name {
			return i
		}
	}
	o.Fatalf("no image %q in %s, but %q", name, region, o.cloud.named())
	return nil
}

func (o *oven) calls(of ...string) []string {
	return slices.DeleteFunc(slices.Clone(o.cloud.calls), func(name string) bool { return !slices.Contains(of, name) })
}

func abroad(o *oven) {
	o.config.AMIRegions = []string{"us-east-1", "eu-west-1", "ap-south-1", "eu-west-1"}
}

// logged lets the machine upload a long log that ends with a report.
func (o *oven) logged(text string) {
	log := zipped(o.T, strings.Repeat("x\n", 3<<20)+reportLine(testBake, 9, text))
	time.AfterFunc(10*time.Second, func() {
		key := "some/prefix/" + testFolder + "/" + logKey
		if _, err := o.cloud.s3mem.PutObject(o.ctx, bucket, key, nil, strings.NewReader(log), int64(len(log))); err != nil {
			o.Error(err)
		}
	})
}

func zipped(t *testing.T, text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// imageSource is a directory with so many bytes in fs/ that no compression makes fewer.
func imageSource(t *testing.T, size int) string {
	dir := t.TempDir()
	noise := make([]byte, size)
	_, _ = rand.Read(noise)
	for name, content := range map[string]string{
		"ami.env":             "NAME=hello\nVERSION=1.2\n",
		"readme.md":           "A test.\n",
		"script/install.sh":   "#!/bin/sh\ntrue\n",
		"cloudinit/60_a.cfg":  "#cloud-config\nruncmd: [ 'true' ]\n",
		"fs/opt/hello/noise":  string(noise),
		"cloudinit/70_b.cfg":  "#cloud-config\npackages: [ hello ]\n",
		"fs/etc/hello.config": "x\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestMain(m *testing.M) {
	// The SDK's own loader is part of what is tested, so it must not see whose machine this is.
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIDTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		_ = os.Setenv(name, value)
	}
	flag.Parse()
	os.Exit(m.Run())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
