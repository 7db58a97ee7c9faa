// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"regexp"
	"sync"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
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

// blot takes secrets out of a text. Signed URLs are known by their form as well: a machine may have printed one in pieces.
func blot(text string) string {
	secretsLock.RLock()
	defer secretsLock.RUnlock()
	return packersdk.LogSecretFilter.FilterString(signature.ReplaceAllString(text, "$1=<sensitive>"))
}

// signature is what makes a presigned URL work.
var signature = regexp.MustCompile(`(X-Amz-(?:Signature|Security-Token|Credential))=[^\s&"']*`)

// withoutSecrets is for an error that leaves this process: the filter of Packer's own knows nothing of what was signed
// here.
func withoutSecrets(err error) error {
	if text := err.Error(); blot(text) != text {
		return errors.New(blot(text))
	}
	return err
}
