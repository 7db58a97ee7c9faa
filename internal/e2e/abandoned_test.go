// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// TestAbandonedMachinesEndByThemselves launches machines as verdict = "stop" does with staged user data, and with no
// Packer: each has to power itself off, but not before the time is over.
func TestAbandonedMachinesEndByThemselves(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	for name, c := range map[string]struct{ userData, fetched string }{
		"user data that hangs":       {"#!/bin/sh\necho begun >/begun\nsleep 100000\n", ""},
		"a cloud-config that hangs":  {"#cloud-config\nruncmd:\n- echo begun >/begun\n- sleep 100000\n", ""},
		"user data of somebody else": {"#!/bin/sh\npoweroff\n", "#!/bin/sh\npoweroff -f\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			staged, err := guest.StageVerbatim([]byte(c.userData))
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(staged)
			if c.fetched != "" {
				staged = guest.Compress([]byte(c.fetched))
			}
			const limit = 2 * time.Minute
			reader := guest.Reader{BakeID: guest.NewBakeID(), Key: guest.NewKey()}
			userData, err := guest.Fetch(guest.Launch{Reader: reader}, guest.Fetched{
				URL: l.presigned(t, staged), SHA256: hex.EncodeToString(sum[:]), StayOn: true, Limit: limit,
			})
			if err != nil {
				t.Fatal(err)
			}
			machineSlots.acquire(t)
			id := l.launch(t, userData)
			l.mustWaitFor(t, id, "running")
			began := time.Now()
			if c.fetched == "" {
				l.awaitFile(t, id, "/begun")
			}
			l.mustWaitFor(t, id, "stopped")
			if took := time.Since(began); took < limit || took > 5*limit { // with its boot and end
				t.Errorf("it has powered itself off after %s", took)
			}
			console := l.aws(t, nil, "ec2", "get-console-output", "--latest", "--instance-id", id, "--query", "Output")
			outcome, judged := guest.Judge(reader.Reports([]byte(console)))
			if !judged || outcome.OK {
				t.Errorf("its end may be taken for a success: %+v\n%s", outcome, console)
			}
		})
	}
}

// presigned puts an object into the bucket of the lab and returns a URL of it.
func (l *lab) presigned(t *testing.T, content []byte) string {
	t.Helper()
	client := s3.NewFromConfig(l.config(), func(o *s3.Options) { o.UsePathStyle = true })
	bucket, key := aws.String(l.values["BAKERY_LAB_BUCKET"]), aws.String(testName(t))
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: bucket, Key: key, Body: bytes.NewReader(content),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in := &s3.DeleteObjectInput{Bucket: bucket, Key: key}
		_, err := client.DeleteObject(context.WithoutCancel(t.Context()), in)
		if err != nil {
			t.Error(err)
		}
	})
	url, err := s3.NewPresignClient(client).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return url.URL
}

// launch starts a machine that is terminated with the test.
func (l *lab) launch(t *testing.T, userData []byte) string {
	t.Helper()
	return l.launchImage(t, l.values["BAKERY_LAB_AMI"], userData)
}

// awaitFile waits until a machine has a file.
func (l *lab) awaitFile(t *testing.T, id, path string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		out, err := l.exec(t, id, "cat", path)
		if err == nil && strings.TrimSpace(out) != "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not there: %v\n%s\n%s", path, err, out, l.cli(t, "console", id))
		}
	}
}
