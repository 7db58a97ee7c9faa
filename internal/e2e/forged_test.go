// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// TestForgedReportsRegisterNothing bakes on machines where a user who is not root has the launched user data, with all
// its keys and URLs, and can write to the console, to the output of a step, and over the log in S3. It reports success
// before the step fails, and goes on with it until the power is off.
func TestForgedReportsRegisterNothing(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	forge, err := os.ReadFile("testdata/forge.py")
	if err != nil {
		t.Fatal(err)
	}
	const asNobody = "runuser -u nobody -- python3 /opt/forge.py "
	for name, c := range map[string]struct {
		commitment string // of the machine, which the user may have seen on the console
		staging    bool
	}{
		"without staging": {"", false},
		"without staging where the commitment is seen": {"$(cat /var/lib/bakery/commitment)", false},
		"with staging": {"", true},
		"with staging where the commitment is seen": {"$(cat /var/lib/bakery/commitment)", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			image := testName(t)
			source := write(t, map[string]string{
				"fs/opt/forge.py": string(forge),
				"cloudinit/60_app.cfg": "#cloud-config\nruncmd:\n" +
					"- " + asNobody + "0 " + c.commitment + "\n" +
					"- until [ -e /run/seen ]; do sleep 0.2; done\n" + // until Packer has shown these lines
					"- " + asNobody + "0 " + c.commitment + " >/dev/console\n" +
					"- setsid " + asNobody + "60 " + c.commitment + " >/dev/console 2>&1 &\n" +
					"- sleep 3; exit 7\n",
			})
			r := l.buildForged(t, "name="+image, "source="+source, fmt.Sprint("staging=", c.staging))
			if r.Code == 0 || len(l.images(t, image)) > 0 {
				t.Errorf("packer ended with %d, and there are %v", r.Code, l.images(t, image))
			}
			if !strings.Contains(r.Output, "forged reports of bake ") {
				t.Errorf("nothing was forged:\n%s", r.Output)
			}
			if c.staging {
				for _, refused := range []string{"once more: 412", "without the condition: 403"} {
					if !strings.Contains(r.Output, refused) {
						t.Errorf("S3 did not answer %q", refused)
					}
				}
			}
		})
	}
}

// buildForged runs packer build, and lets the machine go on when packer has shown what was forged at first.
func (l *lab) buildForged(t *testing.T, vars ...string) packertest.Result {
	t.Helper()
	machineSlots.acquire(t)
	seen, once := &printedTexts{t: t, lab: l}, sync.Once{}
	out := &printedLines{onLine: func(text string) {
		seen.read(text)
		if !strings.Contains(text, "| forged reports of bake ") {
			return
		}
		once.Do(func() {
			if _, err := l.exec(t, seen.instance, "touch", "/run/seen"); err != nil {
				t.Error(err)
			}
		})
	}}
	argv := []string{packertest.Built(t).Packer, "build"}
	for _, v := range vars {
		argv = append(argv, "-var", v)
	}
	code := packertest.Stream(t, out, t.TempDir(), l.environ(t), append(argv, absolute(t, template))...)
	l.bakes.add(t.Name(), out.String())
	t.Logf("packer build: exit status %d\n%s", code, out)
	return packertest.Result{Code: code, Output: out.String()}
}

// TestBucketOfSomebodyElseRegistersNothing bakes while somebody who may read and write the bucket, but has not seen the
// user data, overwrites everything in it again and again: with the log of a bake that was good, also in the name of
// this bake, with reports as older versions wrote them, and with noise.
func TestBucketOfSomebodyElseRegistersNothing(t *testing.T) {
	t.Parallel()
	good := startBakerLab(t, labtest.Baker{})
	settings := maps.Clone(reportVerdict)
	settings["staging"] = map[string]any{"url": "s3://" + good.Value("BAKERY_LAB_BUCKET") + "/quick", "keep_log": true}
	settings["user_data"] = "#!/bin/sh\ntrue\n"
	if _, printed, err := good.bake(t, settings); err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	log := good.objects(t, "log.gz")
	if len(log) != 1 {
		t.Fatalf("there are %d logs", len(log))
	}
	for name, c := range map[string]struct {
		baker labtest.Baker
		only  string // the object that is overwritten; "" for all
		want  bool   // the bake succeeds
	}{
		"a machine that fails":    {labtest.Baker{Fail: 1, StepDuration: 3 * time.Second}, "", false},
		"a machine that is muted": {labtest.Baker{StepDuration: 3 * time.Second, NoVerdict: true}, "log.gz", false},
		"a good machine":          {labtest.Baker{StepDuration: 3 * time.Second}, "log.gz", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.baker.Steps = []string{"60_app.cfg"}
			q := startBakerLab(t, c.baker)
			ctx, stop := context.WithCancel(t.Context())
			var attack sync.WaitGroup
			attack.Go(func() { q.overwrite(ctx, t, c.only, slices.Collect(maps.Values(log))[0]) })
			more := maps.Clone(reportVerdict)
			more["user_data"] = "#!/bin/sh\ntrue\n"
			_, printed, err := q.bake(t, more)
			stop()
			attack.Wait()
			if (err == nil) != c.want {
				t.Errorf("the error is %v\n%s", err, printed)
			}
			if images := q.client().images(t, "quick"); !c.want && len(images) > 0 {
				t.Errorf("%v was registered", images)
			}
		})
	}
}

