// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
)

// poll is the pause between two requests of a command that waits. Machines on this computer boot in seconds.
const poll = 200 * time.Millisecond

// client is a client of the running lab that is in the environment.
type client struct {
	endpoint, secret string
	ec2              *ec2.Client
}

func connect(ctx context.Context) (client, error) {
	endpoint, secret := os.Getenv("BAKERY_LAB_ENDPOINT"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	if endpoint == "" || secret == "" {
		return client{}, errors.New("no lab here: use this inside bakery-lab run -- COMMAND (a shell, for example),\n" +
			"or start bakery-lab serve --env-file FILE and source the file")
	}
	c, err := config.LoadDefaultConfig(ctx, config.WithBaseEndpoint(endpoint))
	if err != nil {
		return client{}, fmt.Errorf("read the AWS configuration: %w", err)
	}
	return client{endpoint, secret, ec2.NewFromConfig(c)}, nil
}

// control sends a request to the lab's own API, for what AWS has no call for.
func (c client) control(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.endpoint+"/_lab/"+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.secret)
	answer, err := http.DefaultClient.Do(r) //nolint:gosec // the lab's address is from the environment
	if err != nil {
		return nil, fmt.Errorf("ask the lab: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		why, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<16)) // no response is as long
		return nil, fmt.Errorf("ask the lab: %s: %s", answer.Status, bytes.TrimSpace(why))
	}
	return answer, nil
}

// exec runs a command on a machine.
func (c client) exec(ctx context.Context, instance string, argv []string, in io.Reader, out, errs io.Writer) (int,
	error) {
	q := url.Values{"instance": {instance}, "arg": argv}
	answer, err := c.control(ctx, http.MethodPost, "exec?"+q.Encode(), in)
	if err != nil {
		return 1, err
	}
	defer answer.Body.Close()
	return lab.ReadExec(answer.Body, out, errs)
}

// describe returns an instance.
func (c client) describe(ctx context.Context, id string) (types.Instance, error) {
	out, err := c.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		return types.Instance{}, err
	}
	return out.Reservations[0].Instances[0], nil
}

func (c client) console(ctx context.Context, id string) (string, error) {
	out, err := c.ec2.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: &id, Latest: aws.Bool(true)})
	if err != nil {
		return "", err
	}
	text, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
	return string(text), err
}

func console(args []string) (int, error) {
	words, rest, err := parse(flags("console"), args)
	if err != nil {
		return usageExit, err
	}
	if len(words) != 1 || len(rest) > 0 {
		return usageError("console")
	}
	c, err := connect(context.Background())
	if err != nil {
		return 1, err
	}
	text, err := c.console(context.Background(), words[0])
	fmt.Print(text)
	return 0, err
}

func instances(args []string) (int, error) {
	words, rest, err := parse(flags("instances"), args)
	if err != nil {
		return usageExit, err
	}
	if len(words)+len(rest) > 0 {
		return usageError("instances")
	}
	c, err := connect(context.Background())
	if err != nil {
		return 1, err
	}
	out, err := c.ec2.DescribeInstances(context.Background(), &ec2.DescribeInstancesInput{})
	if err != nil {
		return 1, err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "INSTANCE\tNAME\tSTATE\tAMI\tLAUNCHED (UTC)\tREASON")
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", *i.InstanceId, nameOf(i), i.State.Name, *i.ImageId,
				i.LaunchTime.UTC().Format("15:04:05"), reasonOf(i))
		}
	}
	return 0, w.Flush()
}

func nameOf(i types.Instance) string {
	for _, t := range i.Tags {
		if aws.ToString(t.Key) == "Name" {
			return aws.ToString(t.Value)
		}
	}
	return "-"
}

func reasonOf(i types.Instance) string {
	if i.StateReason == nil {
		return ""
	}
	return aws.ToString(i.StateReason.Code)
}

func execute(args []string) (int, error) {
	f := flags("exec")
	input := f.Bool("i", false, "pass standard input to the command")
	words, argv, err := parse(f, args)
	if err != nil {
		return usageExit, err
	}
	if len(words) != 1 || len(argv) == 0 {
		return usageError("exec")
	}
	c, err := connect(context.Background())
	if err != nil {
		return 1, err
	}
	var in io.Reader
	if *input {
		in = struct{ io.Reader }{os.Stdin} // without Close, so that standard input stays open
	}
	return c.exec(context.Background(), words[0], argv, in, os.Stdout, os.Stderr)
}

func stop(args []string) (int, error) {
	return endMachines("stop", args, types.InstanceStateNameStopped,
		func(ctx context.Context, c client, ids []string) error {
			_, err := c.ec2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: ids})
			return err
		})
}

func terminate(args []string) (int, error) {
	return endMachines("terminate", args, types.InstanceStateNameTerminated,
		func(ctx context.Context, c client, ids []string) error {
			_, err := c.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: ids})
			return err
		})
}

// endMachines stops or terminates machines, and waits for the state.
func endMachines(name string, args []string, want types.InstanceStateName,
	ask func(context.Context, client, []string) error) (int, error) {
	f := flags(name)
	limit := f.Duration("timeout", 3*time.Minute, "how long to wait")
	words, rest, err := parse(f, args)
	if err != nil {
		return usageExit, err
	}
	if len(words) == 0 || len(rest) > 0 {
		return usageError(name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	c, err := connect(ctx)
	if err != nil {
		return 1, err
	}
	if err := ask(ctx, c, words); err != nil {
		return 1, err
	}
	for _, id := range words {
		for {
			i, err := c.describe(ctx, id)
			if err != nil {
				return 1, err
			}
			if i.State.Name == want || i.State.Name == types.InstanceStateNameTerminated {
				break
			}
			time.Sleep(poll)
		}
	}
	return 0, nil
}

func calls(args []string) (int, error) {
	words, rest, err := parse(flags("calls"), args)
	if err != nil {
		return usageExit, err
	}
	if len(words)+len(rest) > 0 {
		return usageError("calls")
	}
	c, err := connect(context.Background())
	if err != nil {
		return 1, err
	}
	answer, err := c.control(context.Background(), http.MethodGet, "calls", nil)
	if err != nil {
		return 1, err
	}
	defer answer.Body.Close()
	var all []lab.Call
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		return 1, fmt.Errorf("read the lab's calls: %w", err)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, one := range all {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", one.Time.UTC().Format("15:04:05.000"), one.Service,
			one.Action, one.Region, one.Status, one.Code+one.Detail)
	}
	return 0, w.Flush()
}
