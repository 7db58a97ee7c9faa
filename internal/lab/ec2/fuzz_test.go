// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

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
