// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"cmp"
	"slices"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

type keyXML struct {
	ID          string  `xml:"keyPairId"`
	Name        string  `xml:"keyName"`
	Fingerprint string  `xml:"keyFingerprint"`
	Type        string  `xml:"keyType,omitempty"`
	Tags        *tagSet `xml:"tagSet"`
	Created     string  `xml:"createTime,omitempty"`
	Public      string  `xml:"publicKey,omitempty"`
	Material    string  `xml:"keyMaterial,omitempty"`
}

func createKeyPair(s *Server, r *request) (any, error) {
	p := &reader{q: r.query}
	name, algorithm, tags := p.require("KeyName"), cmp.Or(p.oneOf("KeyType", "rsa", "ed25519"),
		"rsa"), p.tags("key-pair")
	if f := p.oneOf("KeyFormat", "pem", "ppk"); f == "ppk" {
		return nil, apierror.Errorf("UnsupportedOperation", "The lab makes keys as pem only.")
	}
	if p.err != nil {
		return nil, p.err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	k, private, err := s.Cloud.CreateKeyPair(r.region, name, algorithm, tags)
	return keyXML{ID: k.ID, Name: k.Name, Fingerprint: k.Fingerprint, Tags: tagged(k.Tags), Material: private}, err
}

func importKeyPair(s *Server, r *request) (any, error) {
	p := &reader{q: r.query}
	name, material, tags := p.require("KeyName"), p.base64("PublicKeyMaterial"), p.tags("key-pair")
	if p.err != nil {
		return nil, p.err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	k, err := s.Cloud.ImportKeyPair(r.region, name, material, tags)
	return keyXML{ID: k.ID, Name: k.Name, Fingerprint: k.Fingerprint, Tags: tagged(k.Tags)}, err
}

func describeKeyPairs(s *Server, r *request) (any, error) {
	public, err := r.query.True("IncludePublicKey")
	if err != nil {
		return nil, err
	}
	all, err := s.Cloud.KeyPairs(r.region, r.query.Strings("KeyName"))
	if err != nil {
		return nil, err
	}
	if ids := r.query.Strings("KeyPairId"); len(ids) > 0 {
		for _, id := range ids {
			if !slices.ContainsFunc(all, func(k cloud.KeyPair) bool { return k.ID == id }) {
				return nil, apierror.Errorf("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", id)
			}
		}
		all = slices.DeleteFunc(all, func(k cloud.KeyPair) bool { return !slices.Contains(ids, k.ID) })
	}
	all, err = filtered(r.query, all, func(k cloud.KeyPair) fields {
		return fields{tags: k.Tags,
			values: map[string][]string{"key-name": {k.Name}, "key-pair-id": {k.ID}, "fingerprint": {k.Fingerprint}}}
	})
	if err != nil {
		return nil, err
	}
	var x struct {
		Items []keyXML `xml:"keySet>item"`
	}
	for _, k := range all {
		one := keyXML{ID: k.ID, Name: k.Name, Fingerprint: k.Fingerprint, Type: k.Type, Tags: tagged(k.Tags),
			Created: stamp(k.Created)}
		if public {
			one.Public = k.Public
		}
		x.Items = append(x.Items, one)
	}
	return x, nil
}

func deleteKeyPair(s *Server, r *request) (any, error) {
	name, id := r.query.String("KeyName"), r.query.String("KeyPairId")
	if name == "" && id == "" {
		return nil, missing("KeyName or KeyPairId")
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	s.Cloud.DeleteKeyPair(r.region, name, id)
	return struct {
		Return bool   `xml:"return"`
		ID     string `xml:"keyPairId,omitempty"`
	}{true, id}, nil
}
