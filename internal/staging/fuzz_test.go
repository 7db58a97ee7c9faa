// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package staging

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzParseURL: every URL is refused, or String returns one that is parsed to the same location, with keys below it.
func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"s3://bucket", "s3://bucket/prefix/", "s3://b", "s3://bucket//a//b", "s3://bucket/../x",
		"s3://bucket/a?b", "s3:///x", "s3://bucket/\x00\n"} {
		f.Add(s, "fs.tgz")
	}
	f.Fuzz(func(t *testing.T, s, name string) {
		at, err := ParseURL(s)
		if err != nil {
			return
		}
		again, err := ParseURL(at.String())
		if err != nil || again != at {
			t.Errorf("%q is %+v and comes back as %+v, %v", s, at, again, err)
		}
		if !strings.Contains(name, "/") && name != "" && name != "." && name != ".." {
			if key := at.Key("0123456789abcdef", name); !strings.HasSuffix(key, "0123456789abcdef/"+name) ||
				strings.HasPrefix(key, "/") {
				t.Errorf("%s has the key %q", s, key)
			}
		}
		if u, err := url.Parse("https://" + at.Bucket + ".s3.amazonaws.com"); err != nil ||
			u.Host != at.Bucket+".s3.amazonaws.com" {
			t.Errorf("the bucket %q makes another host", at.Bucket)
		}
	})
}
