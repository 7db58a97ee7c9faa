// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awserror

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// call makes a call to a server that answers with answer.
func call(t *testing.T, do func(context.Context, aws.Config) error, answer http.HandlerFunc) error {
	t.Helper()
	server := httptest.NewServer(answer)
	defer server.Close()
	return InWords(do(t.Context(), aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL),
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(
				func(o *retry.StandardOptions) { o.MaxAttempts, o.Backoff = 2, retry.BackoffDelayerFunc(noDelay) },
				RetryCutAnswers,
			)
		},
	}))
}

func noDelay(int, error) (time.Duration, error) { return 0, nil }

func runInstances(ctx context.Context, cfg aws.Config) error {
	_, err := ec2.NewFromConfig(cfg).RunInstances(ctx,
		&ec2.RunInstancesInput{MinCount: aws.Int32(1), MaxCount: aws.Int32(1)})
	return err
}

func headBucket(ctx context.Context, cfg aws.Config) error {
	_, err := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).HeadBucket(ctx,
		&s3.HeadBucketInput{Bucket: aws.String("ovens")})
	return err
}

func refuses(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(
			w,
			"<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors>"+
				"<RequestID>r-1</RequestID></Response>",
			code,
			message,
		)
	}
}

func TestInWords(t *testing.T) {
	for name, c := range map[string]struct {
		make   func(context.Context, aws.Config) error
		answer http.HandlerFunc
		want   string
	}{
		"throttled": {
			runInstances, refuses(503, "RequestLimitExceeded", "Request limit exceeded."),
			"EC2 refuses RunInstances: Request limit exceeded. (RequestLimitExceeded), after 2 attempts, request " +
				"r-1: " +
				"AWS throttles the account; bake again later, or raise max_retries",
		},
		"not allowed, with an encoded message": {
			runInstances, refuses(403, "UnauthorizedOperation",
				"You are not authorized. Encoded authorization failure message: abc-DEF_1"),
			"EC2 refuses RunInstances: You are not authorized. (UnauthorizedOperation): allow ec2:RunInstances to " +
				"the credentials, " +
				"as the policies in docs/iam do; decode_authorization_messages shows what AWS says of it",
		},
		"a quota": {
			runInstances, refuses(400, "VcpuLimitExceeded", "You have 32."),
			"EC2 refuses RunInstances: You have 32. (VcpuLimitExceeded): a quota of the account is used up; " +
				"remove what is not needed, or ask AWS for more in Service Quotas",
		},
		"a mistake of the template": {
			runInstances, refuses(400, "InvalidParameterValue", "No such thing."),
			"EC2 refuses RunInstances: No such thing. (InvalidParameterValue)",
		},
		"an answer without a body": {
			headBucket, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
			"S3 refuses HeadBucket: Forbidden (Forbidden): allow s3:ListBucket to the credentials, as the policies " +
				"in docs/iam do",
		},
		"half an answer": {
			runInstances, func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, "<RunInstancesResponse><reservationId>r-1</res")
			},
			"EC2 does not answer RunInstances to the end: XML syntax error on line 1: unexpected EOF, after 2 " +
				"attempts: see that AWS can be reached from here: the " +
				"network, a proxy, the region and its endpoint; or bake again later",
		},
		"no answer": {
			runInstances, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			"EC2 does not answer RunInstances: EOF, after 2 attempts: see that AWS can be reached from here: the " +
				"network, a proxy, " +
				"the region and its endpoint; or bake again later",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := call(t, c.make, c.answer)
			if err.Error() != c.want {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
			if operation := (*smithy.OperationError)(nil); !errors.As(err, &operation) {
				t.Error("the SDK's own error is lost")
			}
			if again := InWords(fmt.Errorf("run the machine: %w", err)); strings.Count(again.Error(), c.want) != 1 {
				t.Errorf("the text is repeated: %s", again)
			}
		})
	}
}

func TestInWordsReturnsOtherErrorsUnchanged(t *testing.T) {
	for _, err := range []error{nil, errors.New("of the disk"), context.Canceled} {
		if got := InWords(err); got != err { //nolint:errorlint // the very one
			t.Errorf("%v became %v", err, got)
		}
	}
}
