// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"cmp"
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
	facts  bool   // dst has placeholders that the machine replaces

	scan *regexp.Regexp // the placeholders to look for in the content; nil for the user's own files
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
		scan:   b.placeholders(dst),
	}
	if r.stopped != nil {
		return u, r.stopped
	}
	word, err := fileWord(dst, b.kind)
	facts, factsErr := checkText("the destination "+dst, dst, renderedPattern)
	if err = cmp.Or(r.refuseAll, err, factsErr); err != nil {
		return u, r.refuse(b, err)
	}
	u.facts = facts
	if len(r.refusals) > 0 {
		return u, errStopped
	}
	u.word = word
	r.announceOnce()
	return u, nil
}

// placeholders returns what to look for in an upload: in a text that Packer has rendered, everything it puts in place
// of a value; in what other provisioners may have rendered, values of the machine. The user's own scripts and files are
// not searched.
func (b *block) placeholders(dst string) *regexp.Regexp {
	switch {
	case b.rendered || temporaryInventory.MatchString(dst):
		return renderedPattern
	case b.kind == kindShell || b.kind == kindFile:
		return nil
	}
	return placeholderPattern
}

// endUpload copies the content to disk, without the lock, because that may take long.
func (r *Recorder) endUpload(u upload, content io.Reader, info *os.FileInfo) error {
	scanner := &placeholderScanner{pattern: u.scan}
	sum, size, err := r.store(content, scanner)
	switch {
	case err != nil:
		err = fmt.Errorf("record the upload to %s: %w", u.dst, err)
	case scanner.found != "":
		err = errPlaceholder("what is uploaded to "+u.dst, scanner.found)
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
	facts := factsIn(u.facts)
	if scanner.facts {
		facts = factsIn(true, sum)
	}
	return r.record(u.block, fmt.Sprintf("bakery_upload %s %04o %s\n", sum, modeOf(info), u.word), facts)
}

// modeOf returns the mode that the SSH communicator would have given the file.
func modeOf(info *os.FileInfo) os.FileMode {
	if info == nil || !(*info).Mode().IsRegular() {
		return uploadMode
	}
	return (*info).Mode().Perm()
}

// store writes content to a blob, and past a scanner that has a pattern.
func (r *Recorder) store(content io.Reader, scanner *placeholderScanner) (sum string, size int64, err error) {
	// After the end, the directory may have been removed, and must not be made again.
	if err := r.stopErr(); err != nil {
		return "", 0, err
	}
	b, err := r.blobs.create()
	if err != nil {
		return "", 0, err
	}
	target := io.Writer(b)
	if scanner != nil && scanner.pattern != nil {
		target = io.MultiWriter(b, scanner)
	}
	if _, err := io.CopyBuffer(onlyWriter{target}, &stoppableReader{r, content}, make([]byte, copySize)); err != nil {
		b.discard()
		return "", 0, err
	}
	size = b.size
	sum, err = b.commit()
	return sum, size, err
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

// Download is refused. Its callers do not try again.
func (r *Recorder) Download(src string, _ io.Writer) error { return r.refuseDownload(src) }

// DownloadDir is refused. Its callers do not try again.
func (r *Recorder) DownloadDir(src, _ string, _ []string) error { return r.refuseDownload(src) }

// UploadDir records a local directory: its contents, or without a slash at the end of src, the directory itself.
func (r *Recorder) UploadDir(dst, src string, exclude []string) error {
	b, word, facts, err := r.beginUploadDir(dst)
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
	if t.files+t.dirs == 0 {
		r.log.Warnings = append(r.log.Warnings, fmt.Sprintf("%s uploads nothing to %s: there is nothing in the "+
			"directory %s on this computer. What makes its files, such as shell-local, has to run before",
			b.name(&r.tracker), dst, src))
	}
	r.uploaded = ""
	r.log.Files += t.files
	r.log.Bytes += t.bytes
	return r.record(b, fmt.Sprintf("bakery_updir %s %s %s\n", word, shell.Quote(t.name), t.sum), factsIn(facts))
}

func (r *Recorder) beginUploadDir(dst string) (_ *block, word string, facts bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.tracker.blockFor(call{kind: callUploadDir, path: dst})
	if r.stopped != nil {
		return b, "", false, r.stopped
	}
	word, err = dirWord(dst, b.kind)
	facts, factsErr := checkText("the destination "+dst, dst, renderedPattern)
	if err = cmp.Or(r.refuseAll, err, factsErr); err != nil {
		return b, "", false, r.refuse(b, err)
	}
	if len(r.refusals) > 0 {
		return b, "", false, errStopped
	}
	r.announceOnce()
	return b, word, facts, nil
}
