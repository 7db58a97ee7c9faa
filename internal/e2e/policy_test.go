// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// rights is everything that some documents of docs/iam allow, without one action of one statement.
type rights struct {
	documents  []string
	without    right
	withoutAll []string // actions, in all statements
	anywhere   bool     // in the whole bucket, not only below the prefix of quick labs
}

// ownKey is the key of KMS that docs/iam/kms.json is for in the lab.
const ownKey = "1234abcd-12ab-34cd-56ef-1234567890ab"

// right is one action of one statement of a document. The same action may stand in several, for different resources.
type right struct {
	document  string
	statement int
	sid       string
	action    string
}

func (r right) String() string {
	return fmt.Sprintf("%s.json %s %s", r.document, r.sid, r.action)
}

// document reads a policy of docs/iam, with the lab's names in the place of the reader's.
func document(t *testing.T, name, prefix string) (statements []map[string]any) {
	t.Helper()
	own := strings.NewReplacer("MY-ACCOUNT", cloud.Account, "MY-ROLE", labserver.Profile, "MY-BUCKET", labserver.Bucket,
		"MY-PREFIX", prefix, "MY-KEY", ownKey)
	var d struct{ Statement []map[string]any }
	if err := json.Unmarshal([]byte(own.Replace(readDocument(t, name+".json"))), &d); err != nil {
		t.Fatal(err)
	}
	return d.Statement
}

// readDocument reads a file of docs/iam.
func readDocument(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(packertest.Root(), "docs", "iam", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// actions lists the actions of a statement. A single one need not be a list.
func actions(statement map[string]any) []string {
	switch a := statement["Action"].(type) {
	case string:
		return []string{a}
	case []any:
		var all []string
		for _, one := range a {
			all = append(all, one.(string))
		}
		return all
	}
	return nil
}

// policy returns one document with all rights.
func (r rights) policy(t *testing.T) string {
	t.Helper()
	prefix := "quick"
	if r.anywhere {
		prefix = "*"
	}
	var all []map[string]any
	for _, name := range r.documents {
		for i, s := range document(t, name, prefix) {
			left := actions(s)
			if name == r.without.document && i == r.without.statement {
				left = slices.DeleteFunc(left, func(a string) bool { return a == r.without.action })
			}
			left = slices.DeleteFunc(left, func(a string) bool { return slices.Contains(r.withoutAll, a) })
			if s["Action"] = left; len(left) > 0 {
				all = append(all, s)
			}
		}
	}
	if len(all) == 0 { // a policy has at least one statement
		all = []map[string]any{{"Effect": "Deny", "Action": "*", "Resource": "*"}}
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": all})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// everyRight lists the actions of documents.
func everyRight(t *testing.T, documents ...string) []right {
	t.Helper()
	var all []right
	for _, name := range documents {
		for i, s := range document(t, name, "") {
			for _, a := range actions(s) {
				all = append(all, right{name, i, s["Sid"].(string), a})
			}
		}
	}
	return all
}

// documents lists the names of all policies in docs/iam.
func documents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(packertest.Root(), "docs", "iam", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no policies: %v", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".json")
	}
	return files
}