// overwrite writes to all objects whose name ends with only, until ctx ends.
func (q *quickLab) overwrite(ctx context.Context, t *testing.T, only, log string) {
	client := s3.NewFromConfig(q.sdk("us-east-1"), func(o *s3.Options) { o.UsePathStyle = true })
	bucket := aws.String(q.Value("BAKERY_LAB_BUCKET"))
	id := regexp.MustCompile(`[0-9a-f]{16}`)
	for n := 0; ctx.Err() == nil; n++ {
		for key := range q.objects(t, only) {
			own := id.FindString(key) // the bake's
			texts := []string{log, renamedLog(t, log, own), gzippedText(t, labReportOfOldVersion(own)), "noise"}
			_, _ = client.PutObject(ctx, &s3.PutObjectInput{
				Bucket: bucket, Key: &key, Body: strings.NewReader(texts[n%len(texts)]),
			})
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// renamedLog returns a log in which a bake has another id.
func renamedLog(t *testing.T, log, id string) string {
	t.Helper()
	text, err := guest.Decompress([]byte(log))
	if err != nil {
		t.Error(err)
	}
	m := regexp.MustCompile(`@bakery-reports ([0-9a-f]{16})`).FindSubmatch(text)
	if m == nil {
		return log
	}
	return gzippedText(t, strings.ReplaceAll(string(text), string(m[1]), id))
}

func gzippedText(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	return b.String()
}

// labReportOfOldVersion returns the report that registered a failed bake before reports were signed.
func labReportOfOldVersion(id string) string {
	body := id + " 999999999 verdict ok 0 bake"
	return fmt.Sprintf("@bakery %d %s\n@bakery-reports %s 1\n", cksum(body), body, id)
}

// cksum is the checksum of POSIX cksum(1), which reports once had.
func cksum(text string) uint32 {
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
	for _, c := range []byte(text) {
		add(c)
	}
	for n := len(text); n > 0; n >>= 8 {
		add(byte(n))
	}
	return ^crc
}

// objects returns the contents of the bucket's objects whose keys end with a name, by their keys.
func (q *quickLab) objects(t *testing.T, name string) map[string]string {
	t.Helper()
	client := s3.NewFromConfig(q.sdk("us-east-1"), func(o *s3.Options) { o.UsePathStyle = true })
	bucket := aws.String(q.Value("BAKERY_LAB_BUCKET"))
	all := map[string]string{}
	out, err := client.ListObjectsV2(context.WithoutCancel(t.Context()), &s3.ListObjectsV2Input{Bucket: bucket})
	if err != nil {
		t.Error(err)
		return nil
	}
	for i := range out.Contents {
		key := aws.ToString(out.Contents[i].Key)
		if !strings.HasSuffix(key, name) {
			continue
		}
		object, err := client.GetObject(context.WithoutCancel(t.Context()),
			&s3.GetObjectInput{Bucket: bucket, Key: &key})
		if err != nil {
			continue // it is gone
		}
		text, _ := io.ReadAll(object.Body)
		_ = object.Body.Close()
		all[key] = string(text)
	}
	return all
}

// TestUsersCannotMisuseTheCleanUp bakes on a machine where a user who is not root puts a pipe, and then links, where
// root's clean-up reads and writes, and where a step kills every sleep.
func TestUsersCannotMisuseTheCleanUp(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	misuse, err := os.ReadFile("testdata/misuse.py")
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(l.aws(t, nil, "ec2", "create-key-pair", "--key-name", image, "--query", "KeyPairId",
		"--output", "text"))
	defer l.aws(t, nil, "ec2", "delete-key-pair", "--key-name", image)
	source := write(t, map[string]string{
		"fs/opt/misuse.py":             string(misuse),
		"fs/etc/important/policy.conf": "policy\n", "fs/etc/important/rules": "rules\n",
		"cloudinit/60_app.cfg": "#cloud-config\nruncmd:\n- useradd -m -s /bin/bash mallory\n" +
			"- cp /lib/systemd/system/ssh.service /ssh.before\n" +
			"- K=$(cat /home/*/.ssh/authorized_keys | grep -m 1 AAAA)\n" +
			"- setsid runuser -u mallory -- python3 /opt/misuse.py \"$K\" &\n" +
			"- useradd -m -s /bin/bash mary; useradd -m -s /bin/bash alice\n" +
			"- install -d -o alice -m 700 /home/alice/.ssh; echo \"$K\" >/home/alice/.ssh/authorized_keys\n" +
			"- chown alice /home/alice/.ssh/authorized_keys; cp /home/alice/.ssh/authorized_keys /alice.before\n" +
			"- setsid runuser -u mary -- python3 /opt/misuse.py \"$K\" /root/.ssh &\n" +
			"- sleep 300 & sleep 1; pkill sleep; true\n- bash -c 'sleep 6'\n",
	})
	id := l.bake(t, image, absolute(t, template), "name="+image, "source="+source, "key="+image)
	t.Logf("key pair %s", key)
	if got := l.cli(t, "cat", id, "/etc/important/policy.conf") + l.cli(t, "cat", id, "/etc/important/rules"); !strings.
		Contains(got, "policy") || !strings.Contains(got, "rules") {
		t.Errorf("root has destroyed files of its own: %q", got)
	}
	if got := l.cli(t, "ls", id, "/home/mary"); strings.Contains(got, "_history") {
		t.Errorf("a history is left: %s", got)
	}
	before, after := l.cli(t, "cat", id, "/ssh.before"), l.cli(t, "cat", id, "/lib/systemd/system/ssh.service")
	if before != after {
		t.Errorf("root has written what a user wanted:\n%s", after)
	}
}
