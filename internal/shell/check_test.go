// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package shell

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInterpreter(t *testing.T) {
	for script, want := range map[string]string{
		"#!/bin/sh\n":                         "sh",
		"#!/bin/sh":                           "sh",
		"#! /bin/bash -e\necho":               "bash",
		"#!/usr/bin/env bash\n":               "bash",
		"#!/usr/bin/env -S A=b bash -e\n":     "bash",
		"#!/bin/busybox sh\n":                 "sh",
		"#!/usr/bin/env\n":                    "env",
		"#!/usr/bin/python3\n":                "python3",
		"#!/usr/libexec/platform-python -u":   "platform-python",
		"#!\n":                                "",
		"#!":                                  "",
		"":                                    "",
		"echo hi\n":                           "",
		"\n#!/bin/sh\n":                       "",
		"#!/bin/sh\r\necho the CR counts\r\n": "sh",
	} {
		if got := Interpreter([]byte(script)); got != want {
			t.Errorf("interpreter of %q is %q, want %q", script, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		script, interpreter string
		want                *Fault
	}{
		"a good script has no fault":          {"if true; then echo; fi\n", "sh", nil},
		"an empty script has no fault":        {"", "sh", nil},
		"a good bash script has no fault":     {"a=(1 2); [[ $a == 1 ]]\n", "bash", nil},
		"a payload of bytes is not looked at": {"#!/bin/sh\nexit\n\xff(((\n", "sh", nil},
		"python is not looked at":             {"if (\n", "python3", nil},
		"an array is bash only": {"echo é; a=(1 2)\n", "sh",
			&Fault{Line: 1, Column: 11, Message: "arrays are a bash/mksh/zsh feature", BashOnly: true}},
		"an if without fi is incomplete": {"if true; then echo\n", "sh",
			&Fault{Line: 1, Column: 1, Message: "`if` statement must end with `fi`", Incomplete: true}},
		"a stray bracket is wrong everywhere": {"echo\necho é )\n", "dash",
			&Fault{Line: 2, Column: 8, Message: "a command can only contain words and redirects; encountered `)`"}},
		"bash faults too": {
			"echo 'x\n", "bash", &Fault{Line: 1, Column: 6, Message: "reached EOF without closing quote `'`",
				Incomplete: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Check([]byte(tt.script), tt.interpreter)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
