// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/builder/userdata"
	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
	labfault "github.com/amibakery/packer-plugin-bakery/internal/lab/fault"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// quickLab is a lab whose machines are goroutines that power off at once: a bake with verdict = "stop" takes seconds,
// and everything but the machine is the same.
type quickLab struct {
	*labtest.Lab
	profile   string            // the profile that leads the AWS SDK to the lab
	onLine    func(line string) // is called with each line that a builder prints; may be nil
	afterBake func()            // is called when a bake with faults has ended; may be nil
}

// quickRegions are the regions of all images of these tests.
var quickRegions = []string{"us-east-1", "eu-west-1", "us-west-2"}

func startQuickLab(t *testing.T, faults ...string) *quickLab {
	t.Helper()
	return startQuickLabWith(t, (*labtest.Machine).PowerOff, faults...)
}

// startBakerLab starts a lab whose machines report as real ones do. Bakes on it need the settings reportVerdict.
func startBakerLab(t *testing.T, b labtest.Baker, faults ...string) *quickLab {
	t.Helper()
	return startQuickLabWith(t, b.Guest, faults...)
}

// reportVerdict are the settings for a machine that reports a verdict.
var reportVerdict = map[string]any{"verdict": "report", "instance_timeout": "2m"}

// startQuickLabWith starts a lab whose machines run a function.
func startQuickLabWith(t *testing.T, guest func(*labtest.Machine), faults ...string) *quickLab {
	t.Helper()
	o := labserver.Options{Runner: labtest.Runner{Guest: guest}}
	for _, text := range faults {
		f, err := labfault.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		o.Faults = append(o.Faults, f)
	}
	return startQuickLabOptions(t, o)
}

// startQuickLabOptions starts a lab with any options.
func startQuickLabOptions(t *testing.T, o labserver.Options) *quickLab {
	t.Helper()
	labSlots.acquire(t)
	l := labtest.Start(t, o)
	q := &quickLab{Lab: l, profile: newProfileName()}
	q.configure(t, q.Value("AWS_ACCESS_KEY_ID"), q.Value("AWS_SECRET_ACCESS_KEY"), "")
	return q
}

// configure writes the profile that leads to the lab with these credentials.
func (q *quickLab) configure(t *testing.T, key, secret, token string) {
	t.Helper()
	writeProfile(t, q.profile, fmt.Sprintf(
		"[profile %s]\nendpoint_url = %s\nregion = us-east-1\naws_access_key_id = %s\naws_secret_access_key = %s\n"+
			"aws_session_token = %s\n",
		q.profile, q.URL, key, secret, token))
}

// profileFor writes a profile that leads to the lab through another URL.
func (q *quickLab) profileFor(t *testing.T, url string) string {
	t.Helper()
	name := newProfileName()
	writeProfile(t, name, fmt.Sprintf("[profile %s]\nendpoint_url = %s\nregion = us-east-1\naws_access_key_id = %s\n"+
		"aws_secret_access_key = %s\n",
		name, url, q.Value("AWS_ACCESS_KEY_ID"), q.Value("AWS_SECRET_ACCESS_KEY")))
	return name
}

// profiles are the profiles of the running quick labs, in AWS_CONFIG_FILE. Each is removed with its lab: bakes read the
// whole file.
var profiles = struct {
	sync.Mutex
	text map[string]string
}{text: map[string]string{}}

// profileNumber is the number of the last profile.
var profileNumber atomic.Int64

// newProfileName returns a name that no other lab has. The port of a lab would not do: the next lab may be given it
// before the profile of this one is removed.
func newProfileName() string { return fmt.Sprintf("lab-%d", profileNumber.Add(1)) }

func writeProfile(t *testing.T, name, text string) {
	t.Helper()
	update := func(change func()) {
		profiles.Lock()
		defer profiles.Unlock()
		change()
		file := os.Getenv("AWS_CONFIG_FILE")
		all := strings.Join(slices.Collect(maps.Values(profiles.text)), "")
		if err := os.WriteFile(file+".new", []byte(all), 0o600); err != nil {
			t.Error(err)
		} else if err := os.Rename(file+".new", file); err != nil { // so that nobody reads a part of it
			t.Error(err)
		}
	}
	update(func() { profiles.text[name] = text })
	t.Cleanup(func() { update(func() { delete(profiles.text, name) }) })
}

