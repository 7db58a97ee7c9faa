// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// trial is one bake of example/hello.
type trial struct {
	name         string
	guest        string // a name of guests
	instanceType string
	isStaged     bool // its log, and so its verdict, goes through S3 as well
	fails        bool // its install.sh exits with 7
}

// trials are all bakes: each guest on Nitro, and Amazon Linux in every way there is.
var trials = []trial{
	{name: "al2023", guest: "al2023", instanceType: "t3.micro"},
	{name: "debian", guest: "debian", instanceType: "t3.nano"},
	{name: "ubuntu", guest: "ubuntu", instanceType: "t3.micro"},
	{name: "rocky", guest: "rocky", instanceType: "t3.micro", isStaged: true},
	{name: "al2023-staged", guest: "al2023", instanceType: "t3.micro", isStaged: true},
	{name: "al2023-fails", guest: "al2023", instanceType: "t3.micro", fails: true},
	{name: "al2023-xen", guest: "al2023", instanceType: "t2.micro"},
	{name: "debian-xen-staged", guest: "debian", instanceType: "t2.micro", isStaged: true},
	{name: "rocky-console", guest: "rocky", instanceType: "t3.micro"},
}

// failure is how install.sh ends in a bake that must fail.
const failure = 7

//go:embed testdata/trial.pkr.hcl
var template []byte

// run is one run of all trials.
type run struct {
	id      string   // of this run: the value of the tag bakery-test-aws, and a part of all names
	dir     string   // for temporary files
	root    string   // of this repository
	env     []string // of packer
	bucket  string
	sources map[string]string // the id of the image of each guest, or what resolves to it
}

// result is what became of a trial.
type result struct {
	trial
	source  string
	seconds float64
	image   string // "" when none was made
	problem string // "" when the bake ended as it has to
	output  string // of packer
}

// bake runs one trial.
func (r *run) bake(ctx context.Context, t trial) result {
	out := result{trial: t, source: r.sources[t.guest]}
	source, err := r.imageSource(t)
	if err != nil {
		out.problem = err.Error()
		return out
	}
	file := filepath.Join(r.dir, t.name+".env")
	staging := ""
	if t.isStaged {
		staging = "s3://" + r.bucket + "/" + t.name
	}
	args := []string{"build", "-color=false"}
	for name, value := range map[string]string{
		"image_source": source, "source_ami": out.source, "instance_type": t.instanceType, "run": r.id,
		"ami_name": "bakery-test-aws-" + r.id + "-" + t.name, "output_file": file, "staging_url": staging,
	} {
		args = append(args, "-var", name+"="+value)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(r.root, "bin", "packer"), append(args, r.templateFile())...)
	// Packer removes what it has made when it is interrupted.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Minute
	cmd.Env, cmd.Dir = r.env, r.dir
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	began := time.Now()
	err = cmd.Run()
	out.seconds, out.output = time.Since(began).Seconds(), text.String()
	out.image = imageIn(file)
	out.problem = judge(t, err, out.output, out.image)
	return out
}

func (r *run) templateFile() string { return filepath.Join(r.dir, "trial.pkr.hcl") }

// imageSource returns example/hello's, or a copy of it whose install.sh fails.
func (r *run) imageSource(t trial) (string, error) {
	hello := filepath.Join(r.root, "example", "hello", "image")
	if !t.fails {
		return hello, nil
	}
	dir := filepath.Join(r.dir, t.name)
	if err := os.CopyFS(dir, os.DirFS(hello)); err != nil {
		return "", fmt.Errorf("copy example/hello: %w", err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho 'this step fails on purpose'\nexit %d\n", failure)
	return dir, os.WriteFile(filepath.Join(dir, "script", "install.sh"), []byte(script), 0o700)
}

// amiID matches the line with the image in an output_file.
var amiID = regexp.MustCompile(`(?m)^AMIID='?(ami-[0-9a-f]+)'?$`)

// imageIn returns the image that an output_file names.
func imageIn(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	if m := amiID.FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}

// judge returns what is wrong with how a bake has ended.
func judge(t trial, err error, output, image string) string {
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		return err.Error()
	case t.fails && err == nil:
		return "the bake has succeeded, but its install.sh fails"
	case t.fails && !strings.Contains(output, fmt.Sprintf("install.sh failed with exit status %d", failure)):
		return "the bake has failed, but not for its install.sh"
	case t.fails:
		return ""
	case err != nil:
		return "the bake has failed"
	case image == "":
		return "packer ended well, but names no image"
	}
	return ""
}
