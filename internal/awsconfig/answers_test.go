// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Whatever answers in the place of AWS, what is read of it is bounded, and it is not asked again.
func TestAnswersAreBounded(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		// An answer that comes while net/http still ends the request makes the SDK close the connection and ask again.
		time.Sleep(100 * time.Millisecond)
		fmt.Fprint(w, "<GetConsoleOutputResponse><output>")
		piece := strings.Repeat("QUFB", 1<<14)
		for sent := 0; sent < 1<<30; sent += len(piece) {
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	s := &Settings{Region: "us-east-1", AccessKey: "a", SecretKey: "b", MaxRetries: 5, InsecureSkipTLSVerify: true}
	cfg, err := s.Load(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	cfg.BaseEndpoint = aws.String(server.URL)
	_, err = ec2.NewFromConfig(cfg).GetConsoleOutput(t.Context(),
		&ec2.GetConsoleOutputInput{InstanceId: aws.String("i")})
	if err == nil || !strings.Contains(err.Error(), "the answer to GetConsoleOutput is larger than 1048576 bytes") ||
		asked.Load() != 1 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
	asked.Store(0)
	_, err = ec2.NewFromConfig(cfg).DescribeImages(t.Context(), &ec2.DescribeImagesInput{})
	if err == nil || !strings.Contains(err.Error(), "the answer to DescribeImages is larger than") ||
		asked.Load() != 1 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
	out, err := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).GetObject(t.Context(),
		&s3.GetObjectInput{Bucket: aws.String("b"), Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if n, err := io.CopyN(io.Discard, out.Body, answerLimit+1); err != nil {
		t.Errorf("of an object, %d bytes are read: %v", n, err)
	}
}
