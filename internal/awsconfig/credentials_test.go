// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/amibakery/packer-plugin-bakery/internal/redact"
)

func TestRotatedCredentialsAreReplaced(t *testing.T) {
	provider := new(Settings).NewCredentials(rotatingCredentials())
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

// lent returns a provider as the SDK makes one, with a cache. Its source lends credentials for a time, and fails from
// the second call on when fails is set. calls counts them.
func lent(lasts time.Duration, fails bool) (p aws.CredentialsProvider, calls *int) {
	calls = new(int)
	return aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		if *calls++; fails && *calls > 1 {
			return aws.Credentials{}, errors.New("the code was used before")
		}
		return aws.Credentials{
			AccessKeyID: fmt.Sprint("key-", *calls), SecretAccessKey: "secret-of-the-test",
			CanExpire: true, Expires: time.Now().Add(lasts),
		}, nil
	})), calls
}

func TestCredentialsAreRenewedBeforeTheySign(t *testing.T) {
	for name, c := range map[string]struct {
		settings   Settings
		lasts, age time.Duration
		fails      bool
		key        string // of what signs
		calls      int
	}{
		"they last":                          {Settings{}, time.Hour, 15 * time.Minute, false, "key-1", 1},
		"they are cached and nearly expired": {Settings{}, time.Hour, 50 * time.Minute, false, "key-2", 2},
		"they have never lasted":             {Settings{}, 15 * time.Minute, 0, false, "key-2", 2},
		"there are no others":                {Settings{}, time.Hour, 50 * time.Minute, true, "key-1", 2},
		"with the code of an MFA device, which works once": {
			Settings{MFACode: "123456"}, time.Hour, 50 * time.Minute, false, "key-1", 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, calls := lent(c.lasts, c.fails)
				credentials := c.settings.NewCredentials(p)
				if _, err := credentials.Retrieve(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.age)
				got, err := credentials.Lasting(t.Context(), 40*time.Minute)
				if err != nil || got.AccessKeyID != c.key || *calls != c.calls {
					t.Errorf("got %s after %d calls, %v; want %s after %d", got.AccessKeyID, *calls, err, c.key,
						c.calls)
				}
				if again, err := credentials.Retrieve(t.Context()); err != nil || again.AccessKeyID != c.key {
					t.Errorf("other calls are signed with %s, %v", again.AccessKeyID, err)
				}
			})
		})
	}
}

func TestExpiredCredentialsAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := lent(time.Hour, true)
		credentials := new(Settings).NewCredentials(p)
		_, err := credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if got, err := credentials.Retrieve(t.Context()); err == nil {
			t.Errorf("%s is used when it has expired", got.AccessKeyID)
		}
	})
}

func TestTheEnvironmentSaysWhenItsCredentialsExpire(t *testing.T) {
	for name, c := range map[string]struct {
		says, source, token string
		expires             bool
	}{
		"it does":              {"2100-01-02T03:04:05+00:00", config.CredentialsSourceName, "token-of-the-test", true},
		"it does, in UTC":      {"2100-01-02T03:04:05Z", config.CredentialsSourceName, "token-of-the-test", true},
		"it does not":          {"", config.CredentialsSourceName, "token-of-the-test", false},
		"it says nonsense":     {"soon", config.CredentialsSourceName, "token-of-the-test", false},
		"they are permanent":   {"2100-01-02T03:04:05Z", config.CredentialsSourceName, "", false},
		"they are of a file":   {"2100-01-02T03:04:05Z", "SharedConfigCredentials: x", "token-of-the-test", false},
		"the time has no zone": {"2100-01-02T03:04:05", config.CredentialsSourceName, "token-of-the-test", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(expiryVariable, c.says)
			credentials := new(Settings).NewCredentials(aws.CredentialsProviderFunc(
				func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "secret-of-the-test",
						SessionToken: c.token, Source: c.source}, nil
				}))
			got, err := credentials.Retrieve(t.Context())
			if err != nil || got.CanExpire != c.expires {
				t.Errorf("they expire: %v, %v", got.CanExpire, err)
			}
		})
	}
}
