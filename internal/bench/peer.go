// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// peerPlugins is where tools/peer/build.sh installs the real amazon-ebs and this plugin.
const peerPlugins = "bin/peer/plugins"

// work is the user data of both bakes. With the few seconds of the boot, it takes about 60 s.
const work = "#cloud-config\nruncmd:\n- sleep 52\n"

// contender is a builder that is compared. All contenders bake the same work at the same time, on the same lab.
type contender struct {
	name     string // of the builder
	template string // the settings of its source; %s is the directory of its files
	files    map[string]string
}

// amazon-ebs without SSH has no verdict, so its user data must power the machine off.
var contenders = []contender{
	{
		name: "amazon-ebs",
		template: `
  communicator          = "none"
  user_data_file        = "%s/work.cfg"
  disable_stop_instance = true
  shutdown_behavior     = "stop"
`,
		files: map[string]string{"work.cfg": work + "power_state:\n  mode: poweroff\n"},
	},
	{
		name:     "bakery-userdata",
		template: "  image_source = \"%s/image\"\n",
		files:    map[string]string{"image/cloudinit/60_work.cfg": work},
	},
}

// outcome is the result of a contender's bake.
type outcome struct {
	name       string
	begin, end time.Time
	seen       timeline
	calls      []call
}

func benchPeer(ctx context.Context, b *bench) error {
	if os.Getenv("BAKERY_LAB_AMI") == "" {
		return errors.New("this needs a lab with realistic delays: run make bench-peer")
	}
	outcomes, errs := make([]outcome, len(contenders)), make([]error, len(contenders))
	var bakes sync.WaitGroup
	for i, c := range contenders {
		bakes.Go(func() { outcomes[i], errs[i] = c.bake(ctx, b) })
	}
	bakes.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return printOutcomes(b.out, outcomes)
}

// bake runs packer build, and observes the machine and the image meanwhile. The lab distinguishes the calls of the
// contenders by their credentials.
func (c *contender) bake(ctx context.Context, b *bench) (outcome, error) {
	o := outcome{name: c.name}
	image := fmt.Sprintf("bench-peer-%s-%d", c.name, os.Getpid())
	template, err := c.write(filepath.Join(b.dir, c.name), image)
	if err != nil {
		return o, err
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return o, fmt.Errorf("load the AWS configuration: %w", err)
	}
	env, who, err := credentials(ctx, cfg, c.name)
	if err != nil {
		return o, err
	}
	observing, stop := context.WithCancel(ctx)
	var observer sync.WaitGroup
	observer.Go(func() { o.seen = observe(observing, cfg, c.name, image) })
	o.begin = time.Now()
	err = c.packer(ctx, b, env, template)
	o.end = time.Now()
	stop()
	observer.Wait()
	if err != nil {
		return o, err
	}
	o.calls, err = callsOf(ctx, who)
	return o, err
}

// write makes the template and its files, and returns the template's path.
func (c *contender) write(dir, image string) (string, error) {
	files := map[string]string{"template.pkr.hcl": fmt.Sprintf(`
source %q "peer" {
  source_ami    = %q
  instance_type = "t3.nano"
  ami_name      = %q
  run_tags      = { Contender = %q }
%s}
build {
  sources = ["source.%s.peer"]
}
`, c.name, os.Getenv("BAKERY_LAB_AMI"), image, c.name, fmt.Sprintf(c.template, dir), c.name)}
	maps.Copy(files, c.files)
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "template.pkr.hcl"), nil
}

func (c *contender) packer(ctx context.Context, b *bench, env []string, template string) error {
	plugins, err := filepath.Abs(peerPlugins)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, packerProgram, "build", template)
	cmd.Env = append(os.Environ(), env...)
	cmd.Env = append(cmd.Env, "CHECKPOINT_DISABLE=1", "PACKER_CONFIG_DIR="+b.dir, "PACKER_PLUGIN_PATH="+plugins)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("packer build with %s: %w (tools/peer/build.sh?)\n%s", c.name, err, out.String())
	}
	return nil
}

// credentials returns an environment with which the lab sees a program as a separate user, and the name of that user.
func credentials(ctx context.Context, cfg aws.Config, name string) (env []string, who string, err error) {
	out, err := sts.NewFromConfig(cfg).AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::123456789012:role/bench"), RoleSessionName: aws.String(name),
	})
	if err != nil {
		return nil, "", fmt.Errorf("get credentials for %s: %w", name, err)
	}
	return []string{
		"AWS_ACCESS_KEY_ID=" + aws.ToString(out.Credentials.AccessKeyId),
		"AWS_SECRET_ACCESS_KEY=" + aws.ToString(out.Credentials.SecretAccessKey),
		"AWS_SESSION_TOKEN=" + aws.ToString(out.Credentials.SessionToken),
	}, aws.ToString(out.AssumedRoleUser.Arn), nil
}
