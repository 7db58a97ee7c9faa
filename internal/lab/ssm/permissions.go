// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ssm

import (
	"encoding/json"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
)

// ARN is the name of a parameter. Those that AWS publishes belong to no account.
func ARN(region, account, name string) string {
	name = plain(name)
	if strings.HasPrefix(name, "/aws/") {
		account = ""
	}
	return "arn:aws:ssm:" + region + ":" + account + ":parameter/" + strings.TrimPrefix(name, "/")
}

// Permissions are what the sender of a request must be allowed.
func Permissions(action, region, account string, body []byte) []iam.Request {
	var r request
	if err := json.Unmarshal(body, &r); err != nil { // is refused later
		r = request{}
	}
	names := r.Names
	if name := r.Name + r.Path; name != "" {
		names = append(names, name)
	}
	if len(names) == 0 || strings.HasPrefix(action, "Describe") {
		return []iam.Request{{Action: "ssm:" + action, Resource: "*"}}
	}
	var need []iam.Request
	for _, name := range names {
		need = append(need, iam.Request{Action: "ssm:" + action, Resource: ARN(region, account, name)})
	}
	return need
}
