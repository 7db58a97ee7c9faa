// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package redact

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/terminal"
)

func TestTextReplacesSecretsInEveryForm(t *testing.T) {
	Add("swordfish-test", "swordfish-test-and-more", "swordfish-test-and-more-of-it", "p\u00e4ss\u200bwort")
	for name, c := range map[string][2]string{
		"one that begins with another": {"a swordfish-test-and-more-of-it b", "a <sensitive> b"},
		"a shorter one":                {"a swordfish-test.", "a <sensitive>."},
		"one with an invisible letter": {`p` + "\u00e4" + `ss\u200bwort`, "<sensitive>"},
		"one in a report":              {"p??ss???wort", "<sensitive>"},
	} {
		if got := Text(c[0]); got != c[1] {
			t.Errorf("%s: %q became %q", name, c[0], got)
		}
	}
}

func TestTextReplacesPartsOfPresignedURLs(t *testing.T) {
	const url = "https://b.s3/k?X-Amz-Credential=AKIA1&X-Amz-Security-Token=t0ken&X-Amz-Expires=60" +
		"&X-Amz-Signature=5ecret"
	const want = "GET https://b.s3/k?X-Amz-Credential=<sensitive>&X-Amz-Security-Token=<sensitive>&X-Amz-Expires=60" +
		"&X-Amz-Signature=<sensitive>' failed"
	if got := Text("GET " + url + "' failed"); got != want {
		t.Errorf("got %s", got)
	}
}

func TestSecretOfTwoWordsBehindSignatureIsReplacedWhole(t *testing.T) {
	Add("first-word second-word")
	const want = "X-Amz-Signature=<sensitive>"
	if got := Text("X-Amz-Signature=first-word second-word"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTextReplacesWhatTerminalsObey(t *testing.T) {
	if got := Text("a\x1b[2Jb\rc"); strings.ContainsAny(got, "\x1b\r") {
		t.Errorf("got %q", got)
	}
}

// The text of a secret must not become a rule that replaces every text.
func TestEmptySecretReplacesNothing(t *testing.T) {
	Add("", "\u00e4\u00e4\u00e4")
	for _, text := range []string{"a text", "???"} {
		if got := Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestCutEnd(t *testing.T) {
	Add("cut-in-its-middle", "abc")
	for text, want := range map[string]string{
		"a cut-in-its-mi":     "a <sensitive>",
		"a cut-":              "a <sensitive>",
		"a cut":               "a cut", // three letters give nothing away
		"a cut-in-its-middle": "a cut-in-its-middle",
		"cut-in other":        "cut-in other",
		"":                    "",
	} {
		if got := CutEnd(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestErrorLosesItsCauseOnlyWithASecret(t *testing.T) {
	Add("secret-of-an-error")
	cause := errors.New("the cause")
	if err := Error(fmt.Errorf("plain: %w", cause)); !errors.Is(err, cause) || err.Error() != "plain: the cause" {
		t.Errorf("an error without a secret became %v", err)
	}
	err := Error(fmt.Errorf("with secret-of-an-error: %w", cause))
	if err.Error() != "with <sensitive>: the cause" {
		t.Errorf("the error is %v", err)
	}
	if errors.Is(err, cause) {
		t.Error("the error still wraps one whose text has the secret")
	}
}

func TestCheckTextsRefusesSecrets(t *testing.T) {
	Add("secret-of-a-tag")
	for name, c := range map[string]struct {
		tags map[string]string
		ok   bool
	}{
		"no tags":                {nil, true},
		"plain tags":             {map[string]string{"team": "builders"}, true},
		"a secret as a value":    {map[string]string{"password": "secret-of-a-tag"}, false},
		"a secret in a key":      {map[string]string{"my secret-of-a-tag": ""}, false},
		"the signature of a URL": {map[string]string{"url": "https://b.s3/k?X-Amz-Signature=0"}, false},
		"control characters":     {map[string]string{"x": "a\tb"}, true},
	} {
		err := CheckTags("run_tags", c.tags)
		if (err == nil) != c.ok {
			t.Errorf("%s: error %v", name, err)
		}
		if err != nil {
			text := err.Error()
			if !strings.HasPrefix(text, "run_tags would hold a secret") || strings.Contains(text, "secret-of-a-tag") {
				t.Errorf("%s: the error is %v", name, err)
			}
		}
	}
}

// FuzzText checks that no secret is left in a text, wherever it stands there and whatever it looks like.
func FuzzText(f *testing.F) {
	f.Add("swordfish", "a ", " b")
	f.Add("p\u00e4ss\u200bwort", "", "\n")
	f.Add("ends in =", "X-Amz-Signature=", "&x")
	f.Add("se<nsi>tive", "<", ">")
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		if len(secret) < 8 || strings.Contains(Placeholder, secret) {
			return // such a short one may be in any text
		}
		Add(secret)
		if strings.Contains(terminal.Plain(before+"\n"+after), secret) {
			return // what is around it becomes the same text
		}
		got := Text(before + secret + after)
		for piece := range strings.SplitSeq(got, Placeholder) {
			if strings.Contains(piece, secret) {
				t.Errorf("%q is in %q", secret, got)
			}
		}
	})
}

// Secrets are looked for in what was given, not in what others were replaced by: the text would grow with each.
func TestSecretsAreNotFoundInEachOther(t *testing.T) {
	defer func(before []string) { secrets = before }(secrets)
	secrets = nil
	Add("s", "e", "n", "i", "t", "v", "<", ">")
	if got := Text("e"); got != Placeholder {
		t.Errorf("%q", got)
	}
	secrets = nil
	Add("abcdef", "xab", "efg", "q")
	for given, want := range map[string]string{
		"-xabcdefg-": "-<sensitive>-", "abcdefabcdef": "<sensitive><sensitive>", "aq": "a<sensitive>",
		"": "", "ab": "ab",
	} {
		if got := Text(given); got != want {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
	}
}