// client returns the lab in the form of the helpers that run programs.
func (q *quickLab) client() *lab {
	l := &lab{values: map[string]string{}, bakes: &bakeIDs{byTest: map[string][]string{}}}
	for _, v := range q.Env() {
		l.values[v.Name] = v.Value
		l.env = append(l.env, v.Name+"="+v.Value)
	}
	return l
}

// settings returns the settings of a bake on the lab, and more; nil removes one.
func (q *quickLab) settings(more map[string]any) map[string]any {
	all := map[string]any{
		"profile": q.profile, "max_retries": 2, "source_ami": q.Value("BAKERY_LAB_AMI"), "ami_name": "quick",
		"instance_poll_interval": "1s", "image_poll_interval": "1s", "verdict": "stop", "log_file": os.DevNull,
		// Too large for the machine, so that there is something in S3 as well.
		"user_data": "#!/bin/sh\n: " + base64.StdEncoding.EncodeToString([]byte(incompressible(20000))) +
			"\npoweroff\n",
		"staging": map[string]any{"url": "s3://" + q.Value("BAKERY_LAB_BUCKET") + "/quick"},
	}
	maps.Copy(all, more)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	return all
}

// bake runs the builder in this process.
func (q *quickLab) bake(t *testing.T, settings map[string]any) (packersdk.Artifact, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	return q.bakeUntil(ctx, t, settings)
}

// bakeUntil is bake until a context ends.
func (q *quickLab) bakeUntil(ctx context.Context, t *testing.T, settings map[string]any) (packersdk.Artifact, string,
	error) {
	t.Helper()
	return q.runPrepared(ctx, t, q.settings(settings))
}

// bakeAs is bake with these settings and no others.
func (q *quickLab) bakeAs(t *testing.T, settings map[string]any) (packersdk.Artifact, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	return q.runPrepared(ctx, t, settings)
}

// bakeOrRefuse is bake with settings that the builder may refuse without a call.
func (q *quickLab) bakeOrRefuse(t *testing.T, settings map[string]any) (packersdk.Artifact, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	return q.runBuilder(ctx, t, q.settings(settings))
}

// refusedError is the error for settings that the builder refuses.
type refusedError struct{ error }

// runPrepared is runBuilder with settings that must be valid.
func (q *quickLab) runPrepared(ctx context.Context, t *testing.T, settings map[string]any) (packersdk.Artifact, string,
	error) {
	t.Helper()
	artifact, printed, err := q.runBuilder(ctx, t, settings)
	if refused := (refusedError{}); errors.As(err, &refused) {
		t.Fatal(err)
	}
	return artifact, printed, err
}

func (q *quickLab) runBuilder(ctx context.Context, t *testing.T, settings map[string]any) (packersdk.Artifact, string,
	error) {
	t.Helper()
	// A copy, as Packer sends one: the SDK renders templates in the lists it is given, which parallel tests share.
	sent, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	var own map[string]any
	if err := json.Unmarshal(sent, &own); err != nil {
		t.Fatal(err)
	}
	var b userdata.Builder
	if _, _, err := b.Prepare(own); err != nil {
		return nil, "", refusedError{err}
	}
	printed := &transcript{BasicUi: packersdk.BasicUi{PB: &packersdk.NoopProgressTracker{}}, onLine: q.onLine}
	artifact, err := b.Run(ctx, printed, &packersdk.DispatchHook{})
	printed.mu.Lock()
	defer printed.mu.Unlock()
	return artifact, printed.text.String(), err
}

// transcript collects the output of a builder.
type transcript struct {
	packersdk.BasicUi

	mu     sync.Mutex
	text   bytes.Buffer
	onLine func(line string) // is called with every line; may be nil
}

