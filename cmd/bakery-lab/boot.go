// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// bootFinished returns the file that cloud-init writes last. It is in the instance's own directory: while the machine
// boots, /var/lib/cloud/instance may still be a link to that of another instance, from the image.
func bootFinished(id string) string { return "/var/lib/cloud/instances/" + id + "/boot-finished" }

func boot(args []string) (int, error) {
	f := flags("boot")
	userData := f.String("user-data", "", "`FILE` with the machine's user data")
	name := f.String("name", "", "`NAME` tag of the instance")
	kind := f.String("type", "t3.nano", "instance `TYPE`")
	profile := f.String("profile", "", "instance profile `NAME`")
	with := ""
	f.Func("runner", "run it with `nspawn` or qemu instead of the lab's runner; a lab without root has qemu only",
		func(name string) error {
			with = name
			return new(runner).parse(name)
		})
	wait := f.Bool("wait", false, "wait until cloud-init has finished")
	limit := f.Duration("timeout", 5*time.Minute, "how long to wait")
	words, rest, err := parse(f, args)
	if err != nil {
		return usageExit, err
	}
	if len(words) != 1 || len(rest) > 0 {
		return usageError("boot")
	}
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	c, err := connect(ctx)
	if err != nil {
		return 1, err
	}
	image, err := c.image(ctx, words[0])
	if err != nil {
		return 1, err
	}
	in := &ec2.RunInstancesInput{
		ImageId: &image, InstanceType: types.InstanceType(*kind), MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		TagSpecifications: tags(*name, with),
	}
	if *profile != "" {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: profile}
	}
	if *userData != "" {
		text, err := os.ReadFile(*userData)
		if err != nil {
			return 1, fmt.Errorf("read the user data: %w", err)
		}
		in.UserData = aws.String(base64.StdEncoding.EncodeToString(text))
	}
	out, err := c.ec2.RunInstances(ctx, in)
	if err != nil {
		return 1, err
	}
	id := *out.Instances[0].InstanceId
	fmt.Println(id)
	if *wait {
		return 0, c.waitForBoot(ctx, id)
	}
	return 0, nil
}

// image returns the id of an image that is given by its id or its name; of several with that name, the newest.
func (c client) image(ctx context.Context, name string) (string, error) {
	if strings.HasPrefix(name, "ami-") {
		return name, nil
	}
	out, err := c.ec2.DescribeImages(ctx,
		&ec2.DescribeImagesInput{Filters: []types.Filter{{Name: aws.String("name"), Values: []string{name}}}})
	if err != nil {
		return "", err
	}
	if len(out.Images) == 0 {
		return "", fmt.Errorf("there is no image named %s; bakery-lab images lists them", name)
	}
	newest := slices.MaxFunc(out.Images,
		func(a, b types.Image) int { return strings.Compare(*a.CreationDate, *b.CreationDate) })
	return *newest.ImageId, nil
}

// tags returns the tags of the instance.
func tags(name, with string) []types.TagSpecification {
	var all []types.Tag
	for key, value := range map[string]string{"Name": name, cloud.RunnerTag: with} {
		if value != "" {
			all = append(all, types.Tag{Key: aws.String(key), Value: aws.String(value)})
		}
	}
	if all == nil {
		return nil
	}
	return []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: all}}
}

// waitForBoot waits until cloud-init has finished on a machine. Its error has the end of the console.
func (c client) waitForBoot(ctx context.Context, id string) error {
	for {
		i, err := c.describe(ctx, id)
		if err != nil {
			return c.withConsole(id, fmt.Errorf("wait for %s to boot: %w", id, err))
		}
		switch i.State.Name {
		case types.InstanceStateNameRunning:
			if exit, err := c.exec(ctx, id, []string{"test", "-e", bootFinished(id)}, nil, io.Discard,
				io.Discard); err == nil && exit == 0 {
				return nil
			}
		case types.InstanceStateNamePending:
		default:
			return c.withConsole(id, fmt.Errorf("wait for %s to boot: it is %s (%s)", id, i.State.Name, reasonOf(i)))
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return c.withConsole(id, fmt.Errorf("wait for %s to boot: %w; --timeout sets how long", id, ctx.Err()))
		}
	}
}

// withConsole adds the end of the console to an error.
func (c client) withConsole(id string, err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // the caller's context may have ended
	defer cancel()
	text, fail := c.console(ctx, id)
	if fail != nil || text == "" {
		return err
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return fmt.Errorf("%w; its console ends with\n%s", err, strings.Join(lines[max(0, len(lines)-15):], "\n"))
}
