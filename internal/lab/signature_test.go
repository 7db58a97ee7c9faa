// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// TestClockSkew also tests that the SDK corrects its clock by the Date of an error response, where it can. It does not
// correct it after RequestExpired, EC2's error for a request that is too old.
func TestClockSkew(t *testing.T) {
	for skew, want := range map[time.Duration]struct{ once, retried []string }{ // ec2, s3, sts, ssm
		10 * time.Minute: {[]string{"", "", "", ""}, []string{"", "", "", ""}},
		20 * time.Minute: {
			[]string{"400 RequestExpired", "403 RequestTimeTooSkewed", "403 SignatureDoesNotMatch",
				"400 InvalidSignatureException"},
			[]string{"400 RequestExpired", "", "", ""},
		},
		-20 * time.Minute: {
			[]string{"401 AuthFailure", "403 RequestTimeTooSkewed", "403 SignatureDoesNotMatch",
				"400 InvalidSignatureException"},
			[]string{"", "", "", ""},
		},
	} {
		t.Run(skew.String(), func(t *testing.T) {
			l := labtest.Start(t, lab.Options{ClockSkew: skew})
			calls := func(cfg aws.Config) []string {
				var errs [4]error
				_, errs[0] = ec2.NewFromConfig(cfg).DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
				_, errs[1] = s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).
					ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(lab.Bucket)})
				_, errs[2] = sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
				_, errs[3] = ssm.NewFromConfig(cfg).GetParameters(t.Context(),
					&ssm.GetParametersInput{Names: []string{"x"}})
				var codes []string
				for _, err := range errs {
					codes = append(codes, statusAnd(err))
				}
				return codes
			}
			cfg := sdk(l)
			if diff := cmp.Diff(want.once, calls(cfg)); diff != "" {
				t.Errorf("without a second attempt (-want +got):\n%s", diff)
			}
			cfg.Retryer = func() aws.Retryer {
				return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
			}
			if diff := cmp.Diff(want.retried, calls(cfg)); diff != "" {
				t.Errorf("with more (-want +got):\n%s", diff)
			}
		})
	}
}

// presigned fetches an object by a URL.
func presigned(t *testing.T, c *s3.Client, life time.Duration, change func(string) string) string {
	t.Helper()
	signed, err := s3.NewPresignClient(c).PresignGetObject(t.Context(),
		&s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("x")}, s3.WithPresignExpires(life))
	if err != nil {
		t.Fatal(err)
	}
	status, text := fetch(t, http.MethodGet, change(signed.URL), nil)
	_, message, _ := strings.Cut(text, "<Message>")
	message, _, _ = strings.Cut(message, "</Message>")
	return strings.TrimSpace(strconv.Itoa(status) + " " + message)
}

func TestPresignedURLsExpireByTheLabsClock(t *testing.T) {
	for name, c := range map[string]struct {
		options lab.Options
		life    time.Duration
		change  func(string) string
		want    string
	}{
		"in time": {lab.Options{}, time.Hour, nil, "200"},
		"the clock is ahead": {lab.Options{ClockSkew: 10 * time.Minute}, time.Minute, nil,
			"403 Request has expired"},
		"the clock is far behind": {lab.Options{ClockSkew: -time.Hour}, time.Minute, nil,
			"403 Request is not valid yet"},
		"the lab ends it early": {lab.Options{URLLife: time.Nanosecond}, time.Hour, nil,
			"403 Request has expired"},
		"longer than a week": {lab.Options{}, 8 * 24 * time.Hour, nil,
			"400 The authorization you provided is malformed."},
		"somebody makes it last more": {lab.Options{}, time.Minute,
			func(u string) string { return strings.Replace(u, "Expires=60", "Expires=6000", 1) },
			"403 The request signature we calculated does not match the signature you provided. Check your key and " +
				"signing method."},
	} {
		t.Run(name, func(t *testing.T) {
			l := labtest.Start(t, c.options)
			client := s3.NewFromConfig(sdk(l), func(o *s3.Options) {
				o.UsePathStyle = true
				o.Retryer = retry.NewStandard()
			})
			if _, err := client.PutObject(t.Context(),
				&s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("x"),
					Body: strings.NewReader("x")}); err != nil {
				t.Fatal(err)
			}
			if c.change == nil {
				c.change = func(u string) string { return u }
			}
			if got := presigned(t, client, c.life, c.change); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestSignaturesForAnotherRegionOrService(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	cfg := sdk(l)
	cfg.Region = "mars-north-1"
	_, ofEC2 := ec2.NewFromConfig(cfg).DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
	_, ofS3 := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).ListObjectsV2(t.Context(),
		&s3.ListObjectsV2Input{Bucket: aws.String(lab.Bucket)})
	_, ofSTS := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	_, ofSSM := ssm.NewFromConfig(cfg).GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{"x"}})
	var got []string
	for _, err := range []error{ofEC2, ofS3, ofSTS, ofSSM} {
		got = append(got, statusAnd(err))
	}
	want := []string{"401 AuthFailure", "400 AuthorizationHeaderMalformed", "403 SignatureDoesNotMatch",
		"400 InvalidSignatureException"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a region that is none (-want +got):\n%s", diff)
	}
}

