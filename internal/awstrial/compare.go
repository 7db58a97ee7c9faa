// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
)

// behaviour is, for each action of an API, which statuses and which values it has answered with.
type behaviour map[string]*answers

// answers are all answers to one action.
type answers struct {
	Calls    int            `json:"calls"`
	Statuses map[string]int `json:"statuses"` // by the status and the code of an error
	Requests []string       `json:"requests"` // the names of the parameters
	Values   []string       `json:"values"`   // the names of what was answered
}

// summarize gathers the answers by action.
func summarize(exchanges []exchange) behaviour {
	all := behaviour{}
	for _, x := range exchanges {
		key := x.Service + " " + x.Action
		a := all[key]
		if a == nil {
			a = &answers{Statuses: map[string]int{}}
			all[key] = a
		}
		a.Calls++
		status := fmt.Sprint(x.Status)
		if x.Code != "" {
			status += " " + x.Code
		}
		a.Statuses[status]++
		a.Requests = union(a.Requests, x.Request)
		if x.Code == "" {
			a.Values = union(a.Values, x.Answer)
		}
	}
	return all
}

func union(names []string, values map[string][]string) []string {
	return merge(names, slices.Collect(maps.Keys(values)))
}

func merge(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// difference is how one action was answered differently.
type difference struct {
	action          string
	missing, added  []string // values that only AWS answers, and that only the lab answers
	statuses        []string // answers of AWS that the lab has never given
	unknownToTheLab bool     // the lab was never asked
}

// compare returns what AWS answers otherwise than the lab.
func compare(aws, lab behaviour) []difference {
	var all []difference
	for _, action := range slices.Sorted(maps.Keys(aws)) {
		a, l := aws[action], lab[action]
		if l == nil {
			all = append(all, difference{action: action, unknownToTheLab: true})
			continue
		}
		d := difference{action: action, missing: without(a.Values, l.Values), added: without(l.Values, a.Values)}
		d.statuses = without(slices.Sorted(maps.Keys(a.Statuses)), slices.Sorted(maps.Keys(l.Statuses)))
		if len(d.missing)+len(d.added)+len(d.statuses) > 0 {
			all = append(all, d)
		}
	}
	return all
}

// without returns the names of a that are not in b.
func without(a, b []string) (only []string) {
	for _, name := range a {
		if !slices.Contains(b, name) {
			only = append(only, name)
		}
	}
	return only
}

// readBehaviour reads what writeBehaviour has written.
func readBehaviour(file string) (behaviour, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the answers of the lab: %w", err)
	}
	var b behaviour
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("read the answers of the lab: %s: %w", file, err)
	}
	return b, nil
}

// writeBehaviour adds answers to those in a file, to compare others with.
func writeBehaviour(file string, b behaviour) error {
	known, err := readBehaviour(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for action, k := range known {
		a := b[action]
		if a == nil {
			b[action] = k
			continue
		}
		a.Requests, a.Values = merge(a.Requests, k.Requests), merge(a.Values, k.Values)
		for status := range k.Statuses {
			a.Statuses[status] += 0
		}
	}
	text, err := json.MarshalIndent(b, "", "\t")
	if err != nil {
		return fmt.Errorf("write the answers: %w", err)
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
