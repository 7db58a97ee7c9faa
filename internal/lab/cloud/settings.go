// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import "github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"

// The states of block public access, for AMIs and for snapshots:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/block-public-access-to-amis.html.
const (
	Unblocked       = "unblocked"
	BlockNewSharing = "block-new-sharing"
	BlockAllSharing = "block-all-sharing" // of snapshots
)

// Settings are those of the account in a region. The zero value is that of an account before 2023; those of new ones
// block public access.
type Settings struct {
	EncryptsDisks   bool   // EBS encryption by default
	DefaultKey      string // of EBS, as it was named; "": the one that AWS manages
	PublicImages    string // the state of block public access for AMIs; "": unblocked
	PublicSnapshots string // and for snapshots
}

// Settings returns the settings of the account in a region.
func (c *Cloud) Settings(region string) Settings {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings[region]
}

// ChangeSettings changes the settings of the account in a region, and returns them.
func (c *Cloud) ChangeSettings(region string, change func(*Settings)) Settings {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.settings[region]
	change(&s)
	c.settings[region] = s
	return s
}

// newEncryption returns the encryption of a new resource, by what encryptionOf takes and the settings of the account.
// The caller holds c.mu.
func (c *Cloud) newEncryption(region string, from encryption, on *bool, key string) (encryption, error) {
	s := c.settings[region]
	if s.EncryptsDisks {
		yes := true
		on = &yes
	}
	if key == "" && !from.on && on != nil && *on {
		key = s.DefaultKey
	}
	return encryptionOf(region, from, on, key)
}

// checkPublicImage returns EC2's error for making an image public where the account keeps that from happening.
func (c *Cloud) checkPublicImage(old, now *Image) error {
	if now.Public && !old.Public && isBlocked(c.settings[now.Region].PublicImages) {
		return apierror.New("OperationNotPermitted", "You can't publicly share this image because block public "+
			"access for AMIs is enabled for this account. To publicly share the image, you must call the "+
			"DisableImageBlockPublicAccess API.")
	}
	return nil
}

// checkPublicSnapshot is checkPublicImage for a snapshot.
func (c *Cloud) checkPublicSnapshot(old, now *Snapshot) error {
	if now.Public && !old.Public && isBlocked(c.settings[now.Region].PublicSnapshots) {
		return apierror.New("OperationNotPermitted", "You can't publicly share this snapshot because block public "+
			"access for snapshots is enabled for this account in this Region.")
	}
	return nil
}

func isBlocked(state string) bool { return state != "" && state != Unblocked }
