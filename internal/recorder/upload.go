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

// uploadMode is the mode of an upload that brings none, as with Packer's SSH communicator.
const uploadMode = 0o644

// upload is one file on its way.
type upload struct {
	block  *block
	dst    string
	word   string // dst for sh
	isFile bool   // the file provisioner uploads it
	scan   bool   // Packer has rendered it, so that it may hold placeholders
}

// Upload records one file. It returns an error only to the file provisioner, which passes it on; others, shell first,
// would try again for five minutes. They find out by the exit status of their next command.
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

// temporaryInventory is the name of the inventory that ansible-local writes and uploads.
var temporaryInventory = regexp.MustCompile(`(^|/)packer-provisioner-ansible-local[0-9]+$`)

// beginUpload finds out whose upload it is, and whether it can be represented.
func (r *Recorder) beginUpload(dst string, info *os.FileInfo) (upload, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.speaker.of(call{kind: callUpload, path: dst, bare: info == nil})
	u := upload{
		block: b, dst: dst, isFile: b.kind == kindFile && info != nil, scan: b.rendered || temporaryInventory.MatchString(dst),
	}
	if r.stopped != nil {
		return u, r.stopped
	}
	word, err := fileWord(dst)
	if err = cmp.Or(r.always, err); err != nil {
		return u, r.refuse(b, err)
	}
	if len(r.refusals) > 0 {
		return u, errStopped
	}
	u.word = word
	r.tell()
	return u, nil
}

// endUpload copies the content to disk, without the lock: it may take long.
func (r *Recorder) endUpload(u upload, content io.Reader, info *os.FileInfo) error {
	sum, size, found, err := r.store(content, u.scan)
	switch {
	case err != nil:
		err = fmt.Errorf("record the upload to %s: %w", u.dst, err)
	case found != "":
		err = refusePlaceholder("what is uploaded to "+u.dst, found)
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

// modeOf is the mode the SSH communicator would have given the file.
func modeOf(info *os.FileInfo) os.FileMode {
	if info == nil || !(*info).Mode().IsRegular() {
		return uploadMode
	}
	return (*info).Mode().Perm()
}

// store writes content to a blob. Found is a placeholder of Packer's in it, when that is looked for.
func (r *Recorder) store(content io.Reader, scan bool) (sum string, size int64, found string, err error) {
	// After the end, the directory may be gone, and is not made again.
	if err := r.ended(); err != nil {
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
	if _, err := io.CopyBuffer(onlyWriter{target}, &watched{r, content}, make([]byte, copySize)); err != nil {
		b.discard()
		return "", 0, "", err
	}
	size = b.size
	sum, err = b.commit()
	return sum, size, scanner.found, err
}

// onlyWriter hides ReadFrom, so that everything passes through Write.
type onlyWriter struct{ io.Writer }

// watched is a content that ends with an error when the recording was stopped meanwhile.
type watched struct {
	r *Recorder
	io.Reader
}

func (w *watched) Read(p []byte) (int, error) {
	if err := w.r.ended(); err != nil {
		return 0, err
	}
	return w.Reader.Read(p)
}

// ended is why nothing is recorded any more, or nil.
func (r *Recorder) ended() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped
}

var errDownload = errors.New("there is nothing to download from: no machine has run yet. Remove the block; to keep a file of the " +
	"machine, let it copy it to S3 itself")

// Download is refused. Its callers do not try again.
func (r *Recorder) Download(src string, _ io.Writer) error {
	return r.refuseCall(call{kind: callDownload, path: src}, fmt.Errorf("download %s: %w", src, errDownload))
}

// DownloadDir is refused. Its callers do not try again.
func (r *Recorder) DownloadDir(src, _ string, _ []string) error {
	return r.refuseCall(call{kind: callDownload, path: src}, fmt.Errorf("download %s: %w", src, errDownload))
}

// UploadDir records a directory of this computer: what it holds, or with no slash at the end of src, itself.
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
	b := r.speaker.of(call{kind: callUploadDir, path: dst})
	if r.stopped != nil {
		return b, "", r.stopped
	}
	word, err := dirWord(dst)
	if err = cmp.Or(r.always, err); err != nil {
		return b, "", r.refuse(b, err)
	}
	if len(r.refusals) > 0 {
		return b, "", errStopped
	}
	r.tell()
	return b, word, nil
}
