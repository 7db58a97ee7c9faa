// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// stage is where in S3 the files of a build's machine are. A nil stage is a template without staging.
type stage struct {
	*staging.Store
	bake        *bake.Bake
	config      *StagingConfig
	credentials *signingCredentials
	folder      string // below the prefix, of what only this build uses; its name says when it expires
	keptOnce    sync.Once
}

// The names of what only one build uses, below the prefix and its folder.
const (
	userDataName  = "user-data"
	logName       = "log.gz"
	recordingName = "provisioners.tgz" // what provisioners did, here and staged
	// commitmentName is of the hash of a machine's secret.
	commitmentName = "commitment"
)

// openStage returns the stage of a template's settings; account is the id of the account, or "". It calls nothing.
func openStage(
	b *bake.Bake, cfg aws.Config, c *StagingConfig, account string, credentials *signingCredentials,
) (*stage, error) {
	if c == nil {
		return nil, nil //nolint:nilnil // there is no staging
	}
	at, err := staging.ParseURL(c.URL)
	if err != nil {
		return nil, fmt.Errorf("staging: url: %w", err)
	}
	if c.Region != "" {
		cfg = cfg.Copy()
		cfg.Region = c.Region
	}
	store := staging.New(cfg, at, staging.Options{
		Owner: c.owner(account), Encryption: c.ServerSideEncryption, KMSKey: c.KMSKeyID, Now: b.Clock.Now,
	})
	return &stage{Store: store, bake: b, config: c, credentials: credentials}, nil
}

// check makes sure that there is a bucket to upload to, and that the machine can. uploads is whether it does.
func (s *stage) check(ctx context.Context, uploads bool, unseen *awscall.Unseen) error {
	if s == nil {
		return nil
	}
	err := s.Check(ctx)
	if errors.Is(err, staging.ErrDenied) {
		err = nil // these credentials may still be allowed to upload; the upload comes before the machine
	}
	if err != nil {
		return err
	}
	return s.checkRetention(ctx, uploads, unseen)
}

// checkRetention refuses a bucket that takes nothing from the machine, and that keeps what is staged, because it
// protects each object from being deleted.
func (s *stage) checkRetention(ctx context.Context, uploads bool, unseen *awscall.Unseen) error {
	period, err := s.Retention(ctx)
	switch {
	case errors.Is(err, staging.ErrUnreadable):
		unseen.Add(staging.RightReadLock)
		return nil
	case err != nil || period == "":
		return err
	case uploads:
		return fmt.Errorf("bucket %s of staging protects each object for %s (Object Lock with a default retention): "+
			"S3 takes no upload without a checksum there, which a signed URL cannot have, so the machine could not "+
			"upload its log, and nothing that is staged could be removed: set url to a bucket without a "+
			"default retention",
			s.Bucket, period)
	}
	s.bake.Warn("bucket %s of staging protects each object for %s (Object Lock with a default retention): what is "+
		"staged stays there so long, with all that is secret in it", s.Bucket, period)
	return nil
}

// slowestUpload is how fast an upload must be at least, in bytes a second: 2 Mbit/s.
const slowestUpload = 256 << 10

// setFolder names the folder of this build's files. Its expiry leaves time for uploading so many bytes. S3 has no tags
// that the machine's own upload could set, so the expiry is part of the names of all that is staged, and of all that
// the machine uploads.
func (s *stage) setFolder(expiry time.Time, bytes int64) {
	s.folder = bake.ExpiringName(expiry.Add(time.Duration(bytes/slowestUpload)*time.Second), s.bake.ID)
}

// putRecording uploads what provisioners did. It is this build's alone, so it is never there already, and never kept.
func (s *stage) putRecording(ctx context.Context, f *stagedFile) error {
	if f.Path == "" {
		return nil
	}
	f.key = s.Key(s.folder, recordingName)
	s.addToLedger(f.key)
	return s.upload(ctx, s.object(f.key, recordingName, f.File))
}

// putFS uploads fs.tgz, unless an earlier bake has kept the same one: below a digest of it, where bakes of the same fs/
// share it, or below the folder of this build alone. What this build removes is its own: another bake of the same fs/
// at the same time would miss it.
func (s *stage) putFS(ctx context.Context, f *stagedFile) error {
	if f.Path == "" {
		return nil
	}
	digest, err := f.publicDigest()
	if err != nil {
		return err
	}
	object := s.object(s.Key(digest, bundle.FSName), bundle.FSName, f.File)
	f.key = object.Key
	exists, err := s.Has(ctx, object)
	if err != nil {
		return err
	}
	if exists {
		s.bake.Say("%s is there already", s.URL(f.key))
		return nil
	}
	if !s.config.Keep {
		f.key = s.Key(s.folder, bundle.FSName)
		object.Key = f.key
		s.addToLedger(f.key)
	}
	return s.upload(ctx, object)
}

