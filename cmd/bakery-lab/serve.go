// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
)

// settings are the flags of run and serve.
type settings struct {
	listen   string
	runner   runner
	consoles string
	envFile  string
	lab      lab.Options // those that have flags
}

// define adds the flags to a flag set. Files are read while the flags are parsed, so that errors in them are found
// before anything starts.
func (s *settings) define(f *flag.FlagSet) {
	f.StringVar(&s.listen, "listen", "127.0.0.1:0", "`address` to listen on; port 0 is any free one")
	f.BoolVar(&s.lab.Internet, "internet", false,
		"let machines reach this computer's network, and with it package mirrors")
	f.Func("runner", "run machines with `nspawn` (default: containers, which need root and boot in seconds) or qemu "+
		"(virtual machines, which\n"+
		"      need minutes without KVM, and no root when there is a base image)", s.runner.parse)
	f.StringVar(&s.consoles, "consoles", "ttyS0", "the kernel's consoles in virtual machines, such as "+
		"\"ttyS0 tty0\": the last one\n"+
		"      is /dev/console, and the lab shows ttyS0, as EC2 does")
	delays := &s.lab.Delays
	f.DurationVar(&delays.Pending, "pending", 0, "how long instances are pending, at least")
	f.DurationVar(&delays.Stopping, "stopping", 0, "how long instances are stopping after the machine is off")
	f.DurationVar(&delays.Terminating, "terminating", 0, "how long instances are shutting-down")
	f.DurationVar(&delays.Image, "image-pending", 0, "how long images and snapshots are pending, at least")
	f.DurationVar(&delays.Console, "xen-console", 30*time.Second,
		"how late the console of a machine on Xen (t2, m4, ...) is shown; on EC2, it is 5 to 10 minutes")
	f.DurationVar(&s.lab.IAMDelay, "iam-delay", 0,
		"how long EC2 does not know a new instance profile, or a change of its role")
	f.Func("policy", "IAM policy document in `FILE` that limits the lab's key, by action", policyFlag(&s.lab.Policy))
	f.Func("role-policy", "IAM policy document in `FILE` that limits instance profiles and assumed roles, by action",
		policyFlag(&s.lab.RolePolicy))
	s.defineFaultFlags(f)
}

func policyFlag(to **iam.Policy) func(string) error {
	return func(path string) (err error) {
		*to, err = iam.Load(path)
		return err
	}
}

// variables are the lab's environment.
type variables []lab.Variable

// start runs the server in the sandbox. It calls ready with the lab's environment when the server is ready, and ends
// the server when ready returns, or when a signal comes before the server is ready.
func start(
	args []string, s settings, interrupted <-chan os.Signal, ready func(variables) (int, error),
) (int, error) {
	if err := s.runner.check(s.lab.Internet); err != nil {
		return 1, err
	}
	h, err := openHome()
	if err != nil {
		return 1, err
	}
	dir, closeDir, err := h.runDirectory()
	if err != nil {
		return 1, err
	}
	defer func() {
		closeDir()
		fmt.Fprintln(os.Stderr, "bakery-lab:", h.summary())
	}()
	fmt.Fprintln(os.Stderr, "bakery-lab:", h.summary())
	announced, announce, err := os.Pipe()
	if err != nil {
		return 1, fmt.Errorf("make a pipe to the lab: %w", err)
	}
	endRead, endWrite, err := os.Pipe() // the server ends when endWrite is closed
	if err != nil {
		return 1, fmt.Errorf("make a pipe to the lab: %w", err)
	}
	ended := make(chan result, 1)
	go func() {
		exit, err := s.runner.server()(slices.Concat([]string{os.Args[0], "_server", "--run-directory", dir}, args),
			[]*os.File{announce, endRead})
		_ = announce.Close()
		ended <- result{exit, err}
	}()
	var env variables
	isReady := make(chan error, 1)
	go func() { isReady <- json.NewDecoder(announced).Decode(&env) }()
	select {
	case err = <-isReady:
	case sig := <-interrupted:
		_ = endWrite.Close()
		err = fmt.Errorf("interrupted by a signal: %s", sig)
	}
	if err != nil {
		r := <-ended // it has printed the reason, or returns it
		return max(r.exit, 1), r.err
	}
	exit, err := ready(env)
	_ = endWrite.Close()
	r := <-ended
	s.runner.tidy()
	return max(exit, r.exit), errors.Join(err, r.err)
}

