// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import (
	"cmp"
	"strconv"
)

// Settings are those of an account in a region that images are shared under. The zero value is that of a new account
// before 2023, in which everything can be shared.
type Settings struct {
	EncryptsDisks   bool   // EBS encryption by default
	DefaultKey      string // "": that of AWS
	PublicImages    string // the state of block public access for AMIs; "": unblocked
	PublicSnapshots string // and for snapshots
}

// actOnSettings answers the calls that read the settings of the account.
func (a *Account) actOnSettings(q query) (answer string, failure *Failure, known bool) {
	s := a.Settings[q.region]
	if s == nil {
		s = new(Settings)
	}
	switch q.action {
	case "GetEbsEncryptionByDefault":
		return value("ebsEncryptionByDefault", strconv.FormatBool(s.EncryptsDisks)), nil, true
	case "GetEbsDefaultKmsKeyId":
		return value("kmsKeyId", cmp.Or(s.DefaultKey, "alias/aws/ebs")), nil, true
	case "GetImageBlockPublicAccessState":
		return value("imageBlockPublicAccessState", cmp.Or(s.PublicImages, "unblocked")), nil, true
	case "GetSnapshotBlockPublicAccessState":
		return value("state", cmp.Or(s.PublicSnapshots, "unblocked")), nil, true
	}
	return "", nil, false
}
