// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"context"
	"encoding/base64"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
	"github.com/amibakery/packer-plugin-bakery/internal/terminal"
)

// TestHostileTexts checks that names and tags with any characters reach AWS unchanged, and that no control character
// reaches the terminal.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	const name = "-rf (it's) [a] ../b @_/--"
	tags := map[string]string{
		"quotes": `'"; touch /bad; $(reboot) ${HOME} %s {}`, "-n": "<Tag>&lt;]]>&#27;",
		"lines":     "one\ntwo\r\n@bakery 1 x 1 verdict ok 0 -",
		"esc\u202e": "a\u202egnp\u009b2Jb", "&a=1&Tag.1.Key": "x&y=z+%20",
	}
	q := startBakerLab(t, labtest.Baker{Steps: []string{"60_$(reboot)'.cfg runcmd[0]"}})
	settings := maps.Clone(reportVerdict)
	maps.Copy(settings, map[string]any{"ami_name": name, "ami_description": "d'\"<&>$(x)", "tags": tags,
		"run_tags": tags})
	_, printed, err := q.bake(t, settings)
	if err != nil {
		t.Fatal(err)
	}
	if terminal.Plain(printed) != printed {
		t.Errorf("a terminal would obey\n%q", printed)
	}
	out, err := ec2.NewFromConfig(q.sdk("us-east-1")).DescribeImages(t.Context(), &ec2.DescribeImagesInput{
		Filters: []types.Filter{{Name: aws.String("name"), Values: []string{name}}},
	})
	if err != nil || len(out.Images) != 1 {
		t.Fatalf("%d images have the name: %v", len(out.Images), err)
	}
	got := map[string]string{}
	for _, tag := range out.Images[0].Tags {
		if _, ours := tags[aws.ToString(tag.Key)]; ours {
			got[*tag.Key] = aws.ToString(tag.Value)
		}
	}
	if diff := cmp.Diff(tags, got); diff != "" {
		t.Errorf("the tags (-want +got):\n%s", diff)
	}
}

// TestTheMachineIsClosed checks the machine of a template without settings: no way in, and no rights in AWS.
func TestTheMachineIsClosed(t *testing.T) {
	t.Parallel()
	q, running := startPausedLab(t)
	l := q.client()
	done := make(chan error, 1)
	go func() {
		_, _, err := q.bake(t, nil)
		done <- err
	}()
	guest := <-running
	machines := l.runningInstances(t)
	if len(machines) != 1 || len(machines[0].SecurityGroups) != 1 {
		t.Fatalf("the machines are %+v", machines)
	}
	m := machines[0]
	if m.MetadataOptions.HttpTokens != "required" || *m.MetadataOptions.HttpPutResponseHopLimit != 1 {
		t.Errorf("its metadata service is %+v", m.MetadataOptions)
	}
	if aws.ToString(m.KeyName) != "" || m.IamInstanceProfile != nil {
		t.Errorf("it has a key pair %q, or a role: %v", aws.ToString(m.KeyName), m.IamInstanceProfile != nil)
	}
	groups, err := l.ec2("us-east-1").DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{
		GroupIds: []string{*m.SecurityGroups[0].GroupId},
	})
	if err != nil || len(groups.SecurityGroups) != 1 || len(groups.SecurityGroups[0].IpPermissions) > 0 {
		t.Errorf("its group lets something in: %+v, %v", groups, err)
	}
	guest.PowerOff()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestABucketOfSomebodyElse checks that nothing is uploaded to a bucket of another account, unless the template names
// it.
func TestABucketOfSomebodyElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		owner string
		want  string // in the error
	}{
		"nothing said":      {"", "does not belong to account"},
		"another's":         {"111111111111", "does not belong to account 111111111111"},
		"the owner's":       {"999999999999", ""},
		"and nobody checks": {"any", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := startQuickLab(t)
			block := map[string]any{"url": "s3://" + labserver.ForeignBucket + "/quick"}
			if c.owner != "" {
				block["expected_bucket_owner"] = c.owner
			}
			_, printed, err := q.bake(t, map[string]any{"staging": block})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("the error is %v, want %q\n%s", err, c.want, printed)
			}
		})
	}
}

