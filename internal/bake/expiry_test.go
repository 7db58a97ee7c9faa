// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bake

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go/middleware"
)

const testID = "0123456789abcdef"

func TestExpiringNameIsParsedBack(t *testing.T) {
	expires := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	name := ExpiringName(expires.In(time.FixedZone("", 3600)), testID)
	if want := "bakery-20260102T030405Z-" + testID; name != want {
		t.Errorf("the name is %s, want %s", name, want)
	}
	if got, ok := ParseExpiringName(name); !ok || !got.Equal(expires) {
		t.Errorf("it is read as %s, %t", got, ok)
	}
}

func TestExpiringNamesAreInOrderOfExpiry(t *testing.T) {
	began := time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC)
	var names []string
	for _, after := range []time.Duration{0, time.Second, time.Hour, 24 * time.Hour, 300 * 24 * time.Hour} {
		names = append(names, ExpiringName(began.Add(after), testID))
	}
	if !slices.IsSorted(names) {
		t.Errorf("the names are %q", names)
	}
}

func TestOtherNamesNeverExpire(t *testing.T) {
	for _, name := range []string{
		"", "bakery", "bakery-", "bakery-" + testID, "bakery-20260102T030405Z", "bakery-20260102T030405Z-",
		"bakery-20260102T030405Z-" + testID[1:], "bakery-20260102T030405Z-" + testID + "0",
		"bakery-20260102T030405Z-" + testID + "-x",
		"bakery-20260102T030405Z-0123456789ABCDEF", "bakery-20260102T030405-" + testID,
		"bakery-20260102T030405.5Z-" + testID, "bakery-20261302T030405Z-" + testID,
		"my-bakery-20260102T030405Z-" + testID, "Bakery-20260102T030405Z-" + testID,
		" bakery-20260102T030405Z-" + testID,
	} {
		if expires, ok := ParseExpiringName(name); ok {
			t.Errorf("%q expires at %s", name, expires)
		}
	}
}

func FuzzParseExpiringName(f *testing.F) {
	f.Add("bakery-20260102T030405Z-" + testID)
	f.Add("bakery-20260229T240000Z-" + testID)
	f.Add("bakery-20260102T030405.5Z-" + testID)
	f.Fuzz(func(t *testing.T, name string) {
		expires, ok := ParseExpiringName(name)
		if !ok {
			return
		}
		if id := name[strings.LastIndex(name, "-")+1:]; ExpiringName(expires, id) != name {
			t.Errorf("%q is read as %s, which is the name %q", name, expires, ExpiringName(expires, id))
		}
	})
}

// clientWithDate answers every call at a time that is so much ahead of this computer's.
type clientWithDate time.Duration

func (ahead clientWithDate) Do(r *http.Request) (*http.Response, error) {
	header := http.Header{"Date": {time.Now().Add(time.Duration(ahead)).UTC().Format(http.TimeFormat)}}
	body := io.NopCloser(strings.NewReader("<DescribeRegionsResponse/>"))
	return &http.Response{StatusCode: http.StatusOK, Header: header, Body: body, Request: r}, nil
}

// answerMetadata returns what the SDK says about an answer that came at such a time.
func answerMetadata(t *testing.T, ahead time.Duration) middleware.Metadata {
	t.Helper()
	client := ec2.New(ec2.Options{
		Region: "us-east-1", HTTPClient: clientWithDate(ahead), Credentials: aws.AnonymousCredentials{},
	})
	out, err := client.DescribeRegions(t.Context(), &ec2.DescribeRegionsInput{})
	if err != nil {
		t.Fatal(err)
	}
	return out.ResultMetadata
}

func TestClockGoesByFirstAnswerWithATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		if c.Known() || !c.Now().Equal(time.Now()) {
			t.Errorf("before any answer the clock is %s", c.Now())
		}
		c.SetFrom(middleware.Metadata{}) // of an answer that says no time
		if c.Known() {
			t.Error("an answer without a time has set the clock")
		}
		c.SetFrom(answerMetadata(t, time.Hour))
		c.SetFrom(answerMetadata(t, 3*time.Hour))
		if got := time.Until(c.Now()); !c.Known() || got != time.Hour {
			t.Errorf("the clock is %s ahead, known %t; want 1 h", got, c.Known())
		}
	})
}
