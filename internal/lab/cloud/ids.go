// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"crypto/rand"
	"encoding/hex"
	"regexp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// kind is a kind of resource: the prefix of its ids, and EC2's error codes for wrong ones.
type kind struct {
	prefix    string
	malformed string
	notFound  string
	noun      string // in EC2's messages
}

var (
	kindInstance = kind{"i-", "InvalidInstanceID.Malformed", "InvalidInstanceID.NotFound", "instance"}
	kindImage    = kind{"ami-", "InvalidAMIID.Malformed", "InvalidAMIID.NotFound", "image"}
	kindSnapshot = kind{"snap-", "InvalidSnapshotID.Malformed", "InvalidSnapshot.NotFound", "snapshot"}
	kindVolume   = kind{"vol-", "InvalidVolumeID.Malformed", "InvalidVolume.NotFound", "volume"}
	kindGroup    = kind{"sg-", "InvalidGroupId.Malformed", "InvalidGroup.NotFound", "security group"}
	kindSubnet   = kind{"subnet-", "InvalidSubnetID.Malformed", "InvalidSubnetID.NotFound", "subnet"}
	kindVPC      = kind{"vpc-", "InvalidVpcID.Malformed", "InvalidVpcID.NotFound", "vpc"}
)

var idTail = regexp.MustCompile(`^([0-9a-f]{8}|[0-9a-f]{17})$`)

// check returns EC2's error for a malformed id; unknown ids are not an error.
func (k kind) check(id string) error {
	if len(id) > len(k.prefix) && id[:len(k.prefix)] == k.prefix && idTail.MatchString(id[len(k.prefix):]) {
		return nil
	}
	return apierror.Errorf(k.malformed, "Invalid id: %q (expecting %q)", id, k.prefix+"...")
}

func (k kind) missing(id string) error {
	if k == kindImage {
		return apierror.Errorf(k.notFound, "The image id '[%s]' does not exist", id)
	}
	return apierror.Errorf(k.notFound, "The %s ID '%s' does not exist", k.noun, id)
}

// NewID returns a random id of 17 hexadecimal digits, the form of EC2's ids since 2018.
func NewID(prefix string) string {
	var b [9]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead (crypto/rand, Go 1.24)
	return prefix + "0" + hex.EncodeToString(b[:])[:16]
}
