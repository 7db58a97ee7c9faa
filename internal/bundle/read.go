// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/imagesource"
	"github.com/amibakery/packer-plugin-bakery/internal/inputfile"
)

// Read reads the bundle in dir and verifies that its files are those that were compiled.
func Read(dir string) (*Bundle, error) {
	env, err := readVars(dir)
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", dir, err)
	}
	b := &Bundle{Dir: dir, Env: env, Name: env["NAME"], Version: env["VERSION"]}
	fsFile, err := b.expectedFiles()
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", dir, err)
	}
	errs := []error{b.UserData.verify()}
	if fsFile.SHA256 != "" && !b.FSInline {
		b.FS = fsFile
		errs = append(errs, b.FS.verify())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("bundle %s: %w", dir, err)
	}
	b.NeedsStaging = b.needsStaging()
	return b, nil
}

func (b *Bundle) needsStaging() bool { return b.FS.Path != "" || b.UserData.Size > guest.MaxUserData }

func readVars(dir string) (map[string]string, error) {
	content, err := inputfile.Read(filepath.Join(dir, VarsName), imagesource.MaxEnv)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing; compile the Image-Source into this directory first", VarsName)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", VarsName, err)
	}
	env, problems := imagesource.ParseEnv(VarsName, content)
	return env.Vars, problems.Err()
}

// expectedFiles reads from vars.env which files there must be. The result is the archive of fs/, also when it is in the
// user data.
func (b *Bundle) expectedFiles() (File, error) {
	userData, errUserData := b.file(UserDataName, varUserDataSHA256, varUserDataSize)
	fsFile, errFS := b.file(FSName, varFSSHA256, varFSSize)
	inline, errInline := strconv.ParseBool(b.Env[varFSInline])
	if errInline != nil {
		errInline = fmt.Errorf("%s: %s must be true or false, and is %q; %s", VarsName, varFSInline, b.Env[varFSInline],
			advice)
	}
	if errUserData == nil && userData.SHA256 == "" {
		errUserData = fmt.Errorf("%s: %s is missing; %s", VarsName, varUserDataSHA256, advice)
	}
	b.UserData, b.FSInline = userData, inline
	return fsFile, errors.Join(errUserData, errFS, errInline)
}

const advice = "compile the Image-Source again, or launch with user_data_file what another tool has made"

func (b *Bundle) file(name, sumVar, sizeVar string) (File, error) {
	size, err := strconv.ParseInt(b.Env[sizeVar], 10, 64)
	if err != nil {
		return File{}, fmt.Errorf("%s: %s must be a number of bytes, and is %q; %s", VarsName, sizeVar, b.Env[sizeVar],
			advice)
	}
	return File{Path: filepath.Join(b.Dir, name), SHA256: b.Env[sumVar], Size: size}, nil
}

// verify compares the file with its expected size, which is quick, and then with its checksum.
func (f File) verify() error {
	name := filepath.Base(f.Path)
	opened, err := inputfile.Open(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing; %s says it has %d bytes", name, VarsName, f.Size)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		return err
	}
	if info.Size() != f.Size {
		return fmt.Errorf("%s has %d bytes, %s says %d", name, info.Size(), VarsName, f.Size)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, opened); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != f.SHA256 {
		return fmt.Errorf("%s has the sha256 %s, %s says %s", name, got, VarsName, f.SHA256)
	}
	return nil
}
