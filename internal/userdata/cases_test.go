// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/userdata/userdatatest"
)

var dump = flag.String("dump", "", "write the cases to this file as JSON, to compare with cloud-init itself")

// TestCases checks all user data of userdatatest: none of the bad is accepted, none of the good refused.
func TestCases(t *testing.T) {
	cases := userdatatest.All()
	if len(cases) < 300 {
		t.Errorf("there are only %d cases", len(cases))
	}
	seen := map[string]bool{}
	for _, c := range cases {
		if seen[c.Name] {
			t.Errorf("there are two cases %q", c.Name)
		}
		seen[c.Name] = true
		t.Run(c.Name, func(t *testing.T) { checkCase(t, c) })
	}
	if *dump != "" {
		writeCases(t, cases)
	}
}

func checkCase(t *testing.T, c userdatatest.Case) {
	t.Helper()
	program, problems := Parse("user-data", []byte(c.Content), nil)
	errs := problems.Err()
	switch {
	case c.Error == "" && errs != nil:
		t.Fatalf("it is refused:\n%v\n%s", errs, c.Content)
	case c.Error != "" && errs == nil:
		t.Fatalf("it is accepted, with %v:\n%s", problems, c.Content)
	case c.Error != "" && !saysOneOf(errs.Error(), c.Error):
		t.Fatalf("it is refused, but not with %q:\n%v\n%s", c.Error, errs, c.Content)
	}
	if warnings := fmt.Sprint(problems.Warnings()); !strings.Contains(warnings, c.Warning) {
		t.Errorf("no warning says %q: %s", c.Warning, warnings)
	}
	if c.Error != "" {
		return
	}
	if diff := cmp.Diff(c.Steps, stepNames(program)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if _, err := guest.Document(program); err != nil {
		t.Errorf("it cannot be rendered: %v", err)
	}
}

// saysOneOf reports whether a message has one of several texts, with | between.
func saysOneOf(message, texts string) bool {
	for text := range strings.SplitSeq(texts, "|") {
		if strings.Contains(message, text) {
			return true
		}
	}
	return false
}

func stepNames(p guest.Program) (names []string) {
	for _, s := range p.Before {
		if len(s.Commands) == 0 {
			names = append(names, s.Name)
		}
		for _, c := range s.Commands {
			names = append(names, fmt.Sprintf("%s runcmd[%d]", s.Name, c.Index))
		}
	}
	return names
}

func writeCases(t *testing.T, cases []userdatatest.Case) {
	t.Helper()
	type plain struct {
		Name, Error string
		Content     []byte
		Steps       []string
	}
	var all []plain
	for _, c := range cases {
		all = append(all, plain{c.Name, c.Error, []byte(c.Content), c.Steps})
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*dump, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
