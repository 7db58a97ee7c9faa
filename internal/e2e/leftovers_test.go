// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
)

// resource is one thing in the account of a lab.
type resource = labserver.Resource

// config leads the AWS SDK to the lab.
func (l *lab) config() aws.Config {
	return aws.Config{
		Region: l.values["AWS_REGION"], BaseEndpoint: aws.String(l.values["AWS_ENDPOINT_URL"]),
		Credentials: credentials.NewStaticCredentialsProvider(
			l.values["AWS_ACCESS_KEY_ID"], l.values["AWS_SECRET_ACCESS_KEY"], ""),
	}
}

// state lists everything in the account of the lab, in all regions.
func (l *lab) state(ctx context.Context) ([]resource, error) {
	answer, err := l.request(ctx, http.MethodGet, "state", "")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var all []resource
	err = json.NewDecoder(answer.Body).Decode(&all)
	return all, err
}

// request asks the lab for something that AWS has no call for.
func (l *lab) request(ctx context.Context, method, path, body string) (*http.Response, error) {
	url := l.values["AWS_ENDPOINT_URL"] + "/_lab/" + path
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+l.values["AWS_SECRET_ACCESS_KEY"])
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= http.StatusBadRequest {
		_ = answer.Body.Close()
		return nil, fmt.Errorf("the lab refuses %s %s: %s", method, path, answer.Status)
	}
	return answer, nil
}

// control has the lab do something that AWS has no call for.
func (l *lab) control(t *testing.T, method, path, body string) {
	t.Helper()
	answer, err := l.request(t.Context(), method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
}

// images lists the ids of the images whose name is, or begins with, a name ("NAME" or "PREFIX*"), in whatever state.
func (l *lab) images(t *testing.T, name string) []string {
	t.Helper()
	all, err := l.state(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	prefix, isPrefix := strings.CutSuffix(name, "*")
	var ids []string
	for _, r := range all {
		if r.Kind == "image" && (r.Name == name || isPrefix && strings.HasPrefix(r.Name, prefix)) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// waitFor waits until something in the account of the lab has a state. "" is for what has to be gone.
func (l *lab) waitFor(ctx context.Context, id, state string) error {
	// On a new computer, the first machine of a Debian release is pending until the lab has made its base image. That
	// took 5 min 38 s beside the other tests.
	const limit = 20 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for ; ; time.Sleep(200 * time.Millisecond) {
		all, err := l.state(ctx)
		if err != nil {
			return fmt.Errorf("wait until %s is %s: %w", id, state, err)
		}
		i := slices.IndexFunc(all, func(r resource) bool { return r.ID == id })
		if i < 0 && state == "" || i >= 0 && (all[i].State == state || state == "" && all[i].Gone()) {
			return nil
		}
	}
}

// mustWaitFor is waitFor for what the test cannot go on without.
func (l *lab) mustWaitFor(t *testing.T, id, state string) {
	t.Helper()
	if err := l.waitFor(t.Context(), id, state); err != nil {
		t.Fatal(err)
	}
}

// leftovers lists what the bakes of a test and its subtests have left behind: everything that has the test's name or
// the id of one of its bakes, but for images and their snapshots.
func (l *lab) leftovers(t *testing.T) []resource {
	t.Helper()
	prefix, bakes := namePrefix(t), l.bakes.of(t.Name())
	left, err := l.findLeftovers(t.Context(), func(r resource) bool {
		text := strings.Join([]string{r.ID, r.Name, r.Tags["Name"], r.Tags["bakery:bake-id"]}, " ")
		return strings.Contains(text, prefix) ||
			slices.ContainsFunc(bakes, func(id string) bool { return strings.Contains(text, id) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// findLeftovers lists what is left behind of what a function returns true for.
func (l *lab) findLeftovers(ctx context.Context, of func(resource) bool) ([]resource, error) {
	all, err := l.state(ctx)
	if err != nil {
		return nil, err
	}
	var used []string
	for _, region := range regionsOfImages(all) {
		snapshots, err := l.snapshotsOfImages(ctx, region)
		if err != nil {
			return nil, err
		}
		used = append(used, snapshots...)
	}
	return slices.DeleteFunc(all, func(r resource) bool {
		limited := r.Kind == "role" && strings.HasPrefix(r.ID, limitedRole) // made by tests, see assume
		return !of(r) || r.Gone() || r.Kind == "image" || r.Kind == "bucket" || limited || slices.Contains(used, r.ID)
	}), nil
}

// regionsOfImages lists the regions that have an image.
func regionsOfImages(all []resource) (regions []string) {
	for _, r := range all {
		if r.Kind == "image" && !slices.Contains(regions, r.Region) {
			regions = append(regions, r.Region)
		}
	}
	return regions
}

// snapshotsOfImages lists the snapshots in a region that belong to an image.
func (l *lab) snapshotsOfImages(ctx context.Context, region string) ([]string, error) {
	out, err := l.ec2(region).DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, image := range out.Images {
		for _, d := range image.BlockDeviceMappings {
			if d.Ebs != nil {
				ids = append(ids, aws.ToString(d.Ebs.SnapshotId))
			}
		}
	}
	return ids, nil
}
