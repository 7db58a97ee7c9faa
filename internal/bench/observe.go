// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// timeline has the time when a machine or an image was first seen in each state.
type timeline map[string]time.Time

// add records the time of a state that was not seen before.
func (t timeline) add(state string) {
	if _, known := t[state]; !known && state != "" {
		t[state] = time.Now()
	}
}

// pollInterval is how often the observer polls. The error of its times is far below the compared times.
const pollInterval = 100 * time.Millisecond

// observe polls the machine with a tag and the image with a name until ctx ends. States that it does not see are
// missing.
func observe(ctx context.Context, cfg aws.Config, tag, image string) timeline {
	seen, client := timeline{}, ec2.NewFromConfig(cfg)
	machines := &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("tag:Contender"),
		Values: []string{tag}}}}
	images := &ec2.DescribeImagesInput{Filters: []types.Filter{{Name: aws.String("name"), Values: []string{image}}}}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		if out, err := client.DescribeInstances(ctx, machines); err == nil {
			for _, r := range out.Reservations {
				for i := range r.Instances {
					seen.add(string(r.Instances[i].State.Name))
				}
			}
		}
		if out, err := client.DescribeImages(ctx, images); err == nil {
			for i := range out.Images {
				seen.add(string(out.Images[i].State))
			}
		}
		select {
		case <-ctx.Done():
			return seen
		case <-ticker.C:
		}
	}
}

// call is one request that the lab has received.
type call struct {
	Time    time.Time `json:"time"`
	Service string    `json:"service"`
	Action  string    `json:"action"`
	Who     string    `json:"who"`
}

// callsOf returns the calls of one user of the lab, in order.
func callsOf(ctx context.Context, who string) ([]call, error) {
	url := os.Getenv("AWS_ENDPOINT_URL") + "/_lab/calls"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody) //nolint:gosec // the lab
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("AWS_SECRET_ACCESS_KEY"))
	response, err := http.DefaultClient.Do(request) //nolint:gosec // as above
	if err != nil {
		return nil, fmt.Errorf("ask the lab for its calls: %w", err)
	}
	defer response.Body.Close()
	var all, mine []call
	if err := json.NewDecoder(response.Body).Decode(&all); err != nil {
		return nil, fmt.Errorf("read the lab's calls: %s: %w", response.Status, err)
	}
	for _, c := range all {
		if c.Who == who {
			mine = append(mine, c)
		}
	}
	return mine, nil
}
