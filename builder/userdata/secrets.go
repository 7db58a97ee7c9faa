// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/terminal"
)

// secretsLock is for the filter of the SDK, whose reading is not guarded against its setting: copies of an image are made
// side by side, and all of them say something.
var secretsLock sync.RWMutex

// hide lets secrets never be said, and never be logged.
func hide(secrets ...string) {
	secretsLock.Lock()
	defer secretsLock.Unlock()
	packersdk.LogSecretFilter.Set(secrets...)
}

// blot makes a text fit to be shown, wherever it is from: without secrets, and without what a terminal obeys. Signed URLs are known by their form as well: a machine may have printed one in pieces.
func blot(text string) string {
	secretsLock.RLock()
	defer secretsLock.RUnlock()
	return terminal.Plain(packersdk.LogSecretFilter.FilterString(signature.ReplaceAllString(text, "$1=<sensitive>")))
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
		if packersdk.LogSecretFilter.FilterString(text) != text || signature.MatchString(text) {
			return fmt.Errorf("%s would hold a secret, which everybody reads who may describe the image: take it out", what)
		}
	}
	return nil
}

func refuseSecretTags(what string, tags map[string]string) error {
	return refuseSecrets(what, slices.Concat(slices.Collect(maps.Keys(tags)), slices.Collect(maps.Values(tags)))...)
}
