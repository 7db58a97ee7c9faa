// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package baseimage

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// apt is apt with directories of its own, so that it needs neither root nor the package lists of this computer.
type apt struct {
	work         string
	architecture string // of the packages
	sources      []string
	options      []string // as `Name "value"`
}

// downloadKernel downloads the package of the current kernel and returns its path.
func (a apt) downloadKernel(ctx context.Context) (string, error) {
	if _, err := os.Stat(keyring); err != nil {
		return "", fmt.Errorf("%w; install it with: apt-get install debian-archive-keyring", err)
	}
	if err := a.configure(); err != nil {
		return "", err
	}
	if _, err := a.run(ctx, "apt-get", "-q", "update"); err != nil {
		return "", err
	}
	kernelPackage := "linux-image-cloud-" + a.architecture // depends on it
	output, err := a.run(ctx, "apt-cache", "depends", "--important", kernelPackage)
	if err != nil {
		return "", err
	}
	_, name, found := strings.Cut(output, "Depends: linux-image-")
	if !found {
		return "", fmt.Errorf("find the kernel that %s depends on: apt-cache says %q", kernelPackage, output)
	}
	name, _, _ = strings.Cut("linux-image-"+name, "\n")
	if _, err := a.run(ctx, "apt-get", "-q", "download", strings.TrimSpace(name)); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(a.work, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("find the package that apt-get downloaded: %d are there (%w)", len(debs), err)
	}
	return debs[0], nil
}

// configure creates apt's directories and the file that names them.
func (a apt) configure() error {
	var problems []error
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial", "parts"} {
		problems = append(problems, os.MkdirAll(filepath.Join(a.work, dir), 0o755))
	}
	settings := append([]string{
		`Dir::Etc::SourceList "` + filepath.Join(a.work, "sources.list") + `"`,
		`Dir::Etc::SourceParts "` + filepath.Join(a.work, "parts") + `"`,
		`Dir::Etc::Parts "` + filepath.Join(a.work, "parts") + `"`,
		`Dir::State "` + filepath.Join(a.work, "state") + `"`,
		`Dir::State::Status "` + filepath.Join(a.work, "status") + `"`,
		`Dir::Cache "` + filepath.Join(a.work, "cache") + `"`,
		`APT::Architecture "` + a.architecture + `"`, `APT::Architectures:: "` + a.architecture + `"`,
		`APT::Sandbox::User "root"`, `Acquire::Languages "none"`,
	}, a.options...)
	for name, text := range map[string]string{
		"apt.conf":     strings.Join(settings, ";\n") + ";\n",
		"sources.list": strings.Join(a.sources, "\n") + "\n",
		"status":       "",
	} {
		problems = append(problems, os.WriteFile(filepath.Join(a.work, name), []byte(text), 0o644))
	}
	return errors.Join(problems...)
}

func (a apt) run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = a.work
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.work, "apt.conf"), "LC_ALL=C")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lastLines(errs.String(), 15))
	}
	return out.String(), nil
}

// unpack writes the required files of a package to a directory.
func (k kernel) unpack(ctx context.Context, deb, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	got, err := k.extract(tar.NewReader(out), dir)
	_, _ = io.Copy(io.Discard, out) // otherwise dpkg-deb fails when reading ends early
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return err
	}
	if want := len(k.modules) + 1; got != want {
		return fmt.Errorf("%d of %d files are in it", got, want)
	}
	return nil
}

func (k kernel) extract(from *tar.Reader, dir string) (got int, err error) {
	for {
		header, err := from.Next()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		name := k.file(header.Name)
		if name == "" || header.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o644)
		}
		if err != nil {
			return got, err
		}
		got++
	}
}
