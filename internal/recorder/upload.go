// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// copySize is how much of an upload is in memory at once.
const copySize = 256 << 10

// uploadMode is the mode of an upload without file information, as with Packer's SSH communicator.
const uploadMode = 0o644

// upload is one file that is being recorded.
type upload struct {
	block  *block
	dst    string
	word   string // dst for sh
	isFile bool   // the file provisioner uploads it
	scan   bool   // Packer has rendered it, so it may contain placeholders
}

// Upload records one file. It returns an error only to the file provisioner, which fails with it. Others, such as
// shell, would try again for five minutes; they get exit status 1 from their next command instead.
func (r *Recorder) Upload(dst string, content io.Reader, info *os.FileInfo) error {
	if dst == bundle.JoinPath {
		return r.join(content)
	}
	u, err := r.beginUpload(dst, info)
	if err == nil {
		err = r.endUpload(u, content, info)
	}
	if u.isFile {
		return err
	}
	return nil
}

// temporaryInventory matches the inventory that ansible-local writes and uploads.
var temporaryInventory = regexp.MustCompile(`(^|/)packer-provisioner-ansible-local[0-9]+$`)

// beginUpload finds the provisioner of an upload, and checks whether the upload can be recorded.
func (r *Recorder) beginUpload(dst string, info *os.FileInfo) (upload, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.tracker.blockFor(call{kind: callUpload, path: dst, noInfo: info == nil})
	u := upload{
		block:  b,
		dst:    dst,
		isFile: b.kind == kindFile && info != nil,
		scan:   b.rendered || temporaryInventory.MatchString(dst),
	}
	if r.stopped != nil {
		return u, r.stopped
	}
	word, err := fileWord(dst)
	if err = cmp.Or(r.refuseAll, err); err != nil {
		return u, r.refuse(b, err)
	}
	if len(r.refusals) > 0 {
		return u, errStopped
	}
	u.word = word
	r.announceOnce()
	return u, nil
}

// endUpload copies the content to disk, without the lock, because that may take long.
func (r *Recorder) endUpload(u upload, content io.Reader, info *os.FileInfo) error {
	sum, size, found, err := r.store(content, u.scan)
	switch {
	case err != nil:
		err = fmt.Errorf("record the upload to %s: %w", u.dst, err)
	case found != "":
		err = errPlaceholder("what is uploaded to "+u.dst, found)
	case info != nil && (*info).Mode().IsRegular() && size != (*info).Size():
		err = fmt.Errorf("record the upload to %s: %d of %d bytes arrived", u.dst, size, (*info).Size())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped != nil {
		return r.stopped
	}
	if err != nil {
		return r.refuse(u.block, err)
	}
	r.uploaded = u.dst
	r.log.Files++
	r.log.Bytes += size
	return r.record(u.block, fmt.Sprintf("bakery_upload %s %04o %s\n", sum, modeOf(info), u.word))
}

// modeOf returns the mode that the SSH communicator would have given the file.
func modeOf(info *os.FileInfo) os.FileMode {
	if info == nil || !(*info).Mode().IsRegular() {
		return uploadMode
	}
	return (*info).Mode().Perm()
}

// store writes content to a blob. With scan, found is the first placeholder of Packer's in it.
func (r *Recorder) store(content io.Reader, scan bool) (sum string, size int64, found string, err error) {
	// After the end, the directory may have been removed, and must not be made again.
	if err := r.stopErr(); err != nil {
		return "", 0, "", err
	}
	b, err := r.blobs.create()
	if err != nil {
		return "", 0, "", err
	}
	target, scanner := io.Writer(b), &placeholderScanner{}
	if scan {
		target = io.MultiWriter(b, scanner)
	}
	if _, err := io.CopyBuffer(onlyWriter{target}, &stoppableReader{r, content}, make([]byte, copySize)); err != nil {
		b.discard()
		return "", 0, "", err
	}
	size = b.size
	sum, err = b.commit()
	return sum, size, scanner.found, err
}

// onlyWriter hides ReadFrom, so that all bytes pass through Write.
type onlyWriter struct{ io.Writer }

// stoppableReader returns an error when the recording is stopped while it is read.
type stoppableReader struct {
	r *Recorder
	io.Reader
}

func (w *stoppableReader) Read(p []byte) (int, error) {
	if err := w.r.stopErr(); err != nil {
		return 0, err
	}
	return w.Reader.Read(p)
}

// stopErr returns why nothing is recorded any more, or nil.
func (r *Recorder) stopErr() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped
}

var errDownload = errors.New(
	"there is nothing to download from: no machine has run yet. Remove the block; to save a file " +
		"of the machine, let it copy the file to S3 itself",
)

// Download is refused. Its callers do not try again.
func (r *Recorder) Download(src string, _ io.Writer) error {
	return r.refuseCall(call{kind: callDownload, path: src}, fmt.Errorf("download %s: %w", src, errDownload))
}

// DownloadDir is refused. Its callers do not try again.
func (r *Recorder) DownloadDir(src, _ string, _ []string) error {
	return r.refuseCall(call{kind: callDownload, path: src}, fmt.Errorf("download %s: %w", src, errDownload))
}

// UploadDir records a local directory: its contents, or without a slash at the end of src, the directory itself.
func (r *Recorder) UploadDir(dst, src string, exclude []string) error {
	b, word, err := r.beginUploadDir(dst)
	if err != nil {
		return err
	}
	t, err := r.uploadTree(src, exclude)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped != nil {
		return r.stopped
	}
	if err != nil {
		return r.refuse(b, fmt.Errorf("upload the directory %s: %w", src, err))
	}
	r.uploaded = ""
	r.log.Files += t.files
	r.log.Bytes += t.bytes
	return r.record(b, fmt.Sprintf("bakery_updir %s %s %s\n", word, shell.Quote(t.name), t.sum))
}

func (r *Recorder) beginUploadDir(dst string) (*block, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.tracker.blockFor(call{kind: callUploadDir, path: dst})
	if r.stopped != nil {
		return b, "", r.stopped
	}
	word, err := dirWord(dst)
	if err = cmp.Or(r.refuseAll, err); err != nil {
		return b, "", r.refuse(b, err)
	}
	if len(r.refusals) > 0 {
		return b, "", errStopped
	}
	r.announceOnce()
	return b, word, nil
}
