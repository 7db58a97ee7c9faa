// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"context"
	"fmt"
	"io"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Limits of the answers of AWS, which the SDK reads into memory, in bytes. A thousand images take two MiB, and EC2
// keeps 64 KB of a console.
const (
	answerLimit  = 32 << 20
	consoleLimit = 1 << 20
)

// An answerError is returned for an answer that is too large.
type answerError struct {
	operation string
	limit     int64
}

func (e *answerError) Error() string {
	return fmt.Sprintf("the answer to %s is larger than %d bytes", e.operation, e.limit)
}

// RetryableError tells the SDK that the answer to another attempt will be no smaller.
func (*answerError) RetryableError() bool { return false }

// limitAnswers bounds what is read of every answer. Objects of S3 are streams, which whoever reads them bounds.
func limitAnswers(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("limitAnswers", func(
		ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
	) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		response, ok := out.RawResponse.(*smithyhttp.Response)
		operation := awsmiddleware.GetOperationName(ctx)
		if !ok || operation == "GetObject" && response.StatusCode < 300 {
			return out, metadata, err
		}
		limit := int64(answerLimit)
		if operation == "GetConsoleOutput" {
			limit = consoleLimit
		}
		response.Body = &limitedBody{response.Body, limit, &answerError{operation, limit}}
		return out, metadata, err
	}), middleware.After) // next to the network, so that everything else reads what is bounded
}

// limitedBody is a body that fails after so many bytes.
type limitedBody struct {
	io.ReadCloser

	left int64
	err  error
}

// Read implements io.Reader.
func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return n - 1, b.err
	}
	return n, err
}
