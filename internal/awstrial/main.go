// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Command awstrial bakes example/hello in a real AWS account, on the guests and machines that people use most, and
// compares how AWS answers with how the lab does. It makes a bucket and removes it, and removes the images it has made.
// Run it with `make test-aws`, which builds bin/ first:
//
//	go run ./internal/awstrial                     # all bakes, three at a time
//	go run ./internal/awstrial -only 'al2023|xen'  # some of them
//
// It needs the rights of docs/iam/bake.json and staging.json, and those to make and remove a bucket. It writes
// report.md, which can be pasted into an issue, and calls.jsonl, which has each call and its answer without secrets,
// numbers of accounts and names.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// settings are the flags.
type settings struct {
	out      string
	lab      string
	record   string
	only     *regexp.Regexp
	parallel int
	sources  map[string]string
}

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	s, err := parse(os.Args[1:])
	if err == nil {
		err = s.run(ctx, os.Stdout)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "awstrial:", err)
		os.Exit(1)
	}
}

func parse(args []string) (*settings, error) {
	s := &settings{sources: map[string]string{}, only: regexp.MustCompile("")}
	flags := flag.NewFlagSet("awstrial", flag.ContinueOnError)
	flags.StringVar(&s.out, "out", "test-aws", "`directory` for report.md and calls.jsonl")
	flags.StringVar(&s.lab, "lab", filepath.Join("internal", "awstrial", "testdata", "lab.json"),
		"`file` with the answers of the lab")
	flags.StringVar(&s.record, "record", "", "`file` to write the answers to, to compare others with")
	flags.IntVar(&s.parallel, "parallel", 3, "how many bakes at a time")
	flags.Func("only", "do the bakes whose names match this `expression`", func(text string) (err error) {
		s.only, err = regexp.Compile(text)
		return err
	})
	flags.Func("source", "`NAME=ID` of the image for a guest: al2023, debian, rocky or ubuntu", s.addSource)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if s.parallel < 1 {
		return nil, errors.New("-parallel must be at least 1")
	}
	return s, nil
}

func (s *settings) addSource(text string) error {
	name, id, ok := strings.Cut(text, "=")
	if _, known := guests[name]; !ok || !known {
		return errors.New("it must be NAME=ID, with the name of a guest")
	}
	s.sources[name] = id
	return nil
}

// run does all bakes, removes what they have made, and writes the report.
func (s *settings) run(ctx context.Context, out io.Writer) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	lab, err := readBehaviour(s.lab)
	if err != nil {
		return err
	}
	r, a, calls, err := s.prepare(ctx, root)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(r.dir) }()
	if r.sources, err = a.findSources(ctx, s.sources); err != nil {
		return err
	}
	fmt.Fprintf(out, "Run %s in %s: %d bakes of some minutes on micro machines, which cost a few cents.\n"+
		"Everything carries the tag bakery-test-aws = %s and is removed at the end.\n", r.id, a.region,
		len(s.chosen()), r.id)
	if err := a.makeBucket(ctx, r.bucket); err != nil {
		return err
	}
	found := &report{run: r.id, region: a.region, results: s.bakeAll(ctx, r, out)}
	s.cleanUp(ctx, r, a, found)
	found.calls = summarize(calls.recorded())
	found.differences = compare(found.calls, lab)
	if err := s.write(found, calls.recorded()); err != nil {
		return err
	}
	fmt.Fprintf(out, "The report is %s.\n", filepath.Join(s.out, "report.md"))
	if !found.ok() {
		return errors.New("not everything went as it has to: see the report")
	}
	return nil
}

// prepare makes what a run needs on this computer.
func (s *settings) prepare(ctx context.Context, root string) (*run, *account, *recorder, error) {
	id := make([]byte, 6)
	_, _ = rand.Read(id) // it never fails
	dir, err := os.MkdirTemp("", "bakery-test-aws-")
	if err != nil {
		return nil, nil, nil, err
	}
	r := &run{id: hex.EncodeToString(id), dir: dir, root: root}
	r.bucket = "bakery-test-aws-" + r.id
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read the settings of AWS: %w", err)
	}
	if c.Region == "" {
		return nil, nil, nil, errors.New("set AWS_REGION to the region to bake in")
	}
	a := &account{ec2: ec2.NewFromConfig(c), region: c.Region,
		s3: s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = os.Getenv("AWS_ENDPOINT_URL") != "" })}
	calls, env, err := recordCalls(ctx, dir, os.Getenv("AWS_ENDPOINT_URL"))
	if err != nil {
		return nil, nil, nil, err
	}
	r.env = append(os.Environ(), "PACKER_PLUGIN_PATH="+filepath.Join(root, "bin", "plugins"), "CHECKPOINT_DISABLE=1",
		"AWS_REGION="+c.Region)
	r.env = append(r.env, env...)
	return r, a, calls, os.WriteFile(r.templateFile(), template, 0o600)
}

// chosen returns the bakes to do.
func (s *settings) chosen() (chosen []trial) {
	for _, t := range trials {
		if s.only.MatchString(t.name) {
			chosen = append(chosen, t)
		}
	}
	return chosen
}

// bakeAll does the bakes, some at a time, and prints how each has ended.
func (s *settings) bakeAll(ctx context.Context, r *run, out io.Writer) []result {
	chosen := s.chosen()
	results := make([]result, len(chosen))
	slots := make(chan struct{}, s.parallel)
	var all sync.WaitGroup
	var printing sync.Mutex
	for i, t := range chosen {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i] = r.bake(ctx, t)
			printing.Lock()
			defer printing.Unlock()
			how := results[i].problem
			if how == "" {
				how = "as expected"
			}
			fmt.Fprintf(out, "%s: %.0f s, %s\n", t.name, results[i].seconds, how)
		})
	}
	all.Wait()
	return results
}

// cleanUp removes the images and the bucket, also after Ctrl-C, and looks for what is left.
func (s *settings) cleanUp(ctx context.Context, r *run, a *account, found *report) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
	defer cancel()
	note := func(err error) {
		if err != nil {
			found.problems = append(found.problems, err.Error())
		}
	}
	for _, t := range found.results {
		if t.image != "" {
			note(a.removeImage(ctx, t.image))
		}
	}
	note(a.removeBucket(ctx, r.bucket))
	left, err := a.leftBehind(ctx, r.id)
	note(err)
	found.left = left
}

// write writes the files of the run.
func (s *settings) write(found *report, calls []exchange) error {
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	var text strings.Builder
	found.write(&text)
	errs := []error{
		os.WriteFile(filepath.Join(s.out, "report.md"), []byte(text.String()), 0o644),
		writeCalls(filepath.Join(s.out, "calls.jsonl"), calls),
	}
	if s.record != "" {
		errs = append(errs, writeBehaviour(s.record, found.calls))
	}
	return errors.Join(errs...)
}
