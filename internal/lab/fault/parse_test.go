// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package fault

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Fault{
		"RunInstances=throttle": {Action: "RunInstances", Effect: Answer{service.ErrThrottled}},
		"*=NoSuchKey:2":         {Action: "*", Effect: AnswerCode{"NoSuchKey"}, Count: 2},
		"CopyImage=500:after:nth=3": {
			Action: "CopyImage", Effect: Answer{service.ErrInternal}, After: true, Nth: 3, Count: 1,
		},
		"A=slow=5s:region=eu-west-1":   {Action: "A", Effect: Slow{5 * time.Second}, Region: "eu-west-1"},
		"A=hang=1m":                    {Action: "A", Effect: Hang{time.Minute}},
		"A=cut=1000:Key=*/log.gz":      {Action: "A", Effect: Cut{1000}, Where: map[string]string{"Key": "*/log.gz"}},
		"A=unknown=5s":                 {Action: "A", Effect: HideNew{5 * time.Second}},
		"GetConsoleOutput=drop=x y":    {Action: "GetConsoleOutput", Effect: ConsoleDropLines{"x y"}},
		"GetConsoleOutput=keep=1000:1": {Action: "GetConsoleOutput", Effect: ConsoleTail{1000}, Count: 1},
	} {
		got, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got.String() != text {
			t.Errorf("%s is shown as %s", text, got.String())
		}
		got.text = ""
		if !cmp.Equal(want, got, cmp.AllowUnexported(Fault{}), cmp.Comparer(sameEffect)) {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
}

func sameEffect(a, b Effect) bool { return a == b }

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"RunInstances":           "write it as",
		"=throttle":              "write it as",
		"A=throttle=5s":          "throttle takes no value",
		"A=Broken=1":             "Broken takes no value",
		"A=slow":                 "slow needs a value, as in slow=5s",
		"A=cut=":                 "cut needs a value, as in cut=1000",
		"A=hang=-5s":             "must not be negative",
		"A=cut=many":             "as in cut=1000",
		"A=lag=5s":               "lag is a fault of GetConsoleOutput only",
		"A=reset:sometimes":      `"sometimes" is not a part of a fault`,
		"A=reset:nth=0":          `"nth=0" is not a part of a fault`,
		"GetConsoleOutput=drop=": "drop needs a value, as in drop=verdict",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", text, err, want)
		}
	}
}
