// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/wildcard"
)

// FuzzMatch tests that a filter's pattern matches the same values as the equivalent regular expression.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{{"a*", "abc"}, {"*a*b", "xaxb"}, {"a?c", "abc"}, {`\*`, "*"}, {`\`, `\`},
		{"**", ""}, {"a*a*a*a*b", "aaaaaaaaaaaaaaaa"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, value string) {
		if strings.Contains(pattern, `\`) || len(pattern) > 200 || len(value) > 1000 {
			_ = wildcard.MatchEscaped(pattern, value)
			return
		}
		var re strings.Builder
		re.WriteString(`(?s)\A`)
		for i := range len(pattern) {
			switch pattern[i] {
			case '*':
				re.WriteString(`.*`)
			case '?':
				re.WriteString(`.`)
			default:
				re.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
			}
		}
		if !isASCII(pattern + value) { // ? is a rune in a regular expression, and a byte in a filter
			return
		}
		if want := regexp.MustCompile(re.String() + `\z`).MatchString(value); wildcard.MatchEscaped(pattern,
			value) != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, value, !want, want)
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e })
}

// FuzzResponses tests that responses and errors with any text are XML with the expected elements.
func FuzzResponses(f *testing.F) {
	for _, seed := range []string{"plain", "</x>", "<x>", "&amp;", "]]>", "\x00\x1b", "\xff", "\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		type item struct {
			Value string `xml:"value"`
		}
		answer, err := document("DescribeTags", struct {
			Items []item `xml:"tagSet>item"`
		}{[]item{{text}, {"end"}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := elements(t, answer); got != "DescribeTagsResponse requestId tagSet item value item value" {
			t.Errorf("%q makes the elements %s", text, got)
		}
		refusal := errorDocument(apierror.Errorf("InvalidParameterValue", "%s", text))
		if got := elements(t, refusal); got != "Response Errors Error Code Message RequestID" {
			t.Errorf("%q makes the elements %s", text, got)
		}
	})
}

func elements(t *testing.T, document []byte) string {
	t.Helper()
	var names []string
	for d := xml.NewDecoder(strings.NewReader(string(document))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return strings.Join(names, " ")
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if start, ok := token.(xml.StartElement); ok {
			names = append(names, start.Name.Local)
		}
	}
}
