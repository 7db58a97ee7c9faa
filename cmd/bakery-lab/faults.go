// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// faults adds, removes or lists the lab's faults.
func faults(args []string) (int, error) {
	f := flags("faults")
	clearFirst := f.Bool("clear", false, "remove all faults before adding the FAULTs")
	words, rest, err := parse(f, args)
	if err != nil {
		return usageExit, err
	}
	if len(rest) > 0 {
		return usageError("faults")
	}
	ctx := context.Background()
	c, err := connect(ctx)
	if err != nil {
		return 1, err
	}
	if *clearFirst {
		if err := c.send(ctx, http.MethodDelete, "faults", ""); err != nil {
			return 1, err
		}
	}
	if len(words) > 0 {
		err = c.send(ctx, http.MethodPost, "faults", strings.Join(words, "\n"))
	} else if !*clearFirst {
		err = c.printFaults(ctx)
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// reclaim interrupts a Spot Instance.
func reclaim(args []string) (int, error) {
	f := flags("reclaim")
	notice := f.Duration("notice", 0, "how long before the machine is stopped or terminated the request is marked")
	words, rest, err := parse(f, args)
	if err != nil {
		return usageExit, err
	}
	if len(words) != 1 || len(rest) > 0 {
		return usageError("reclaim")
	}
	ctx := context.Background()
	c, err := connect(ctx)
	if err != nil {
		return 1, err
	}
	q := url.Values{"instance": words, "notice": {notice.String()}}
	if err := c.send(ctx, http.MethodPost, "reclaim?"+q.Encode(), ""); err != nil {
		return 1, err
	}
	return 0, nil
}

// send is control for requests whose response has no body.
func (c client) send(ctx context.Context, method, path, body string) error {
	answer, err := c.control(ctx, method, path, strings.NewReader(body))
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

func (c client) printFaults(ctx context.Context) error {
	answer, err := c.control(ctx, http.MethodGet, "faults", nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var all []string
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		return fmt.Errorf("read the lab's faults: %w", err)
	}
	for _, one := range all {
		fmt.Println(one)
	}
	return nil
}
