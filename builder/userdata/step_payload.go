// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// payload is what goes to the machine, as far as it does not depend on the launch.
type payload struct {
	document []byte      // the machine's program, not compressed and without a delivery; nil with verbatim
	verbatim []byte      // user data that is launched as it is: verdict = "stop"
	fs       bundle.File // the staged fs.tgz; zero when there is none

	recording recording // what the provisioners did

	userDataSHA256 string // of the user data as compiled or given, for the image's tags
	name, version  string // NAME and VERSION of ami.env
}

// stepPayload compiles the Image-Source, or reads the bundle or the user data.
type stepPayload struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepPayload) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return step(ctx, state, phasePrepare, preparePayload)
}

func preparePayload(ctx context.Context, b *bake) error {
	var err error
	switch c := b.config; {
	case c.ImageSource != "":
		err = b.compile(ctx, c.bundleOptions)
	case c.Bundle != "":
		var read *bundle.Bundle
		if read, err = bundle.Read(c.Bundle); err != nil {
			err = fmt.Errorf("read the bundle %s: %w", c.Bundle, err)
		} else {
			err = b.takeBundle(read)
		}
	case c.given():
		err = b.takeUserData()
	default:
		err = b.takeNothing()
	}
	if err != nil {
		return err
	}
	return b.checkSize()
}

// compile compiles an Image-Source; options say how, given where to.
func (b *bake) compile(ctx context.Context, optionsFor func(target string) bundle.Options) error {
	dir, err := os.MkdirTemp("", "bakery-bundle-")
	if err != nil {
		return fmt.Errorf("make a directory to compile into: %w", err)
	}
	b.ledger.add("directory "+dir, func(context.Context) error { return os.RemoveAll(dir) }).
		by(func() []string { return []string{"rm -r " + word(dir)} })
	options := optionsFor(dir)
	b.say("Compiling %s...", options.Source)
	options.Output = func(line string) { b.say("    %s", line) }
	compiled, err := bundle.Compile(ctx, options)
	if err != nil {
		return fmt.Errorf("compile %s: %w", options.Source, err)
	}
	return b.takeBundle(compiled)
}

func (b *bake) takeBundle(from *bundle.Bundle) error {
	compressed, err := os.ReadFile(from.UserData.Path)
	if err != nil {
		return fmt.Errorf("read the user data of the bundle: %w", err)
	}
	document, err := guest.Decompress(compressed)
	if err != nil {
		return fmt.Errorf("read the user data of the bundle: %w", err)
	}
	b.payload = payload{
		document: document, fs: from.FS,
		userDataSHA256: from.UserData.SHA256, name: from.Name, version: from.Version,
	}
	return nil
}

// takeUserData takes user data that was written by hand.
func (b *bake) takeUserData() error {
	content := []byte(b.config.UserData)
	if path := b.config.UserDataFile; path != "" {
		var err error
		if content, err = os.ReadFile(path); err != nil {
			return fmt.Errorf("read user_data_file: %w", err)
		}
	}
	sum := sha256.Sum256(content)
	b.payload = payload{userDataSHA256: hex.EncodeToString(sum[:])}
	if b.config.Verdict == verdictStop {
		b.payload.verbatim = content
		return nil
	}
	document, err := guest.Wrap(content)
	if err != nil {
		return fmt.Errorf("wrap the user data so that it reports; verdict = \"stop\" launches it as it is: %w", err)
	}
	b.payload.document = document
	return nil
}

// takeNothing makes a document that does nothing: all that will happen is recorded by provisioners.
func (b *bake) takeNothing() error {
	document, err := guest.Document(guest.Program{})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(document)
	b.payload = payload{document: document, userDataSHA256: hex.EncodeToString(sum[:])}
	return nil
}

// checkSize finds out early that something needs staging and there is none. With staging there is no limit.
func (b *bake) checkSize() error {
	if b.config.Staging != nil {
		return nil
	}
	if b.payload.fs.Path != "" {
		return fmt.Errorf("fs/ is %d bytes compressed, and the user data %d bytes; EC2 takes %d bytes of user data: set "+
			"staging { url = \"s3://bucket/prefix\" }, so that the machine fetches fs/ from S3",
			b.payload.fs.Size, len(guest.Compress(b.payload.document)), guest.MaxUserData)
	}
	userData, err := b.assemble(urls{})
	if err != nil {
		return err
	}
	if len(userData) > guest.MaxUserData {
		what := ""
		if r := b.payload.recording.guest; r != nil {
			what = fmt.Sprintf(", with the %d bytes of the recorded provisioners", len(r.Files.Inline))
		}
		return fmt.Errorf("the user data is %d bytes compressed%s, and EC2 takes %d: set staging { url = \"s3://bucket/prefix\" }, "+
			"so that the machine fetches it from S3", len(userData), what, guest.MaxUserData)
	}
	return nil
}

// assemble makes the user data that is launched, out of the payload and what is only known at the launch. URLs that are
// not needed are empty.
func (b *bake) assemble(at urls) ([]byte, error) {
	if b.payload.verbatim != nil {
		return b.payload.verbatim, nil
	}
	userData, err := b.deliver(at, !b.mute)
	if err != nil || b.mute || b.config.Staging != nil || len(userData) <= guest.MaxUserData {
		return userData, err
	}
	small, err := b.deliver(at, false)
	if err != nil || len(small) > guest.MaxUserData {
		return userData, err
	}
	b.mute = true
	b.warn("the user data has no room left for what tells the lines that the machine prints: only its steps are shown; staging would make room")
	return small, nil
}

// deliver adds to the document what is only known at the launch, with what tells lines or without.
func (b *bake) deliver(at urls, lines bool) ([]byte, error) {
	d := guest.Delivery{
		BakeID:      b.id,
		Timeout:     machineTimeout(b.config.InstanceTimeout),
		FSURL:       at.fs,
		LogURL:      at.log.URL,
		LogHeaders:  at.log.Headers,
		SkipCleanup: b.config.SkipCleanup, WipeFreeSpace: b.config.WipeFreeSpace,

		Recording: b.payload.recording.guest, RecordingURL: at.recording,
	}
	if lines {
		d.Live, d.Key = b.config.logWay(), &b.key
		if d.Live == guest.ByStore && d.LogURL == "" { // not signed yet
			d.Live = guest.ByConsole
		}
	}
	if s := b.config.Staging; s != nil && s.Delivery == deliveryProfile {
		d.Profile, d.Region = true, b.store.Region()
	}
	document, err := guest.Deliver(b.payload.document, d)
	if err != nil {
		return nil, fmt.Errorf("assemble the user data: %w", err)
	}
	return guest.Compress(document), nil
}
