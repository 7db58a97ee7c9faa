// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// benchBake measures a whole bake of example/hello, and the same machine with the same user data launched by hand, from
// the launch until it has powered off. The difference is the time that Packer and the plugin need.
func benchBake(ctx context.Context, b *bench) error {
	if os.Getenv("BAKERY_LAB_AMI") == "" {
		return errors.New("this needs the lab: run make bench, or bin/bakery-lab run -- go run ./internal/bench bake")
	}
	compiled := filepath.Join(b.dir, "hello")
	if _, err := b.program(ctx, packerProgram, "build", "-var", "source=example/hello/image", "-var",
		"target="+compiled,
		"example/jenkins/prepare.pkr.hcl"); err != nil {
		return err
	}
	machine, bake := time.Duration(0), time.Duration(0)
	for i := range rounds {
		alone, err := b.machineAlone(ctx, filepath.Join(compiled, "userdata.gz"))
		if err != nil {
			return err
		}
		begin := time.Now()
		if _, err := b.program(ctx, packerProgram, "build", "-var", fmt.Sprintf("ami_name=bench-%d-%d", os.Getpid(), i),
			"example/hello"); err != nil {
			return err
		}
		machine, bake = shorter(machine, alone), shorter(bake, time.Since(begin))
	}
	b.report("the machine alone", inSeconds(machine), "from its launch until it has powered off")
	b.report("packer build", inSeconds(bake),
		fmt.Sprintf("%.2f times, %s over it; goal: at most 6 s over it", bake.Seconds()/machine.Seconds(),
			inSeconds(bake-machine)))

	return nil
}

// shorter returns the shorter of two times; zero means not measured.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b < a {
		return b
	}
	return a
}

// machineAlone launches the user data and waits until the machine has stopped.
func (b *bench) machineAlone(ctx context.Context, userData string) (time.Duration, error) {
	begin := time.Now()
	instance, err := b.program(ctx, labProgram, "boot", os.Getenv("BAKERY_LAB_AMI"), "--user-data", userData)
	if err != nil {
		return 0, err
	}
	instance = strings.TrimSpace(instance)
	// A tenth of a second is far below what is compared.
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		list, err := b.program(ctx, labProgram, "instances")
		if err != nil {
			return 0, err
		}
		if state(list, instance) == "stopped" {
			took := time.Since(begin)
			_, err := b.program(ctx, labProgram, "terminate", instance)
			return took, err
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// state returns the state of an instance in the list that bakery-lab prints, or "". The instance must have no name.
func state(list, instance string) string {
	for line := range strings.Lines(list) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[0] == instance {
			return fields[2]
		}
	}
	return ""
}
