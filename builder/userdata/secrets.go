// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/terminal"
)

// secretsLock is for secrets and for the filter of the SDK, whose reading is not guarded against its setting: copies of an
// image are made side by side, and all of them say something.
var secretsLock sync.RWMutex

// secrets are those known here, the longest first: a secret may begin with another, whose replacement would leave its rest.
// The filter of the SDK, which is for PACKER_LOG as well, takes them in any order.
var secrets []string

// hide lets secrets never be said, and never be logged.
func hide(more ...string) {
	secretsLock.Lock()
	defer secretsLock.Unlock()
	for _, s := range more {
		for _, form := range []string{s, terminal.Plain(s), reported(s)} {
			if form != "" && !slices.Contains(secrets, form) {
				secrets = append(secrets, form)
				packersdk.LogSecretFilter.Set(form)
			}
		}
	}
	slices.SortStableFunc(secrets, func(a, b string) int { return len(b) - len(a) })
}

// reported is what reports make of a text, where every byte counts that is not ASCII; nothing when nothing is left of it.
func reported(text string) string {
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

// blot makes a text fit to be shown, wherever it is from: without secrets, and without what a terminal obeys. Signed URLs are
// known by their form as well: a machine may have printed one in pieces.
func blot(text string) string {
	secretsLock.RLock()
	defer secretsLock.RUnlock()
	return terminal.Plain(withoutKnown(signature.ReplaceAllString(text, "$1="+blotted)))
}

// blotted is what is shown in the place of a secret. It is the SDK's.
const blotted = "<sensitive>"

// withoutKnown replaces secrets. Its callers hold the lock.
func withoutKnown(text string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, blotted)
	}
	return packersdk.LogSecretFilter.FilterString(text)
}

// blotEnd replaces the beginning of a secret that a text ends with, for one that is cut off there.
func blotEnd(text string) string {
	const least = 4 // bytes that tell something
	secretsLock.RLock()
	defer secretsLock.RUnlock()
	for _, s := range secrets {
		for n := min(len(s)-1, len(text)); n >= least; n-- {
			if strings.HasSuffix(text, s[:n]) {
				return text[:len(text)-n] + blotted
			}
		}
	}
	return text
}

// signature is what makes a presigned URL work.
var signature = regexp.MustCompile(`(X-Amz-(?:Signature|Security-Token|Credential))=[^\s&"']*`)

// withoutSecrets is for an error that leaves this process: the filter of Packer's own knows nothing of what was signed
// here, and AWS and the machine have a say in errors.
func withoutSecrets(err error) error {
	if text := err.Error(); blot(text) != text {
		return errors.New(blot(text))
	}
	return err
}

// refuseSecrets refuses a text that everybody reads who may describe an image, where it holds a secret that is known here.
// Of a template's sensitive variables, Packer tells plugins the names alone.
func refuseSecrets(what string, texts ...string) error {
	secretsLock.RLock()
	defer secretsLock.RUnlock()
	for _, text := range texts {
		if withoutKnown(text) != text || signature.MatchString(text) {
			return fmt.Errorf("%s would hold a secret, which everybody reads who may describe the image: take it out", what)
		}
	}
	return nil
}

func refuseSecretTags(what string, tags map[string]string) error {
	return refuseSecrets(what, slices.Concat(slices.Collect(maps.Keys(tags)), slices.Collect(maps.Values(tags)))...)
}

// hiding are credentials that are never said. Those of a role are renewed during the bake, and are others then.
type hiding struct{ aws.CredentialsProvider }

// Retrieve implements aws.CredentialsProvider.
func (h hiding) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := h.CredentialsProvider.Retrieve(ctx)
	for _, secret := range []string{c.SecretAccessKey, c.SessionToken} {
		if secret != "" { // the filter takes nothing for a secret as well
			hide(secret)
		}
	}
	return c, err
}
