// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/amibakery/packer-plugin-bakery/internal/redact"
)

func TestRotatedCredentialsAreReplaced(t *testing.T) {
	provider := Redacted(rotatingCredentials())
	for range 3 {
		c, err := provider.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := redact.Text("with " + c.SecretAccessKey + " and " + c.SessionToken + " of " + c.AccessKeyID)
		if want := "with <sensitive> and <sensitive> of AKIDTESTTESTTEST"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// rotatingCredentials are others each time, as those of a role are after a quarter of an hour.
func rotatingCredentials() aws.CredentialsProvider {
	n := 0
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		n++
		return aws.Credentials{
			AccessKeyID: "AKIDTESTTESTTEST", SecretAccessKey: fmt.Sprintf("rotated-key-%d", n),
			SessionToken: fmt.Sprintf("rotated-token-%d", n),
		}, nil
	})
}
