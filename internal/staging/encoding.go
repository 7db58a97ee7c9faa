// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package staging

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
)

// encodeListedKeys makes S3 encode the keys that it lists, and decodes them. A key may have characters that XML cannot
// have, and one such key would make the whole list unreadable:
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html#API_ListObjectsV2_RequestSyntax.
func encodeListedKeys(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("EncodeListedKeys", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		in.Parameters = withEncoding(in.Parameters)
		out, metadata, err := next.HandleInitialize(ctx, in)
		if err == nil {
			err = decodeListed(out.Result)
		}
		return out, metadata, err
	}), middleware.Before)
}

// withEncoding returns the parameters of a list that is to be encoded, and those of other calls as they are.
func withEncoding(parameters any) any {
	switch p := parameters.(type) {
	case *s3.ListObjectsV2Input:
		own := *p
		own.EncodingType = types.EncodingTypeUrl
		return &own
	case *s3.ListObjectVersionsInput:
		own := *p
		own.EncodingType = types.EncodingTypeUrl
		return &own
	case *s3.ListMultipartUploadsInput:
		own := *p
		own.EncodingType = types.EncodingTypeUrl
		return &own
	}
	return parameters
}

// decodeListed decodes what is encoded in the answer to a list.
func decodeListed(result any) error {
	var texts []*string
	var prefixes []types.CommonPrefix
	var encoding types.EncodingType
	switch r := result.(type) {
	case *s3.ListObjectsV2Output:
		encoding, prefixes = r.EncodingType, r.CommonPrefixes
		texts = append(texts, r.Prefix)
		for i := range r.Contents {
			texts = append(texts, r.Contents[i].Key)
		}
	case *s3.ListObjectVersionsOutput:
		encoding, prefixes = r.EncodingType, r.CommonPrefixes
		texts = append(texts, r.Prefix, r.KeyMarker, r.NextKeyMarker)
		for i := range r.Versions {
			texts = append(texts, r.Versions[i].Key)
		}
		for i := range r.DeleteMarkers {
			texts = append(texts, r.DeleteMarkers[i].Key)
		}
	case *s3.ListMultipartUploadsOutput:
		encoding, prefixes = r.EncodingType, r.CommonPrefixes
		texts = append(texts, r.Prefix, r.KeyMarker, r.NextKeyMarker)
		for i := range r.Uploads {
			texts = append(texts, r.Uploads[i].Key)
		}
	}
	if encoding != types.EncodingTypeUrl { // S3 says whether it has encoded them; other stores may not know how
		return nil
	}
	for i := range prefixes {
		texts = append(texts, prefixes[i].Prefix)
	}
	var errs []error
	for _, text := range texts {
		errs = append(errs, decode(text))
	}
	return errors.Join(errs...)
}

// decode decodes a text in its place.
func decode(text *string) error {
	if text == nil {
		return nil
	}
	plain, err := url.QueryUnescape(*text)
	if err != nil {
		return fmt.Errorf("S3 lists a key that is not encoded as it says: %w", err)
	}
	*text = plain
	return nil
}
