// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/reuse"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// payload is what goes to the machine, as far as it does not depend on the launch.
type payload struct {
	document []byte // the machine's program, not compressed and without a delivery; nil with verbatim
	verbatim []byte // user data that is launched as it is: verdict = "stop"
	fs       stagedFile

	recording recording // what the provisioners did

	withoutLines bool // the user data has no room for the program that sends lines

	userDataSHA256 string // of the user data as compiled or given, for the image's tags
	name, version  string // NAME and VERSION of ami.env
}

// stagedFile is a file for the machine that goes by S3; without a Path there is none.
type stagedFile struct {
	bundle.File

	key string // "" until it is staged
}

// preparePayload compiles the Image-Source, or reads the bundle or the user data.
func preparePayload(ctx context.Context, b *build) (err error) {
	switch c := b.config; {
	case c.ImageSource != "":
		b.payload, err = compile(ctx, b.Bake, c.bundleOptions)
	case c.Bundle != "":
		b.payload, err = readBundle(c.Bundle)
	case c.isSet():
		b.payload, err = readUserData(&c.InputConfig, c.Verdict)
	default:
		b.payload, err = emptyPayload()
	}
	if err != nil {
		return err
	}
	return checkSize(b)
}

// compile compiles an Image-Source; optionsFor says how, given where to.
func compile(ctx context.Context, b *bake.Bake, optionsFor func(target string) bundle.Options) (payload, error) {
	dir, err := os.MkdirTemp("", "bakery-bundle-")
	if err != nil {
		return payload{}, fmt.Errorf("make a directory to compile into: %w", err)
	}
	b.Ledger.AddDirectory(dir)
	options := optionsFor(dir)
	b.Say("Compiling %s...", options.Source)
	options.Output = func(line string) { b.Say("    %s", line) }
	compiled, err := bundle.Compile(ctx, options)
	if err != nil {
		return payload{}, fmt.Errorf("compile %s: %w", options.Source, err)
	}
	return bundlePayload(compiled)
}

func readBundle(dir string) (payload, error) {
	read, err := bundle.Read(dir)
	if err != nil {
		return payload{}, fmt.Errorf("read the bundle %s: %w", dir, err)
	}
	return bundlePayload(read)
}

func bundlePayload(from *bundle.Bundle) (payload, error) {
	compressed, err := os.ReadFile(from.UserData.Path)
	if err != nil {
		return payload{}, fmt.Errorf("read the user data of the bundle: %w", err)
	}
	document, err := guest.Decompress(compressed)
	if err != nil {
		return payload{}, fmt.Errorf("read the user data of the bundle: %w", err)
	}
	return payload{
		document: document, fs: stagedFile{File: from.FS},
		userDataSHA256: from.UserData.SHA256, name: from.Name, version: from.Version,
	}, nil
}

// readUserData reads user data that was written by hand.
func readUserData(c *InputConfig, verdict string) (payload, error) {
	content := []byte(c.UserData)
	if path := c.UserDataFile; path != "" {
		var err error
		if content, err = os.ReadFile(path); err != nil {
			return payload{}, fmt.Errorf("read user_data_file: %w", err)
		}
	}
	sum := sha256Hex(content)
	if verdict == setting.VerdictStop {
		return payload{verbatim: content, userDataSHA256: sum}, nil
	}
	document, err := guest.Wrap(content)
	if err != nil {
		return payload{}, fmt.Errorf("wrap the user data so that it reports; verdict = \"stop\" launches it as it "+
			"is: %w", err)
	}
	return payload{document: document, userDataSHA256: sum}, nil
}

// emptyPayload does nothing: all that will happen is recorded by provisioners.
func emptyPayload() (payload, error) {
	document, err := guest.Document(guest.Program{})
	if err != nil {
		return payload{}, err
	}
	return payload{document: document, userDataSHA256: sha256Hex(document)}, nil
}

// inputDigest returns the digest of all that the machine is told. User data that was written by hand is digested with
// the guest program around it, which may differ for the same user data.
func (p *payload) inputDigest() string {
	if p.document == nil {
		return p.userDataSHA256
	}
	return reuse.SHA256(string(p.document))
}

// checkSize finds out early that something needs staging and there is none. With staging there is no limit.
func checkSize(b *build) error {
	if b.config.Staging != nil {
		return nil
	}
	p := &b.payload
	if p.fs.Path != "" {
		return fmt.Errorf("fs/ is %d bytes compressed, and the user data %d bytes; EC2 takes %d bytes of user data: "+
			"set staging { url = \"s3://bucket/prefix\" }, so that the machine fetches fs/ from S3",
			p.fs.Size, len(guest.Compress(p.document)), guest.MaxUserData)
	}
	userData, err := assembleUserData(b, stagedURLs{})
	if err != nil {
		return err
	}
	if len(userData) > guest.MaxUserData {
		what := ""
		if r := p.recording.guest; r != nil {
			what = fmt.Sprintf(", with the %d bytes of the recorded provisioners", len(r.Files.Inline))
		}
		return fmt.Errorf("the user data is %d bytes compressed%s, and EC2 takes %d: set staging { url = "+
			"\"s3://bucket/prefix\" }, so that the machine fetches it from S3", len(userData), what, guest.MaxUserData)
	}
	return nil
}

func sha256Hex(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
