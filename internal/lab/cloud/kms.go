// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// defaultKeyAlias is the alias of the key that AWS manages for EBS in each account and region.
const defaultKeyAlias = "alias/aws/ebs"

// KeyARN returns the ARN of a key that a request names by id, by alias, or by the ARN of either; an empty name is the
// default key. The lab has no KMS: every key exists, and its id is computed from its alias.
func KeyARN(region, name string) string {
	name = cmp.Or(name, defaultKeyAlias)
	prefix := fmt.Sprintf("arn:aws:kms:%s:%s:", region, Account)
	if strings.HasPrefix(name, "arn:") {
		at := strings.LastIndex(name, ":")
		prefix, name = name[:at+1], name[at+1:]
	}
	name = strings.TrimPrefix(name, "key/")
	if strings.HasPrefix(name, "alias/") {
		h := sha256.Sum256([]byte(prefix + name))
		name = fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
	}
	return prefix + "key/" + name
}

// encryption is how a snapshot or a volume is encrypted; the zero value is not at all.
type encryption struct {
	on  bool
	key string // an ARN
}

// withDefaultKey reports whether it is encrypted with the default key, which cannot be shared.
func (s encryption) withDefaultKey() bool {
	if !s.on {
		return false
	}
	region := strings.Split(s.key, ":") // arn:aws:kms:REGION:...
	return len(region) > 3 && s.key == KeyARN(region[3], "")
}

// encryptionOf returns the encryption of a new resource in a region, by the request's parameters and the encryption of
// what it is created from.
func encryptionOf(region string, from encryption, on *bool, key string) (encryption, error) {
	switch {
	case key != "" && !from.on && (on == nil || !*on):
		return encryption{}, apierror.Errorf("InvalidParameterDependency",
			"The parameter KmsKeyId requires the parameter Encrypted to be set.")
	case key != "":
		return encryption{true, KeyARN(region, key)}, nil
	case from.on:
		return from, nil
	case on != nil && *on:
		return encryption{true, KeyARN(region, "")}, nil
	}
	return encryption{}, nil
}

// snapshotEncryption returns how a snapshot is encrypted. The caller holds c.mu.
func (c *Cloud) snapshotEncryption(snapshot string) encryption {
	if s := c.snapshots[snapshot]; s != nil && s.Encrypted {
		return encryption{true, s.KMSKey}
	}
	return encryption{}
}

// checkShared returns EC2's error for sharing an image whose encryption does not allow it.
func (c *Cloud) checkShared(old, now *Image) error {
	wider := len(now.Users) > len(old.Users) || len(now.Orgs) > len(old.Orgs) || len(now.OrgUnits) > len(old.OrgUnits)
	for _, d := range now.Devices {
		s := c.snapshotEncryption(d.SnapshotID)
		switch {
		case s.on && now.Public && !old.Public:
			return apierror.Errorf("UnsupportedOperation",
				"Encrypted snapshots can't be shared publicly. Specify another snapshot.")
		case s.withDefaultKey() && wider:
			return apierror.Errorf("InvalidParameter",
				"Snapshots encrypted with the AWS Managed CMK can't be shared. Specify another snapshot.")
		}
	}
	return nil
}

// checkSharedSnapshot is checkShared for a snapshot.
func checkSharedSnapshot(old, now *Snapshot) error {
	s := encryption{now.Encrypted, now.KMSKey}
	switch {
	case s.on && now.Public && !old.Public:
		return apierror.Errorf("OperationNotPermitted", "Encrypted snapshots cannot be shared publicly")
	case s.withDefaultKey() && len(now.Users) > len(old.Users):
		return apierror.Errorf("OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared")
	}
	return nil
}
