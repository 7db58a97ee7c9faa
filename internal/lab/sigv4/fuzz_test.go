// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sigv4

import (
	"net/http"
	"net/url"
	"testing"
)

// FuzzVerify tests that no request without a valid signature is accepted, whatever its headers are.
func FuzzVerify(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host;x-amz-date, "+
		"Signature=00", "20260101T000000Z", "", []byte("Action=x"))
	f.Add("AWS4-HMAC-SHA256 ,=,Credential=AKID////aws4_request", "x",
		"X-Amz-Credential=AKID%2F1%2F2%2F3%2Faws4_request&X-Amz-Signature=", []byte{})
	f.Fuzz(func(t *testing.T, authorization, date, query string, body []byte) {
		k := &Keys{}
		k.Add("AKID", "secret", Principal{})
		r := &http.Request{
			Method: http.MethodPost, Host: "lab",
			Header: http.Header{"Authorization": {authorization}, "X-Amz-Date": {date}},
			URL:    &url.URL{Scheme: "http", Host: "lab", Path: "/", RawQuery: query},
		}
		if who, err := k.Verify(r, body); err == nil {
			t.Errorf("%q is taken for the signature of %v", authorization, who)
		}
		_, _ = ReadScope(r)
	})
}
