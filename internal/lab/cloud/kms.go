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

// defaultKeyAlias is the key AWS makes and keeps for EBS in each account and region.
const defaultKeyAlias = "alias/aws/ebs"

// KeyARN is the ARN under which EC2 shows a key, whatever way a request names it: by id, alias, or the ARN of
// either; the default key when it names none. The lab has no KMS: every key exists, under an id made from its alias.
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

// sealed says how a thing is encrypted; the zero value is not at all.
type sealed struct {
	on  bool
	key string // an ARN
}

// byDefaultKey says whether it is encrypted with the key that cannot be shared.
func (s sealed) byDefaultKey() bool {
	if !s.on {
		return false
	}
	region := strings.Split(s.key, ":") // arn:aws:kms:REGION:...
	return len(region) > 3 && s.key == KeyARN(region[3], "")
}

// seal reads what a request says of encryption: of a new thing in a region, made of one that is sealed already.
func seal(region string, from sealed, on *bool, key string) (sealed, error) {
	switch {
	case key != "" && !from.on && (on == nil || !*on):
		return sealed{}, apierror.Errorf("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	case key != "":
		return sealed{true, KeyARN(region, key)}, nil
	case from.on:
		return from, nil
	case on != nil && *on:
		return sealed{true, KeyARN(region, "")}, nil
	}
	return sealed{}, nil
}

// sealOf is how a device's snapshot is encrypted; the caller holds c.mu.
func (c *Cloud) sealOf(snapshot string) sealed {
	if s := c.snapshots[snapshot]; s != nil && s.Encrypted {
		return sealed{true, s.KMSKey}
	}
	return sealed{}
}

// checkShared refuses what EC2 refuses when an image that has encrypted snapshots is given to others.
func (c *Cloud) checkShared(old, now *Image) error {
	wider := len(now.Users) > len(old.Users) || len(now.Orgs) > len(old.Orgs) || len(now.OrgUnits) > len(old.OrgUnits)
	for _, d := range now.Devices {
		s := c.sealOf(d.SnapshotID)
		switch {
		case s.on && now.Public && !old.Public:
			return apierror.Errorf("UnsupportedOperation", "Encrypted snapshots can't be shared publicly. Specify another snapshot.")
		case s.byDefaultKey() && wider:
			return apierror.Errorf("InvalidParameter", "Snapshots encrypted with the AWS Managed CMK can't be shared. Specify another snapshot.")
		}
	}
	return nil
}

// checkSharedSnapshot does the same for a snapshot.
func checkSharedSnapshot(old, now *Snapshot) error {
	s := sealed{now.Encrypted, now.KMSKey}
	switch {
	case s.on && now.Public && !old.Public:
		return apierror.Errorf("OperationNotPermitted", "Encrypted snapshots cannot be shared publicly")
	case s.byDefaultKey() && len(now.Users) > len(old.Users):
		return apierror.Errorf("OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared")
	}
	return nil
}
