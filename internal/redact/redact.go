// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package redact keeps secrets out of all that the plugin says and writes: the UI, logs, errors, tags and descriptions.
//
// Secrets are registered with Add as soon as they are known, and everything said goes through Text. The package knows
// what a presigned URL looks like. It may not know where a secret comes from.
package redact

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/amibakery/packer-plugin-bakery/internal/terminal"
)

// mu guards secrets: the sweep, and copies of an image, print while URLs are signed.
var mu sync.RWMutex

// secrets are the registered ones, the longest first: where one secret begins with another, replacing the shorter one
// first would leave the rest of the longer one.
//
// The SDK's LogSecretFilter is not used: a plugin's process writes nothing through it, it replaces secrets in any
// order, and it reads its map of secrets without a lock.
var secrets []string

// Add registers secrets, in every form in which they may be printed. They are never said nor logged from then on.
func Add(more ...string) {
	mu.Lock()
	defer mu.Unlock()
	for _, s := range more {
		for _, form := range []string{s, terminal.Plain(s), asReported(s)} {
			if form != "" && !slices.Contains(secrets, form) {
				secrets = append(secrets, form)
			}
		}
	}
	slices.SortStableFunc(secrets, func(a, b string) int { return len(b) - len(a) })
}

// asReported returns a text as the guest program's reports have it, with ? for each byte that is not ASCII; "" when
// nothing else is left of it.
func asReported(text string) string {
	form := []byte(text)
	for i, c := range form {
		if c < ' ' || c > '~' {
			form[i] = '?'
		}
	}
	if strings.Trim(string(form), "?") == "" {
		return ""
	}
	return string(form)
}

// Text returns a text that may be shown: without secrets, and without control characters that a terminal obeys.
// Signatures of presigned URLs are found by their form as well, because a machine may have printed a URL in pieces.
func Text(text string) string {
	mu.RLock()
	defer mu.RUnlock()
	text = replaceKnown(text)
	if strings.Contains(text, "X-Amz-") { // an expression takes longer than most lines
		text = signature.ReplaceAllString(text, "$1="+Placeholder)
	}
	return terminal.Plain(text)
}

// Placeholder is shown in the place of a secret. It is the SDK's.
const Placeholder = "<sensitive>"

// replaceKnown replaces registered secrets. It finds all of them in the text as it is, not in what another one was
// replaced by: there, secrets of a letter would find each other, and the text would grow with each. Where secrets
// overlap, both are replaced together. Its callers hold the lock.
func replaceKnown(text string) string {
	var found []span
	for _, s := range secrets {
		for at := 0; ; {
			i := strings.Index(text[at:], s)
			if i < 0 {
				break
			}
			found = append(found, span{at + i, at + i + len(s)})
			at += i + len(s)
		}
	}
	if found == nil {
		return text
	}
	slices.SortFunc(found, func(a, b span) int { return cmp.Compare(a.begin, b.begin) })
	var b strings.Builder
	end := 0
	for i, f := range found {
		if i == 0 || f.begin >= end {
			b.WriteString(text[end:f.begin] + Placeholder)
		}
		end = max(end, f.end)
	}
	return b.String() + text[end:]
}

// span is a part of a text.
type span struct{ begin, end int }

// CutEnd replaces the beginning of a secret at the end of a text that was cut off there.
func CutEnd(text string) string {
	const least = 4 // bytes of a secret that give something away
	mu.RLock()
	defer mu.RUnlock()
	for _, s := range secrets {
		for n := min(len(s)-1, len(text)); n >= least; n-- {
			if strings.HasSuffix(text, s[:n]) {
				return text[:len(text)-n] + Placeholder
			}
		}
	}
	return text
}

// signature is what makes a presigned URL work.
var signature = regexp.MustCompile(`(X-Amz-(?:Signature|Security-Token|Credential))=[^\s&"']*`)

// Error returns an error that may be shown: err itself, or an error with the Text of err when that is different. It
// returns nil for nil. Errors quote AWS, programs and the machine, and Packer's own filter does not know the URLs that
// were signed here.
func Error(err error) error {
	if err == nil {
		return nil
	}
	if text := err.Error(); Text(text) != text {
		return errors.New(Text(text))
	}
	return err
}

// CheckTexts refuses texts that hold a registered secret, for tags and descriptions: everybody who may describe the
// image reads those. Of a template's sensitive variables, Packer gives plugins the names only.
func CheckTexts(what string, texts ...string) error {
	mu.RLock()
	defer mu.RUnlock()
	for _, text := range texts {
		if replaceKnown(text) != text || signature.MatchString(text) {
			return fmt.Errorf("%s would hold a secret, which everybody reads who may describe the image: take it out",
				what)
		}
	}
	return nil
}

// CheckTags is CheckTexts for keys and values of tags.
func CheckTags(what string, tags map[string]string) error {
	return CheckTexts(what, slices.Concat(slices.Collect(maps.Keys(tags)), slices.Collect(maps.Values(tags)))...)
}

// LinesOf returns secret values as Add takes them: each value, and each of its lines, because machines print line by
// line.
func LinesOf(values []string) []string {
	const short = 5 // bytes; a line of several that is shorter, such as a brace, is found in too much else
	var all []string
	for _, value := range values {
		whole := strings.TrimSpace(value)
		for line := range strings.Lines(whole) {
			if line = strings.TrimSpace(line); line == whole || len(line) >= short {
				all = append(all, line)
			}
		}
	}
	return all
}
