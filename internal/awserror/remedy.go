// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awserror

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
)

// The error codes of AWS by their meaning. Each service has its own codes. Sources: the lists of errors of EC2
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html), of S3
// (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html), and those common to all
// (https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html).
var (
	expired            = []string{"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
	invalidCredentials = []string{
		"AuthFailure", "InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException",
		"SignatureDoesNotMatch",
		"InvalidSignatureException", "InvalidToken", "MissingAuthenticationToken", "IncompleteSignature",
	}
	clockSkew = []string{"RequestTimeTooSkewed", "RequestInTheFuture"}
	denied    = []string{"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "Forbidden",
		"AccountProblem"}
	noCapacity = []string{
		"InsufficientInstanceCapacity", "InsufficientCapacity", "InsufficientHostCapacity",
		"InsufficientReservedInstanceCapacity",
	}
	noVolume = []string{"InsufficientVolumeCapacity"}
)

// remedy returns what to do about an error, or "" when the message of AWS must be enough.
func remedy(operation *smithy.OperationError, err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return remedyForNoAnswer(err)
	}
	code := api.ErrorCode()
	is := func(codes []string) bool { return slices.Contains(codes, code) }
	_, throttles := retry.DefaultThrottleErrorCodes[code]
	switch {
	case is(expired):
		return "the AWS credentials have expired, unless this computer's clock is wrong; renew them, and use ones " +
			"that outlive " +
			"instance_timeout and image_timeout"
	case is(clockSkew):
		return "this computer's clock is wrong; set it, best by NTP"
	case is(invalidCredentials):
		return "AWS does not accept the credentials; correct profile, access_key, secret_key or token, or those of " +
			"the " +
			"environment, and check that this computer's clock is right"
	case is(denied):
		return "allow " + permission(operation) + " to the credentials, as the policies in docs/iam do" +
			decodeHint(api)
	case is(noVolume):
		return "AWS has no room for the disk; choose another volume_type, or another availability_zone or " +
			"subnet_id, or bake again later"
	case code == "SpotMaxPriceTooLow":
		return "raise spot_price, or leave it out to pay at most the price on demand"
	case code == "InsufficientFreeAddressesInSubnet":
		return "choose another subnet_id"
	case code == "Unsupported":
		return "choose another instance_type, or an availability_zone or subnet_id where AWS has it"
	case code == "TagLimitExceeded":
		return "set fewer tags"
	case code == "AuthFailure.ServiceLinkedRoleCreationNotPermitted":
		return "the first Spot Instance of an account needs a role that somebody with the right " +
			"iam:CreateServiceLinkedRole makes once: aws iam create-service-linked-role --aws-service-name " +
			"spot.amazonaws.com"
	case code == "MaxSpotInstanceCountExceeded":
		return quotaRemedy
	case is(noCapacity):
		return "AWS has no room for the machine; choose another instance_type, or another subnet_id, or bake again " +
			"later"
	case code == "BadRequest" && operation.ServiceID == "S3": // an answer to HEAD contains no reason
		return "S3 does not say why; the usual causes are credentials that have expired, and a bucket of another region"
	case code == "ServiceUnavailable" || code == "Unavailable":
		return "AWS is out of order, or throttles the account; bake again later, or raise max_retries"
	case throttles || code == "SlowDown":
		return "AWS throttles the account; bake again later, or raise max_retries"
	case strings.Contains(code, "LimitExceeded"):
		return quotaRemedy
	case status(err) >= http.StatusInternalServerError:
		return "AWS is out of order; bake again later, or raise max_retries"
	}
	return ""
}

const quotaRemedy = "a quota of the account is used up; remove what is not needed, or ask AWS for more in Service " +
	"Quotas"

const unreachable = "see that AWS can be reached from here: the network, a proxy, the region and its endpoint; or " +
	"bake again later"

func remedyForNoAnswer(err error) string {
	switch s := status(err); {
	case truncated(err):
		return unreachable
	case s >= http.StatusInternalServerError:
		return "AWS is out of order; bake again later, or raise max_retries"
	case s == http.StatusForbidden:
		return "allow it to the credentials, as the policies in docs/iam do"
	case noAnswer(err):
		return unreachable
	}
	return ""
}

// decodeHint names the setting that decodes the message, when there is an encoded message.
func decodeHint(api smithy.APIError) string {
	if encodedMessage.MatchString(api.ErrorMessage()) {
		return "; decode_authorization_messages shows what AWS says of it"
	}
	return ""
}

// permissions are the policy actions of calls whose action has another name.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
var permissions = map[string]string{
	"S3 HeadBucket": "s3:ListBucket", "S3 HeadObject": "s3:GetObject",
	"S3 CreateMultipartUpload": "s3:PutObject", "S3 UploadPart": "s3:PutObject",
	"S3 CompleteMultipartUpload": "s3:PutObject",
	"S3 ListMultipartUploads":    "s3:ListBucketMultipartUploads",
	"S3 ListObjectsV2":           "s3:ListBucket",
	"S3 ListObjectVersions":      "s3:ListBucketVersions", "S3 DeleteObjects": "s3:DeleteObjectVersion",
	"S3 GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
}

func permission(operation *smithy.OperationError) string {
	if p, ok := permissions[operation.ServiceID+" "+operation.OperationName]; ok {
		return p
	}
	return strings.ToLower(operation.ServiceID) + ":" + operation.OperationName
}

// MissingRight returns the right without which AWS refused a call, such as s3:ListBucket, or "" when a call failed for
// another reason.
func MissingRight(err error) string {
	operation, isCall := errors.AsType[*smithy.OperationError](err)
	api, isAnswer := errors.AsType[smithy.APIError](err)
	if !isCall || !isAnswer || !slices.Contains(denied, api.ErrorCode()) {
		return ""
	}
	return permission(operation)
}
