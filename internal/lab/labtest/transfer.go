// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package labtest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
)

// network is the machine's HTTP client: without the test's proxy, and without connections that outlive the machine.
var network = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}

// download does what is visible of a step from outside: it fetches files.
func (b *bake) download(u unit) (code int, reason string) {
	if u.kind != "download" {
		return 0, ""
	}
	f := b.instructions.files[u.file]
	for _, pause := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 0} { // as bakery_download
		body, err := b.get(b.time, f.url)
		sum := sha256.Sum256(body)
		got := hex.EncodeToString(sum[:])
		switch {
		case err != nil:
			reason = fmt.Sprintf("fetching %s.tgz failed with exit status 22", u.file)
		case got != f.sha256:
			reason = fmt.Sprintf("sha256 of %s.tgz is %s, expected %s", u.file, got, f.sha256)
		default:
			return 0, ""
		}
		b.log = append(b.log, reason)
		b.sleep(b.scaled(pause))
	}
	return 1, reason
}

// get sends a GET to a URL, signed with the machine's role if there is one.
func (b *bake) get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if b.instructions.role != "" {
		if err := b.sign(ctx, request); err != nil {
			return nil, err
		}
	}
	return send(request)
}

func (b *bake) sign(ctx context.Context, request *http.Request) error {
	_, text := b.m.Metadata("/latest/meta-data/iam/security-credentials/" + b.instructions.role)
	var role struct{ AccessKeyId, SecretAccessKey, Token string } //nolint:revive,staticcheck // IMDS names
	if err := json.Unmarshal([]byte(text), &role); err != nil {
		return fmt.Errorf("read the credentials of role %s: %w", b.instructions.role, err)
	}
	const payload = "UNSIGNED-PAYLOAD"
	request.Header.Set("X-Amz-Content-Sha256", payload)
	credentials := aws.Credentials{AccessKeyID: role.AccessKeyId, SecretAccessKey: role.SecretAccessKey,
		SessionToken: role.Token}
	return v4.NewSigner().SignHTTP(ctx, credentials, request, payload, service.S3, b.instructions.region, time.Now(),
		func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
}

// upload uploads the log to the URL of the delivery.
func (b *bake) upload() error {
	if b.instructions.log == "" {
		return nil
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	steps := guest.Lines{Source: guest.FromSteps, Since: 1, First: 1, Text: b.log}
	// writing to a bytes.Buffer cannot fail
	_, _ = io.WriteString(w, b.writer.Log(b.reports,
		guest.Lines{Source: guest.FromCloudInit, Since: 1, First: 1}, steps))
	_ = w.Close()
	return b.put(b.instructions.log, b.instructions.headers, packed.Bytes())
}

func (b *bake) put(url string, headers []string, content []byte) error {
	request, err := http.NewRequestWithContext(context.WithoutCancel(b.life), http.MethodPut, url,
		bytes.NewReader(content))
	if err != nil {
		return err
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	b.m.transfer(func() { _, err = send(request) })
	return err
}

// commit does what bakery_commit does: it makes a secret, reports its hash, and has S3 take it.
func (b *bake) commit(values map[string]string) error {
	b.writer = guest.Writer{Reader: guest.Reader{BakeID: values["BAKERY_ID"]}, Secret: guest.NewKey().String()}
	key := []byte(values["BAKERY_REPORT_KEY"])
	if n, err := hex.Decode(b.writer.Key[:], key); err != nil || n != len(b.writer.Key) {
		return fmt.Errorf("read the key of the reports: %d bytes: %w", n, err)
	}
	b.report("commit")
	url := values["BAKERY_COMMIT_URL"]
	if url == "" {
		return nil
	}
	headers := splitLines(values["BAKERY_COMMIT_HEADERS"])
	var err error
	lost := false // an answer
	// As bakery_put_commitment.
	for _, pause := range []time.Duration{time.Second, 3 * time.Second, 6 * time.Second, 10 * time.Second, 0} {
		err = b.put(url, headers, []byte(b.reports[0]))
		refused := err != nil && strings.HasPrefix(err.Error(), "412")
		if err == nil || refused && lost {
			return nil
		}
		if refused {
			return errors.New("somebody else has put a commitment")
		}
		lost = lost || !strings.HasPrefix(err.Error(), "4")
		if !b.pause(pause) {
			return err
		}
	}
	return err
}

// send returns the body of a good answer.
func send(request *http.Request) ([]byte, error) {
	answer, err := network.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it has been read to its end, or reading has failed
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}
	return body, err
}
