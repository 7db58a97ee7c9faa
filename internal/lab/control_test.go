// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// ask sends a POST to the lab's own API, with a key.
func ask(t *testing.T, l *labtest.Lab, key, path, body string) *http.Response {
	t.Helper()
	return askBy(t, l, http.MethodPost, key, path, body)
}

func askBy(t *testing.T, l *labtest.Lab, method, key, path, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, l.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

func TestExecNeedsTheLabsSecretKey(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	if answer := ask(t, l, "wrong", "/_lab/exec?instance=i-1&arg=true",
		""); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("%s", answer.Status)
	}
}

func TestExec(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	c := ec2.NewFromConfig(sdk(l))
	i := run(t, c, nil)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	for _, step := range []struct {
		argv        []string
		input       string
		output, err string
	}{
		{[]string{"echo", "a b"}, "", "[echo a b]\n", ""},
		{[]string{"cat"}, "input", "input", ""},
		{[]string{"false"}, "", "", "exit status 1"},
	} {
		path := "/_lab/exec?" + url.Values{"instance": {*i.InstanceId}, "arg": step.argv}.Encode()
		var out strings.Builder
		_, err := lab.ReadExec(ask(t, l, l.Value("AWS_SECRET_ACCESS_KEY"), path, step.input).Body, &out, &out)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if out.String() != step.output || text != step.err {
			t.Errorf("%v: %q %q", step.argv, out.String(), text)
		}
	}
}
