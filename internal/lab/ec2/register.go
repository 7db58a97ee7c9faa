// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

func registerImage(s *Server, r *request) (any, error) {
	q, p := r.query, &reader{q: r.query}
	n := cloud.Register{
		Region: r.region, Name: p.require("Name"), Description: p.description(),
		RootDevice:   p.require("RootDeviceName"),
		Architecture: cmp.Or(q.String("Architecture"), "i386"), Devices: p.devices(), Tags: p.tags("image"),
		ENA:      p.bool("EnaSupport"),
		BootMode: p.oneOf("BootMode", "uefi", "uefi-preferred", "legacy-bios"), TPM: p.oneOf("TpmSupport", "v2.0"),
		IMDS: p.oneOf("ImdsSupport", "v2.0"), SriovNet: p.oneOf("SriovNetSupport", "simple"),
	}
	if p.err != nil {
		return nil, p.err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	image, err := s.Cloud.RegisterImage(n)
	return imageID{image.ID}, err
}
