// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/inputfile"
	"github.com/amibakery/packer-plugin-bakery/internal/reuse"
	"github.com/amibakery/packer-plugin-bakery/internal/scratch"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// payload is what goes to the machine, as far as it does not depend on the launch.
type payload struct {
	document []byte // the machine's program, not compressed and without a delivery; nil with verbatim
	verbatim []byte // user data that is launched as it is: verdict = "stop"
	fs       stagedFile

	recording recording // what the provisioners did

	withoutLines bool // the user data has no room for the program that sends lines

	userDataSHA256 string // of the user data as compiled or given; not for others: see reuse.SlowDigest
	name, version  string // NAME and VERSION of ami.env
}

// stagedFile is a file for the machine that goes by S3; without a Path there is none.
type stagedFile struct {
	bundle.File

	key string // "" until it is staged
}

// publicDigest returns a digest of the file for names and tags, which others may read, or "" without a file.
func (f *stagedFile) publicDigest() (string, error) {
	if f.SHA256 == "" {
		return "", nil
	}
	return reuse.SlowDigest([]byte(f.SHA256))
}

// preparePayload compiles the Image-Source, or reads the bundle or the user data.
func preparePayload(ctx context.Context, b *build) (err error) {
	switch c := b.config; {
	case c.ImageSource != "":
		b.payload, err = compile(ctx, b.Bake, func(target string) bundle.Options {
			return c.bundleOptions(target, c.IgnoreFailures)
		})
	case c.Bundle != "":
		b.payload, err = readBundle(c.Bundle)
	case c.isSet():
		b.payload, err = readUserData(&c.InputConfig, c.Verdict, c.IgnoreFailures)
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
	dir, err := scratch.New()
	if err != nil {
		return payload{}, fmt.Errorf("make a directory to compile into: %w", err)
	}
	b.Ledger.AddDirectory(dir)
	options := optionsFor(dir.Path)
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

// maxBundleUserData bounds the memory for the user data of a bundle, compressed.
const maxBundleUserData = 64 << 20

func bundlePayload(from *bundle.Bundle) (payload, error) {
	compressed, err := inputfile.Read(from.UserData.Path, maxBundleUserData)
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
func readUserData(c *InputConfig, verdict string, ignored []string) (payload, error) {
	name, content, err := c.writtenUserData()
	if err != nil {
		return payload{}, err
	}
	sum := sha256Hex(content)
	if verdict == setting.VerdictStop {
		return payload{verbatim: content, userDataSHA256: sum}, nil
	}
	program, _, err := readProgram(name, content, ignored) // Prepare has shown the warnings
	if err != nil {
		return payload{}, err
	}
	document, err := guest.Document(program)
	if err != nil {
		return payload{}, fmt.Errorf("make the document of the user data: %w", err)
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

// checkSize finds out early that something needs staging and there is none, or that the user data is too large and of a
// form that cannot be staged. With staging there is no other limit.
func checkSize(b *build) error {
	if b.config.Staging != nil {
		return checkStageable(b)
	}
	p := &b.payload
	if p.fs.Path != "" {
		return fmt.Errorf("fs/ is %d bytes compressed, and the user data %d bytes; EC2 takes %d bytes of user data: "+
			"set staging { url = \"s3://bucket/prefix\" }, so that the machine fetches fs/ from S3",
			p.fs.Size, len(guest.Compress(p.document)), guest.MaxUserData)
	}
	userData, err := assembleUserData(b, launchToMeasure(b), stagedURLs{})
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

// checkStageable finds out early that user data which is too large has a form that cannot be staged. The URLs that are
// signed at the launch make it larger still, so that some are found out only then.
func checkStageable(b *build) error {
	var urls stagedURLs
	if b.payload.recording.archive.Path != "" {
		urls.recording = b.stage.URL(recordingName) // not signed yet
	}
	userData, err := assembleUserData(b, launchToMeasure(b), urls)
	if err != nil || len(userData) <= guest.MaxUserData {
		return err
	}
	_, err = stagedContent(b, urls)
	return err
}

// launchToMeasure returns a launch for user data that is only measured.
func launchToMeasure(b *build) guest.Launch {
	return guest.Launch{Reader: guest.Reader{BakeID: b.ID, Key: guest.NewKey()}}
}

func sha256Hex(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
