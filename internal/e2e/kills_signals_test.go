// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"syscall"
	"time"
)

// kill is a way to end the processes of a bake.
type kill struct {
	name string
	// hard kills leave no process that cleans up.
	hard bool
	do   func(p processes, again time.Duration)
}

// processes are the process ids of a bake. Packer has two: the outer one starts the inner one and reports its panics,
// the inner one starts the plugin. An id is 0 when the process does not run.
type processes struct{ group, outer, inner, plugin int }

var kills = []kill{
	{"SIGINT of the terminal", false, func(p processes, _ time.Duration) { signal(-p.group, syscall.SIGINT) }},
	{"SIGINT of the terminal, twice", false, func(p processes, again time.Duration) {
		signal(-p.group, syscall.SIGINT)
		time.Sleep(again)
		signal(-p.group, syscall.SIGINT)
	}},
	{"SIGTERM of packer", false, func(p processes, _ time.Duration) { signal(p.outer, syscall.SIGTERM) }},
	{"SIGTERM of the group", false, func(p processes, _ time.Duration) { signal(-p.group, syscall.SIGTERM) }},
	{"SIGHUP of packer", false, func(p processes, _ time.Duration) { signal(p.outer, syscall.SIGHUP) }},
	{"SIGHUP of the terminal", false, func(p processes, _ time.Duration) { signal(-p.group, syscall.SIGHUP) }},
	{"SIGKILL of packer", false, func(p processes, _ time.Duration) { signal(p.outer, syscall.SIGKILL) }},
	{"SIGKILL of the inner packer", false, func(p processes, _ time.Duration) { signal(p.inner, syscall.SIGKILL) }},
	{"SIGKILL of both packers", false, func(p processes, _ time.Duration) {
		signal(p.outer, syscall.SIGKILL)
		signal(p.inner, syscall.SIGKILL)
	}},
	{"SIGKILL of the plugin", true, func(p processes, _ time.Duration) { signal(p.plugin, syscall.SIGKILL) }},
	{"SIGKILL of all", true, func(p processes, _ time.Duration) { signal(-p.group, syscall.SIGKILL) }},
}

// signal sends a signal to a process that may have ended. 0 is for no process.
func signal(pid int, s syscall.Signal) {
	if pid != 0 {
		_ = syscall.Kill(pid, s)
	}
}

// send kills the bake.
func (k *kill) send(b *packer, again time.Duration) {
	p := processes{group: b.cmd.Process.Pid, outer: b.cmd.Process.Pid}
	for _, inner := range running(func(one process) bool { return one.parent == p.outer }) {
		p.inner = inner.pid
		for _, plugin := range running(func(one process) bool { return one.parent == inner.pid }) {
			p.plugin = plugin.pid
		}
	}
	k.do(p, again)
}