func (s *stage) upload(ctx context.Context, object staging.Object) error {
	s.bake.Say("Uploading %d bytes to %s...", object.Size, s.URL(object.Key))
	return s.Put(ctx, object)
}

// object returns a file as it is staged, whose upload is shown under a name.
func (s *stage) object(key, name string, file bundle.File) staging.Object {
	return staging.Object{
		Key: key, SHA256: file.SHA256, Size: file.Size,
		Open: func() (io.ReadCloser, error) {
			f, err := os.Open(file.Path)
			if err != nil {
				return nil, err
			}
			return s.bake.UI.TrackProgress(name, 0, file.Size, f), nil
		},
	}
}

// addToLedger adds an object to the ledger, before it is uploaded.
func (s *stage) addToLedger(key string) {
	s.bake.Ledger.Add(s.URL(key),
		func(ctx context.Context) error { return s.tolerateKept(s.Delete(ctx, key)) },
		func() []string {
			return []string{s.bake.CLI.CommandIn(s.Region(), "s3 rm %s", bake.Word(s.URL(key)))}
		})
}

// addLogToLedger adds the log of a machine to the ledger. Each of its uploads is a version in a bucket that has
// versions: with keep_log, all but the last one are removed.
func (s *stage) addLogToLedger(key string) {
	if !s.config.KeepLog {
		s.addToLedger(key)
		return
	}
	s.bake.Ledger.Add("old versions of "+s.URL(key),
		func(ctx context.Context) error { return s.tolerateKept(s.DeleteOld(ctx, key)) }, nil)
}

// tolerateKept warns, once, of versions that S3 keeps, and returns every other error. A bake that cannot remove them
// cannot do so later either.
func (s *stage) tolerateKept(err error) error {
	kept, ok := errors.AsType[*staging.VersionsKeptError](err)
	if !ok {
		return err
	}
	s.keptOnce.Do(func() {
		s.bake.Warn("%s. All that is staged may be in such versions. Give the bucket a lifecycle rule that removes "+
			"old versions below %s after a day, as in %s", kept, s.Location, versionsPage)
	})
	return nil
}

// versionsPage is the documentation of buckets with versions.
const versionsPage = "https://github.com/amibakery/packer-plugin-bakery/blob/main/docs/iam/README.md" +
	"#buckets-with-versions"

// putUserData uploads what is too large to be user data, and returns where the machine fetches it. What the content is
// made of, beside what the template says, follows its size.
func (s *stage) putUserData(
	ctx context.Context, content []byte, with string, timeout time.Duration,
) (f guest.Fetched, err error) {
	object := staging.Object{
		Key: s.Key(s.folder, userDataName), SHA256: sha256Hex(content), Size: int64(len(content)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	}
	s.bake.Say("Uploading the user data, which is %d bytes%s where EC2 takes %d, to %s...",
		len(content), with, guest.MaxUserData, s.URL(object.Key))
	s.addToLedger(object.Key)
	if err := s.Put(ctx, object); err != nil {
		return f, err
	}
	lasts := min(signedFor(timeout), bootTime)
	if err := s.credentials.check(ctx, lasts); err != nil {
		return f, err
	}
	url, err := s.GetURL(ctx, object.Key, lasts)
	if err != nil {
		return f, err
	}
	redact.Add(url)
	return guest.Fetched{URL: url, SHA256: object.SHA256}, nil
}

// fileURL returns the URL of a staged file, or "" for none.
func (s *stage) fileURL(ctx context.Context, f stagedFile, lasts time.Duration) (string, error) {
	switch {
	case f.Path == "":
		return "", nil
	case s.config.Delivery == deliveryProfile:
		return s.PlainURL(ctx, f.key)
	}
	return s.GetURL(ctx, f.key, lasts)
}

// logKey returns where the machine of an attempt uploads its log.
func (s *stage) logKey(attempt int) string {
	name := logName
	if attempt > 1 {
		name = fmt.Sprintf("%d-%s", attempt, logName)
	}
	if s.config.KeepLog {
		return s.Key("logs", s.bake.ID, name)
	}
	return s.Key(s.folder, name)
}

// newCommitmentKey returns where a machine puts its commitment. It is another one for each launch, also when the user
// has the step tried again: S3 takes only one.
func (s *stage) newCommitmentKey() string {
	return s.Key(s.folder, guest.NewBakeID(), commitmentName)
}