func (t *transcript) Say(line string) {
	if t.onLine != nil {
		t.onLine(line)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.WriteString(line + "\n")
}

func (t *transcript) Error(line string) { t.Say(line) }

// addFault adds a fault to the lab.
func (q *quickLab) addFault(t *testing.T, fault string) {
	t.Helper()
	q.control(t, "faults", fault)
}

// reclaim takes a Spot Instance back.
func (q *quickLab) reclaim(t *testing.T, instance, notice string) {
	t.Helper()
	q.control(t, "reclaim?instance="+instance+"&notice="+notice, "")
}

// control has the lab do something that AWS has no call for.
func (q *quickLab) control(t *testing.T, what, body string) {
	t.Helper()
	q.request(t, http.MethodPost, what, body)
}

func (q *quickLab) request(t *testing.T, method, what, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, q.URL+"/_lab/"+what, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+q.Value("AWS_SECRET_ACCESS_KEY"))
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode >= http.StatusBadRequest {
		t.Fatalf("the lab refuses /_lab/%s: %s", what, r.Status)
	}
}

// cancelledAt returns a context that ends when the lab has answered a call of an action.
func (q *quickLab) cancelledAt(t *testing.T, action string) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			for _, call := range q.Calls() {
				if call.Action == action {
					return
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	t.Cleanup(cancel)
	return ctx
}

// sdk returns a configuration for the lab. A call is tried again only when its connection was closed on this side,
// which says nothing about the lab.
func (q *quickLab) sdk(region string) aws.Config {
	closed := retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
		return aws.BoolTernary(errors.Is(err, net.ErrClosed))
	})
	again := retry.NewStandard(func(o *retry.StandardOptions) { o.Retryables = []retry.IsErrorRetryable{closed} })
	return aws.Config{
		Region: region, BaseEndpoint: aws.String(q.URL), Retryer: func() aws.Retryer { return again },
		Credentials: credentials.NewStaticCredentialsProvider(q.Value("AWS_ACCESS_KEY_ID"),
			q.Value("AWS_SECRET_ACCESS_KEY"), ""),
	}
}

// protection returns an image's deregistration protection, and checks that the image cannot be deregistered. Debian's
// awscli is older than the protection and does not show it.
func (q *quickLab) protection(t *testing.T, region, id string) string {
	t.Helper()
	c := ec2.NewFromConfig(q.sdk(region))
	_, err := c.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: &id})
	if err == nil || !strings.Contains(err.Error(), "OperationNotPermitted") {
		t.Errorf("%s can be deregistered: %v", id, err)
	}
	out, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.Images[0].DeregistrationProtection)
}

// left lists everything in the account, in all regions, that a failed bake must not leave.
func (q *quickLab) left(t *testing.T) []string {
	t.Helper()
	var left []string
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, region := range quickRegions {
		c := ec2.NewFromConfig(q.sdk(region))
		images, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Owners: []string{"self"}})
		must(err)
		for _, i := range images.Images {
			left = append(left, fmt.Sprintf("%s %s %s", region, *i.ImageId, *i.Name))
		}
		snapshots, err := c.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}})
		must(err)
		for _, s := range snapshots.Snapshots {
			left = append(left, region+" "+*s.SnapshotId)
		}
		volumes, err := c.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{})
		must(err)
		for _, v := range volumes.Volumes {
			left = append(left, region+" "+*v.VolumeId)
		}
		instances, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
		must(err)
		for _, r := range instances.Reservations {
			for _, i := range r.Instances {
				if i.State.Name != "terminated" {
					left = append(left, region+" "+*i.InstanceId)
				}
			}
		}
		groups, err := c.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{})
		must(err)
		for _, g := range groups.SecurityGroups {
			if *g.GroupName != "default" {
				left = append(left, region+" "+*g.GroupId)
			}
		}
	}
	objects, err := s3.NewFromConfig(q.sdk("us-east-1"), func(o *s3.Options) { o.UsePathStyle = true }).
		ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(q.Value("BAKERY_LAB_BUCKET"))})
	must(err)
	for _, o := range objects.Contents {
		left = append(left, *o.Key)
	}
	return left
}
