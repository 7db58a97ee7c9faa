// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"cmp"
	"slices"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// settingHandlers are the actions on the settings of the account in a region.
func settingHandlers() map[string]handler {
	return map[string]handler{
		"GetEbsEncryptionByDefault":         changeSettings(nil, encryptsXML),
		"EnableEbsEncryptionByDefault":      changeSettings(encryptDisks(true), encryptsXML),
		"DisableEbsEncryptionByDefault":     changeSettings(encryptDisks(false), encryptsXML),
		"GetEbsDefaultKmsKeyId":             changeSettings(nil, defaultKeyXML),
		"ModifyEbsDefaultKmsKeyId":          changeSettings(setDefaultKey, defaultKeyXML),
		"ResetEbsDefaultKmsKeyId":           changeSettings(resetDefaultKey, defaultKeyXML),
		"GetImageBlockPublicAccessState":    changeSettings(nil, publicImagesXML),
		"EnableImageBlockPublicAccess":      changeSettings(blockImages, publicImagesXML),
		"DisableImageBlockPublicAccess":     changeSettings(unblockImages, publicImagesXML),
		"GetSnapshotBlockPublicAccessState": changeSettings(nil, publicSnapshotsXML),
		"EnableSnapshotBlockPublicAccess":   changeSettings(blockSnapshots, publicSnapshotsXML),
		"DisableSnapshotBlockPublicAccess":  changeSettings(unblockSnapshots, publicSnapshotsXML),
	}
}

// changeSettings returns a handler that changes the settings, if change is not nil, and answers with one of them.
func changeSettings(change func(*cloud.Settings, *Query) error, answer func(cloud.Settings, string) any) handler {
	return func(s *Server, r *request) (any, error) {
		if err := dryRun(r); err != nil {
			return nil, err
		}
		var refused error
		now := s.Cloud.ChangeSettings(r.region, func(settings *cloud.Settings) {
			if change != nil {
				refused = change(settings, r.query)
			}
		})
		return answer(now, r.region), refused
	}
}

func encryptsXML(s cloud.Settings, _ string) any {
	return struct {
		On bool `xml:"ebsEncryptionByDefault"`
	}{s.EncryptsDisks}
}

// defaultKeyXML has the alias of the key that AWS manages, and the ARN of any other.
func defaultKeyXML(s cloud.Settings, region string) any {
	key := "alias/aws/ebs"
	if s.DefaultKey != "" {
		key = cloud.KeyARN(region, s.DefaultKey)
	}
	return struct {
		Key string `xml:"kmsKeyId"`
	}{key}
}

func publicImagesXML(s cloud.Settings, _ string) any {
	return struct {
		State string `xml:"imageBlockPublicAccessState"`
	}{cmp.Or(s.PublicImages, cloud.Unblocked)}
}

func publicSnapshotsXML(s cloud.Settings, _ string) any {
	return struct {
		State string `xml:"state"`
	}{cmp.Or(s.PublicSnapshots, cloud.Unblocked)}
}

func encryptDisks(on bool) func(*cloud.Settings, *Query) error {
	return func(s *cloud.Settings, _ *Query) error {
		s.EncryptsDisks = on
		return nil
	}
}

func setDefaultKey(s *cloud.Settings, q *Query) error {
	key, err := q.Require("KmsKeyId")
	if err != nil {
		return err
	}
	s.DefaultKey = key
	return nil
}

func resetDefaultKey(s *cloud.Settings, _ *Query) error {
	s.DefaultKey = ""
	return nil
}

func blockImages(s *cloud.Settings, q *Query) error {
	return setState(&s.PublicImages, q, "ImageBlockPublicAccessState", cloud.BlockNewSharing)
}

func unblockImages(s *cloud.Settings, _ *Query) error {
	s.PublicImages = cloud.Unblocked
	return nil
}

func blockSnapshots(s *cloud.Settings, q *Query) error {
	return setState(&s.PublicSnapshots, q, "State", cloud.BlockNewSharing, cloud.BlockAllSharing)
}

func unblockSnapshots(s *cloud.Settings, _ *Query) error {
	s.PublicSnapshots = cloud.Unblocked
	return nil
}

// setState reads a state of block public access, one of those that are allowed.
func setState(to *string, q *Query, parameter string, allowed ...string) error {
	state, err := q.Require(parameter)
	if err != nil {
		return err
	}
	if !slices.Contains(allowed, state) {
		return apierror.Errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid.", state, parameter)
	}
	*to = state
	return nil
}