type result struct {
	exit int
	err  error
}

// run is bakery-lab run.
func run(args []string) (int, error) {
	var s settings
	f := flags("run")
	s.define(f)
	words, argv, err := parse(f, args)
	if err != nil {
		return usageExit, err
	}
	if len(words) > 0 || len(argv) == 0 {
		return usageError("run")
	}
	if os.Getenv("BAKERY_LAB_ENDPOINT") != "" {
		if f.NFlag() > 0 {
			fmt.Fprintln(os.Stderr, "bakery-lab: using the lab that runs already; the flags have no effect")
		}
		return runCommand(argv, os.Environ())
	}
	return start(args[:slices.Index(args, "--")], s, nil, func(env variables) (int, error) {
		return runCommand(argv, environment(env))
	})
}

// runCommand runs a command to its end. It forwards signals, except for SIGINT: Ctrl-C at the terminal signals the
// command, too.
func runCommand(argv, env []string) (int, error) {
	c := exec.Command(argv[0], argv[1:]...)
	c.Stdin, c.Stdout, c.Stderr, c.Env = os.Stdin, os.Stdout, os.Stderr, env
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := c.Start(); err != nil {
		return 127, fmt.Errorf("run %s: %w", argv[0], err) // 127 is a shell's "command not found"
	}
	go func() {
		for sig := range signals {
			if sig != syscall.SIGINT {
				_ = c.Process.Signal(sig)
			}
		}
	}()
	err := c.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal()), nil // as in a shell
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

// environment returns this process's environment with the lab's variables, and without those with which AWS clients
// would use another endpoint, other credentials or a proxy.
func environment(env variables) []string {
	kept := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "AWS_") && name != "AWS_PAGER" || strings.EqualFold(name, "no_proxy")
	})
	for _, v := range append(env, noProxy()...) {
		kept = append(kept, v.Name+"="+v.Value)
	}
	return kept
}

func noProxy() []lab.Variable {
	value := "127.0.0.1"
	for _, name := range []string{"no_proxy", "NO_PROXY"} {
		if v := os.Getenv(name); v != "" {
			value = v + "," + value
			break
		}
	}
	return []lab.Variable{{Name: "no_proxy", Value: value}, {Name: "NO_PROXY", Value: value}}
}

// serve is bakery-lab serve.
func serve(args []string) (int, error) {
	var s settings
	f := flags("serve")
	s.define(f)
	f.StringVar(&s.envFile, "env-file", "",
		"write the lab's environment to `FILE` as shell exports when it is ready; removed at the end")
	words, rest, err := parse(f, args)
	if err != nil {
		return usageExit, err
	}
	if len(words)+len(rest) > 0 {
		return usageError("serve")
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	return start(args, s, interrupted, func(env variables) (int, error) {
		if err := s.publish(env); err != nil {
			return 1, err
		}
		<-interrupted
		if s.envFile != "" {
			_ = os.Remove(s.envFile)
		}
		return 0, nil
	})
}

// publish writes the environment to the file, in one step, or to standard output.
func (s *settings) publish(env variables) error {
	if s.envFile == "" {
		return env.export(os.Stdout)
	}
	f, err := os.CreateTemp(filepath.Dir(s.envFile), ".bakery-lab-*") // mode 0600, because it has the key
	if err != nil {
		return fmt.Errorf("write the environment file: %w", err)
	}
	err = errors.Join(env.export(f), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.envFile)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write the environment file: %w", err)
	}
	fmt.Fprintf(os.Stderr, "bakery-lab: serving; run . %s in a shell to use it\n", s.envFile)
	return nil
}

// export writes shell exports. NO_PROXY may have quotes.
func (v variables) export(w io.Writer) error {
	for _, one := range append(v, noProxy()...) {
		if _, err := fmt.Fprintf(w, "export %s='%s'\n", one.Name,
			strings.ReplaceAll(one.Value, "'", `'\''`)); err != nil {
			return err
		}
	}
	return nil
}
