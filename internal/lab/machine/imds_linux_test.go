// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
)

// imds returns a metadata service with the minimum that cloud-init's Ec2 datasource needs. Paths begin with any API
// version.
func imds(instanceID, userData string) http.Handler {
	metadata := map[string]string{
		"ami-id":      "ami-0bace000000000012",
		"instance-id": instanceID,
		"hostname":    "guest", "local-hostname": "guest",
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, path, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
		key, isMetadata := strings.CutPrefix(path, "meta-data")
		key = strings.Trim(key, "/")
		switch value, known := metadata[key]; {
		case path == "api/token":
			_, _ = io.WriteString(w, "token")
		case path == "user-data":
			_, _ = io.WriteString(w, userData)
		case isMetadata && key == "":
			_, _ = io.WriteString(w, "ami-id\nhostname\ninstance-id\nlocal-hostname")
		case isMetadata && known:
			_, _ = io.WriteString(w, value)
		default:
			http.NotFound(w, r)
		}
	})
}

// transcript stores the output of a console, and signals changes.
type transcript struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{}, 1)} }

func (c *transcript) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(p)
	select {
	case c.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (c *transcript) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}
