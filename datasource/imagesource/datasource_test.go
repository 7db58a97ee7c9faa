// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"bytes"
	"encoding/base64"
	"io"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"github.com/amibakery/packer-plugin-bakery/internal/placeholder"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// imageSource writes an Image-Source with a compile.sh that shows its environment.
func imageSource(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image")
	all := map[string]string{
		"ami.env":               "NAME=hello\nVERSION=1.2.3\n",
		"fs/etc/hello.conf":     "greeting=hello\n",
		"cloudinit/60_late.cfg": "#cloud-config\nruncmd:\n  - echo late\n",
		"script/compile.sh":     "#!/bin/sh\nprintf \"GIVEN='%s'\\n\" \"$GIVEN\"\necho compiling >&2\n",
	}
	maps.Copy(all, files)
	for name, content := range all {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o755))
	}
	return dir
}

// withoutEnvironment makes the defaults independent of the environment of the tests.
func withoutEnvironment(t *testing.T) {
	t.Helper()
	t.Setenv("AWSREGION", "")
	t.Setenv("S3URL", "")
}

func execute(t *testing.T, settings map[string]any) map[string]cty.Value {
	t.Helper()
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	var d Datasource
	must(t, d.Configure(settings))
	value, err := d.Execute()
	must(t, err)
	return value.AsValueMap()
}

func TestTheOutputsDescribeTheBundle(t *testing.T) {
	withoutEnvironment(t)
	source := imageSource(t, nil)
	out := execute(t, map[string]any{"source": source, "env": map[string]string{"GIVEN": "a b"}})

	target := source + ".bundle"
	userData, err := os.ReadFile(filepath.Join(target, "userdata.gz"))
	must(t, err)
	for name, want := range map[string]cty.Value{
		"bundle":           cty.StringVal(target),
		"user_data_file":   cty.StringVal(filepath.Join(target, "userdata.gz")),
		"user_data_base64": cty.StringVal(base64.StdEncoding.EncodeToString(userData)),
		"user_data_size":   cty.NumberIntVal(int64(len(userData))),
		"fs_file":          cty.StringVal(""),
		"fs_sha256":        cty.StringVal(""),
		"fs_size":          cty.NumberIntVal(0),
		"name":             cty.StringVal("hello"),
		"version":          cty.StringVal("1.2.3"),
		"needs_staging":    cty.False,
	} {
		if !out[name].RawEquals(want) {
			t.Errorf("%s is %#v, want %#v", name, out[name], want)
		}
	}
	env := out["env"].AsValueMap()
	for name, want := range map[string]string{"GIVEN": "a b", "NAME": "hello", "AWSREGION": "ap-northeast-1"} {
		if value, ok := env[name]; !ok || value.AsString() != want {
			t.Errorf("%s is %#v, want %q", name, value, want)
		}
	}
	if env["BAKERY_USERDATA_SHA256"].AsString() != out["user_data_sha256"].AsString() {
		t.Error("vars.env and the outputs do not agree")
	}
}

func TestALargeFsIsAFileOfItsOwn(t *testing.T) {
	t.Setenv("AWSREGION", "eu-central-1")
	t.Setenv("S3URL", "s3://bucket/fs.tgz")
	target := filepath.Join(t.TempDir(), "out")
	out := execute(t, map[string]any{"source": imageSource(t, nil), "target": target, "fs_inline_limit": 1})
	info, err := os.Stat(filepath.Join(target, "fs.tgz"))
	must(t, err)
	if out["fs_file"].AsString() != filepath.Join(target, "fs.tgz") ||
		!out["fs_size"].RawEquals(cty.NumberIntVal(info.Size())) {
		t.Errorf("got %#v, %#v", out["fs_file"], out["fs_size"])
	}
	if out["needs_staging"].False() {
		t.Error("it needs no staging")
	}
	env := out["env"].AsValueMap()
	if env["AWSREGION"].AsString() != "eu-central-1" || env["FSS3URL"].AsString() != "s3://bucket/fs.tgz" {
		t.Errorf("the environment is not the default: %#v", env)
	}
}

func TestTheOutputSpecNamesEveryOutput(t *testing.T) {
	withoutEnvironment(t)
	out := execute(t, map[string]any{"source": imageSource(t, nil)})
	spec := new(Datasource).OutputSpec()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(spec)), slices.Sorted(maps.Keys(out))); diff != "" {
		t.Errorf("(-specified +returned):\n%s", diff)
	}
}

