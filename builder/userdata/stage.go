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
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/instance"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// stage is where in S3 the files of a build's machine are. A nil stage is a template without staging.
type stage struct {
	*staging.Store
	bake   *bake.Bake
	config *StagingConfig
	folder string // below the prefix, of what only this build uses; its name says when it expires
}

// The names of what only one build uses, below the prefix and its folder.
const (
	userDataName  = "user-data"
	logName       = "log.gz"
	recordingName = "provisioners.tgz" // what provisioners did, here and staged
)

// openStage returns the stage of a template's settings; account is the id of the account, or "". It calls nothing.
func openStage(b *bake.Bake, cfg aws.Config, c *StagingConfig, account string) (*stage, error) {
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
		Owner: c.owner(account), Encryption: c.ServerSideEncryption, KMSKey: c.KMSKeyID,
	})
	return &stage{Store: store, bake: b, config: c}, nil
}

// check makes sure that there is a bucket to upload to.
func (s *stage) check(ctx context.Context) error {
	if s == nil {
		return nil
	}
	err := s.Check(ctx)
	if errors.Is(err, staging.ErrDenied) {
		return nil // these credentials may still be allowed to upload; the upload comes before the machine
	}
	return err
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

// putFS uploads fs.tgz, unless an earlier bake has kept the same one: below its sha256, where bakes of the same fs/
// share it, or below the folder of this build alone. What this build removes is its own: another bake of the same fs/
// at the same time would miss it.
func (s *stage) putFS(ctx context.Context, f *stagedFile) error {
	if f.Path == "" {
		return nil
	}
	object := s.object(s.Key(f.SHA256, bundle.FSName), bundle.FSName, f.File)
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
		func(ctx context.Context) error { return s.Delete(ctx, key) },
		func() []string {
			return []string{s.bake.CLI.CommandIn(s.Region(), "s3 rm %s", bake.Word(s.URL(key)))}
		})
}

// bootTime is how long user data that is staged can be fetched: cloud-init does so once, when the machine has its
// network. Machines of metal take up to a quarter of an hour until then, and AWS may have no capacity for the first
// options.
const bootTime = 30 * time.Minute

// putUserData uploads user data that EC2 would not take, and returns user data that includes it.
func (s *stage) putUserData(
	ctx context.Context, userData []byte, in guest.Included, timeout time.Duration,
) ([]byte, error) {
	object := staging.Object{
		Key: s.Key(s.folder, userDataName), SHA256: sha256Hex(userData), Size: int64(len(userData)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(userData)), nil },
	}
	s.bake.Say("Uploading the user data, which is %d bytes where EC2 takes %d, to %s...",
		len(userData), guest.MaxUserData, s.URL(object.Key))
	s.addToLedger(object.Key)
	if err := s.Put(ctx, object); err != nil {
		return nil, err
	}
	url, err := s.GetURL(ctx, object.Key, min(signedFor(timeout), bootTime))
	if err != nil {
		return nil, err
	}
	redact.Add(url)
	in.URL, in.SHA256 = url, object.SHA256
	return guest.Include(in)
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

// signedFor returns how long signed URLs last.
func signedFor(instanceTimeout time.Duration) time.Duration {
	return min(instanceTimeout+instance.SignedMargin, staging.MaxExpiry)
}

// warnOfExpiry warns when the credentials end before the URLs that are signed with them: those end with them.
func warnOfExpiry(ctx context.Context, b *build, lasts time.Duration) {
	credentials, err := b.account.clients.Config.Credentials.Retrieve(ctx)
	if err != nil || !credentials.CanExpire {
		return
	}
	if left := time.Until(credentials.Expires); left < lasts {
		b.Warn("the AWS credentials expire in %s, and the machine's URLs with them, but the machine may take %s: "+
			"one that takes longer can neither fetch files nor upload its log", left.Round(time.Second),
			b.config.InstanceTimeout)
	}
}