func TestRegionAndOwnerOfBuckets(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	c := s3Client(l)
	ctx := t.Context()
	in := func(region string) func(*s3.Options) { return func(o *s3.Options) { o.Region = region } }
	_, err := c.CreateBucket(ctx,
		&s3.CreateBucketInput{Bucket: aws.String("there"),
			CreateBucketConfiguration: &s3types.CreateBucketConfiguration{
				LocationConstraint: s3types.BucketLocationConstraintEuWest1,
			}}, in("eu-west-1"))
	if err != nil {
		t.Fatal(err)
	}
	list := func(bucket, owner, region string) string {
		input := &s3.ListObjectsV2Input{Bucket: &bucket}
		if owner != "" {
			input.ExpectedBucketOwner = &owner
		}
		_, err := c.ListObjectsV2(ctx, input, in(region))
		return statusAnd(err)
	}
	for _, one := range []struct{ bucket, owner, region, want string }{
		{"there", "", "eu-west-1", ""},
		{"there", "", "us-east-1", "301 PermanentRedirect"},
		{lab.Bucket, "", "eu-west-1", ""},
		{lab.Bucket, "123456789012", "us-east-1", ""},
		{lab.Bucket, "999999999999", "us-east-1", "403 AccessDenied"},
		{lab.ForeignBucket, "", "us-east-1", ""},
		{lab.ForeignBucket, "123456789012", "us-east-1", "403 AccessDenied"},
	} {
		if got := list(one.bucket, one.owner, one.region); got != one.want {
			t.Errorf("%v: %s", one, got)
		}
	}
	where, err := c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: aws.String("there")})
	if err != nil || where.LocationConstraint != s3types.BucketLocationConstraintEuWest1 {
		t.Errorf("its location: %v, %v", where, err)
	}
	head, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("there")}, in("eu-west-1"))
	if err != nil || aws.ToString(head.BucketRegion) != "eu-west-1" {
		t.Errorf("its region: %v, %v", head, err)
	}
	buckets, err := c.ListBuckets(ctx, &s3.ListBucketsInput{})
	if err != nil || len(buckets.Buckets) != 2 {
		t.Errorf("the account's buckets: %v, %v", buckets, err)
	}
}

func TestCallsOfS3HaveTheirHeaders(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	_, err := s3Client(l).PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(lab.Bucket), Key: aws.String("x"), Body: strings.NewReader("x"),
		ServerSideEncryption: s3types.ServerSideEncryptionAwsKms,
		SSEKMSKeyId:          aws.String("alias/own"), Tagging: aws.String("a=1"),
		ExpectedBucketOwner: aws.String("123456789012"), Metadata: map[string]string{"m": "v"},
	})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the call is on record", func() bool { return len(l.Calls()) > 0 })
	got := map[string]string{}
	for name, value := range l.Calls()[0].Headers {
		if !strings.Contains(name, "Checksum") && name != "X-Amz-Decoded-Content-Length" && name != "X-Amz-Trailer" {
			got[name] = value
		}
	}
	want := map[string]string{
		"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "alias/own",
		"X-Amz-Tagging":               "a=1",
		"X-Amz-Expected-Bucket-Owner": "123456789012", "X-Amz-Meta-M": "v",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