func TestSettingsAreRefusedTogether(t *testing.T) {
	withoutEnvironment(t)
	source := imageSource(t, map[string]string{"cloudinit/61_bad.cfg": "#cloud-config\npower_state: {}\n",
		"ami.env": "NAME=$(id)\n"})
	err := new(Datasource).Configure(map[string]any{
		"source": source, "target": filepath.Join(source, "out"), "region": "?", "s3_url": "http://x",
		"fs_inline_limit": 16385,
		"env":             map[string]string{"A-B": "1"},
	})
	if err == nil {
		t.Fatal("nothing is refused")
	}
	for _, want := range []string{
		filepath.Join(source, "ami.env") + ":1:6: ", filepath.Join(source, "cloudinit/61_bad.cfg") + ":2:",
		"is inside the Image-Source",
		`region "?"`, `S3 URL "http://x"`, "fs_inline_limit is 16385; it must be between 0 and 16384", `"A-B"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
	if _, err := os.Stat(filepath.Join(source, "out")); err == nil {
		t.Error("checking has made the target")
	}
}

func TestASourceIsNeeded(t *testing.T) {
	withoutEnvironment(t)
	for _, settings := range []map[string]any{{}, {"target": "out"}} {
		if err := new(Datasource).Configure(settings); err == nil ||
			err.Error() != "source is missing: set it to the directory of an Image-Source" {
			t.Errorf("got %v", err)
		}
	}
	if err := new(Datasource).Configure(map[string]any{"sources": "x"}); err == nil {
		t.Error("an unknown setting is accepted")
	}
}

func TestUnknownValuesAreNoError(t *testing.T) {
	withoutEnvironment(t)
	source := imageSource(t, nil)
	for name, settings := range map[string]map[string]any{
		"the source": {"source": placeholder.Unknown},
		"the target": {"source": source, "target": placeholder.Unknown},
		"all the rest": {"source": source, "region": placeholder.Unknown, "s3_url": "s3://" + placeholder.Unknown,
			"env": map[string]string{placeholder.Unknown: placeholder.Unknown, "A": placeholder.Unknown}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := new(Datasource).Configure(settings); err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestKnownValuesAreCheckedBesideUnknownOnes(t *testing.T) {
	withoutEnvironment(t)
	source := imageSource(t, map[string]string{"ami.env": "NAME=$(id)\n"})
	err := new(Datasource).Configure(map[string]any{"source": source, "target": placeholder.Unknown})
	if err == nil || !strings.Contains(err.Error(), "ami.env:1:6: ") {
		t.Errorf("got %v", err)
	}
}

func TestWarningsAndOutputAreLogged(t *testing.T) {
	withoutEnvironment(t)
	var logged bytes.Buffer
	log.SetOutput(&logged)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	source := imageSource(t, map[string]string{"extra": ""})
	var d Datasource
	must(t, d.Configure(map[string]any{"source": source}))
	if !strings.Contains(logged.String(), "[WARN] "+filepath.Join(source, "extra")+": warning: ") {
		t.Errorf("logged is %s", logged.String())
	}
	if _, err := d.Execute(); err != nil || !strings.Contains(logged.String(), "[INFO] compile "+source+": compiling") {
		t.Errorf("got %v, logged is %s", err, logged.String())
	}
	if err := d.Configure(map[string]any{"source": source, "strict": true}); err == nil {
		t.Error("strict lets a warning pass")
	}
}

func TestAFailingCompileIsAnError(t *testing.T) {
	withoutEnvironment(t)
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	var d Datasource
	must(t, d.Configure(map[string]any{"source": imageSource(t,
		map[string]string{"script/compile.sh": "#!/bin/sh\necho why\nexit 4\n"})}))
	if _, err := d.Execute(); err == nil || !strings.Contains(err.Error(), "exit code "+strconv.Itoa(4)) ||
		!strings.Contains(err.Error(), "why") {
		t.Errorf("got %v", err)
	}
}

func TestTheDefaultTargetIsBesideTheSource(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for source, want := range map[string]string{
		"image": "image.bundle", "./a/image/": "a/image.bundle", "/x/image": "/x/image.bundle",
		".": dir + ".bundle", "a/..": dir + ".bundle",
	} {
		got, err := beside(source)
		must(t, err)
		if got != want {
			t.Errorf("beside %q is %q, want %q", source, got, want)
		}
	}
}