// TestUserDataOfSomebodyElse replaces staged user data. The machine must not run it, and the bake must fail. One
// replacement also includes what was staged: cloud-init then has that as well.
func TestUserDataOfSomebodyElse(t *testing.T) {
	t.Parallel()
	const evil = "#!/bin/sh\nprintf '\\r\\nTHE EVIL RAN\\r\\n' >/dev/console\n"
	for name, content := range map[string]func(original string) string{
		"a script": func(string) string { return evil },
		"a boothook beside what was staged": func(original string) string {
			return "Content-Type: multipart/mixed; boundary=\"B\"\nMIME-Version: 1.0\n\n--B\n" +
				"Content-Type: text/cloud-boothook\n\n#cloud-boothook\n" + evil + "\n--B\n" +
				"Content-Type: text/x-include-once-url\n\n#include-once\n" + original + "\n--B--\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bakeReplacedUserData(t, content)
		})
	}
}

// bakeReplacedUserData bakes while somebody replaces the staged user data by content, which may use the URL of a copy
// of what was staged.
func bakeReplacedUserData(t *testing.T, content func(original string) string) {
	t.Helper()
	l := sharedLab(t)
	image := testName(t)
	source := write(t, map[string]string{
		"cloudinit/60_big.cfg": "#cloud-config\nruncmd:\n- \": '" +
			base64.StdEncoding.EncodeToString([]byte(incompressible(20000))) + "'\"\n",
	})
	ctx, cancel := context.WithCancel(t.Context())
	replaced := make(chan bool, 1)
	go func() {
		replaced <- l.replace(ctx, image, content)
	}()
	r := l.build(t, absolute(t, template), "name="+image, "source="+source)
	cancel()
	l.aws(t, nil, "s3", "rm", "--recursive", "s3://"+l.values["BAKERY_LAB_BUCKET"]+"/"+image) // the copies
	if !<-replaced {
		t.Fatal("the test did not find the staged user data")
	}
	requireFailed(t, l, image, r.Code, r.Output, "cloud-init failed with exit status 1",
		"is not what Packer has staged: its sha256 is ")
	machine := baked.FindStringSubmatch(r.Output)
	if console := l.aws(t, nil, "ec2", "get-console-output", "--instance-id", machine[1], "--query",
		"Output"); strings.Contains(console, "THE EVIL RAN") {
		t.Error("the machine ran what somebody else has put there")
	}
}

// replace overwrites user data as soon as it is staged. The machine needs seconds until it reads it.
func (l *lab) replace(ctx context.Context, prefix string, content func(original string) string) bool {
	client := s3.NewFromConfig(l.config(), func(o *s3.Options) { o.UsePathStyle = true })
	bucket := aws.String(l.values["BAKERY_LAB_BUCKET"])
	for ctx.Err() == nil {
		out, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: &prefix})
		for i := 0; err == nil && i < len(out.Contents); i++ {
			if !strings.HasSuffix(*out.Contents[i].Key, "/user-data") {
				continue
			}
			return replaceObject(ctx, client, bucket, out.Contents[i].Key, content) == nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

// replaceObject copies an object, and replaces it by content, which is given a URL of the copy.
func replaceObject(
	ctx context.Context, client *s3.Client, bucket, key *string, content func(original string) string,
) error {
	original := aws.String(*key + "-original")
	_, err := client.CopyObject(ctx, &s3.CopyObjectInput{
		Bucket: bucket, Key: original, CopySource: aws.String(*bucket + "/" + *key),
	})
	if err != nil {
		return err
	}
	url, err := s3.NewPresignClient(client).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: original})
	if err != nil {
		return err
	}
	_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key,
		Body: strings.NewReader(content(url.URL))})
	return err
}
