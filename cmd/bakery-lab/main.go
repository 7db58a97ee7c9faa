// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Command bakery-lab is EC2, S3, SSM parameters, STS, IAM roles and instance metadata on this computer. Its instances
// are real machines with systemd and cloud-init, which systemd-nspawn runs as containers or QEMU as virtual machines.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/initrd"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/qemu"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sandbox"
)

// command is one subcommand.
type command struct {
	name, args, about string
	run               func(args []string) (exit int, err error)
	group             string
	inside            bool // another command starts it in the sandbox
}

// commands returns the commands in the order of the help. It is a function because help refers to it.
func commands() []command {
	return []command{
		{"run", "[flags] -- COMMAND [ARG...]",
			"serve the lab while COMMAND runs with the lab's environment; exits with COMMAND's exit code", run, "Lab",
			false},
		{"serve", "[flags]", "serve the lab until interrupted", serve, "Lab", false},
		{"image build", "[--suite SUITE]",
			"build a base image of Debian's packages, unless there is one, and print its AMI id", imageBuild, "Images",
			false},
		{"image import", "--name NAME FILE|TREE", "make an AMI from a raw disk or a directory tree", imageImport,
			"Images", false},
		{"images", "", "list the images", images, "Images", false},
		{"ls", "AMI [PATH]", "list a directory of an image", list, "Images", false},
		{"cat", "AMI PATH", "print a file of an image", printFile, "Images", false},
		{"diff", "[--ignore PATH]... AMI [OTHER]",
			"compare an image with the one it was made from, or with OTHER; exits with 1 when they differ", diff,
			"Images", false},
		{"prune", "[--older-than 30d] [--images] [--dry-run] [--yes]",
			"remove base images that have not been used for some time and what killed labs have left; asks before",
			prune, "Images", false},
		{"boot", "AMI [--user-data FILE] [--name NAME] [--runner qemu] [--wait]",
			"launch an image and print the instance's id", boot, "Machines (in a running lab)", false},
		{"instances", "", "list the instances", instances, "Machines (in a running lab)", false},
		{"console", "INSTANCE", "print a machine's console output", console, "Machines (in a running lab)", false},
		{"exec", "[-i] INSTANCE -- COMMAND [ARG...]", "run a command as root on a machine; exits with its exit code",
			execute, "Machines (in a running lab)", false},
		{"stop", "INSTANCE...", "shut machines down and wait until they are stopped", stop,
			"Machines (in a running lab)", false},
		{"terminate", "INSTANCE...", "terminate machines and wait until they have ended", terminate,
			"Machines (in a running lab)", false},
		{"reclaim", "[--notice 2m] INSTANCE", "interrupt a Spot Instance, as EC2 does when it needs the capacity",
			reclaim, "Machines (in a running lab)", false},
		{"deregister", "AMI|NAME...", "remove images and their disks; a NAME may contain * and ?", deregister,
			"Machines (in a running lab)", false},
		{"calls", "", "list the API calls the lab has answered", calls, "Machines (in a running lab)", false},
		{"faults", "[--clear] [FAULT...]",
			"make API calls fail from now on, as --fault of run and serve does; without a FAULT, list the faults",
			faults, "Machines (in a running lab)", false},
		{name: "_server", run: server, inside: true},
		{name: "_build", run: buildInside, inside: true},
		{name: "_import", run: importInside, inside: true},
		{name: "_ls", run: listInside, inside: true},
		{name: "_cat", run: printFileInside, inside: true},
		{name: "_diff", run: diffInside, inside: true},
	}
}

func main() {
	initrd.Init()
	qemu.Init()
	sandbox.Init()
	exit, err := dispatch(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		exit = 0
	case err != nil:
		for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
			fmt.Fprintln(os.Stderr, "bakery-lab:", line)
		}
		exit = max(exit, 1)
	}
	os.Exit(exit)
}

// usageExit is the exit code for a wrong command line.
const usageExit = 2

func dispatch(args []string) (int, error) {
	if len(args) == 0 {
		help(os.Stderr)
		return usageExit, nil
	}
	if asksForHelp(args[0]) {
		help(os.Stdout)
		return 0, nil
	}
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if c.inside == sandbox.Inside() && len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			return c.run(args[len(words):])
		}
	}
	if slices.ContainsFunc(args, asksForHelp) { // bakery-lab image --help
		if !groupHelp(os.Stdout, args[0]) {
			help(os.Stdout)
		}
		return 0, nil
	}
	return usageExit, fmt.Errorf("there is no command %q; bakery-lab --help lists them", args[0])
}

func asksForHelp(word string) bool {
	return slices.Contains([]string{"help", "--help", "-help", "-h"}, word)
}

// flags returns a flag set whose help describes the command.
func flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are printed by main, once
	f.Usage = func() { commandHelp(os.Stdout, name, f) }
	return f
}

// parse parses flags anywhere among the arguments before a --. It returns the other arguments, and those after the --.
func parse(f *flag.FlagSet, args []string) (words, rest []string, err error) {
	if at := slices.Index(args, "--"); at >= 0 {
		args, rest = args[:at], args[at+1:]
	}
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, nil, err
			}
			return nil, nil, fmt.Errorf("%w; bakery-lab %s --help lists the flags", err, f.Name())
		}
		if args = f.Args(); len(args) == 0 {
			return words, rest, nil
		}
		words, args = append(words, args[0]), args[1:]
	}
}

// usageError is the error for a command line with too few or too many arguments.
func usageError(name string) (int, error) {
	for _, c := range commands() {
		if c.name == name {
			return usageExit, fmt.Errorf("usage: bakery-lab %s %s", c.name, c.args)
		}
	}
	return usageExit, fmt.Errorf("usage: see bakery-lab --help")
}
