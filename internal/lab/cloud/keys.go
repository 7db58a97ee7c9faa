// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"crypto/ed25519"
	"crypto/md5" //nolint:gosec // the fingerprint EC2 shows for an imported key is MD5
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // and SHA-1 for one that it made
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// KeyPair is a key pair without its private key, which nobody stores.
type KeyPair struct {
	ID, Region, Name, Type, Fingerprint string
	Public                              string // as in authorized_keys, with the name as its comment
	Created                             time.Time
	Tags                                Tags
}

// CreateKeyPair generates a real key pair, and returns it with its private key as PEM.
func (c *Cloud) CreateKeyPair(region, name, algorithm string, tags Tags) (KeyPair, string, error) {
	if name == "" || len(name) > 255 {
		return KeyPair{}, "", apierror.Errorf("InvalidParameterValue", "Value () for parameter keyName is invalid.")
	}
	public, private, fingerprint, err := newKey(algorithm)
	if err != nil {
		return KeyPair{}, "", err
	}
	k, err := c.addKey(KeyPair{Region: region, Name: name, Type: algorithm, Fingerprint: fingerprint, Public: public,
		Tags: maps.Clone(tags)})
	return k, private, err
}

// ImportKeyPair adds a public key in the format of authorized_keys.
func (c *Cloud) ImportKeyPair(region, name string, material []byte, tags Tags) (KeyPair, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey(material) //nolint:dogsled // comment and options are not needed
	if err != nil {
		return KeyPair{}, apierror.Errorf("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	sum := md5.Sum(key.Marshal()) //nolint:gosec // see the import
	algorithm := "rsa"
	if key.Type() == ssh.KeyAlgoED25519 {
		algorithm = "ed25519"
	}
	return c.addKey(KeyPair{
		Region: region, Name: name, Type: algorithm, Fingerprint: colonHex(sum[:]),
		Public: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), Tags: maps.Clone(tags),
	})
}

func (c *Cloud) addKey(k KeyPair) (KeyPair, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys[k.Region+"/"+k.Name] != nil {
		return KeyPair{}, apierror.Errorf("InvalidKeyPair.Duplicate", "The keypair already exists")
	}
	k.ID, k.Created, k.Public = NewID("key-"), time.Now().UTC(), k.Public+" "+k.Name
	c.keys[k.Region+"/"+k.Name] = &k
	return k, nil
}

// KeyPairs returns the key pairs with these names, or all of a region.
func (c *Cloud) KeyPairs(region string, names []string) ([]KeyPair, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range names {
		if c.keys[region+"/"+n] == nil {
			return nil, apierror.Errorf("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", n)
		}
	}
	var all []KeyPair
	for _, k := range sorted(c.keys) {
		if visibleIn(k.Region, region) && (len(names) == 0 || slices.Contains(names, k.Name)) {
			one := *k
			one.Tags = maps.Clone(k.Tags)
			all = append(all, one)
		}
	}
	return all, nil
}

// DeleteKeyPair deletes a key pair by its name or id. One that does not exist is not an error, as on EC2.
func (c *Cloud) DeleteKeyPair(region, name, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.keys, func(_ string, k *KeyPair) bool {
		return k.Region == region && (k.Name == name || k.ID == id)
	})
}

func newKey(algorithm string) (public, private, fingerprint string, err error) {
	switch algorithm {
	case "ed25519":
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return "", "", "", fmt.Errorf("make an ed25519 key: %w", err)
		}
		block, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			return "", "", "", fmt.Errorf("encode the ed25519 key: %w", err)
		}
		line, sum, err := authorizedKey(pub)
		return line, string(pem.EncodeToMemory(block)), sum, err
	case "rsa":
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return "", "", "", fmt.Errorf("make an RSA key: %w", err)
		}
		line, _, err := authorizedKey(&key.PublicKey)
		if err != nil {
			return "", "", "", err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return "", "", "", fmt.Errorf("encode the RSA key: %w", err)
		}
		sum := sha1.Sum(der) //nolint:gosec // see the import
		block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
		return line, string(pem.EncodeToMemory(block)), colonHex(sum[:]), nil
	}
	return "", "", "", apierror.Errorf("InvalidParameterValue", "Value (%s) for parameter KeyType is invalid.",
		algorithm)
}

func authorizedKey(public any) (line, fingerprint string, err error) {
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", "", fmt.Errorf("encode the public key: %w", err)
	}
	line = key.Type() + " " + base64.StdEncoding.EncodeToString(key.Marshal())
	return line, strings.TrimPrefix(ssh.FingerprintSHA256(key), "SHA256:") + "=", nil
}

func colonHex(sum []byte) string {
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = hex.EncodeToString([]byte{b})
	}
	return strings.Join(pairs, ":")
}
