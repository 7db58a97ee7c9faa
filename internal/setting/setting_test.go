// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package setting

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

func TestKnown(t *testing.T) {
	for value, want := range map[string]struct{ known, unknown bool }{
		"": {false, false}, "x": {true, false}, unknown: {false, true}, "prefix-" + unknown: {false, true},
	} {
		if Known(value) != want.known || Unknown(value) != want.unknown {
			t.Errorf("%q: known %t, unknown %t", value, Known(value), Unknown(value))
		}
	}
}

// timeouts are settings as a config struct has them, with some that are squashed.
type timeouts struct {
	Timeout time.Duration `mapstructure:"timeout"`
	more    `mapstructure:",squash"`
}

type more struct {
	Name    string         `mapstructure:"name"`
	Encrypt config.Trilean `mapstructure:"encrypt"`
	Users   []string       `mapstructure:"users"`
	Sum     int            // no setting
}

func TestDecodeHooksAcceptUnknownDurations(t *testing.T) {
	for given, want := range map[string]time.Duration{unknown: 0, "90s": 90 * time.Second} {
		var got timeouts
		err := config.Decode(&got, &config.DecodeOpts{DecodeHooks: DecodeHooks}, map[string]any{"timeout": given})
		if err != nil || got.Timeout != want {
			t.Errorf("%q: %s, error %v", given, got.Timeout, err)
		}
	}
	var got timeouts
	err := config.Decode(&got, &config.DecodeOpts{DecodeHooks: DecodeHooks}, map[string]any{"timeout": "soon"})
	if err == nil {
		t.Errorf("soon is read as %s", got.Timeout)
	}
}

func TestNonZeroNames(t *testing.T) {
	all := timeouts{Timeout: time.Second, more: more{Encrypt: config.TriFalse, Users: []string{}, Sum: 1}}
	for _, c := range []struct {
		settings timeouts
		want     []string
	}{
		{timeouts{}, nil}, {timeouts{more: more{Name: "x"}}, []string{"name"}},
		{all, []string{"timeout", "encrypt", "users"}},
	} {
		if diff := cmp.Diff(c.want, NonZeroNames(reflect.ValueOf(c.settings))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}
