// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// The error codes of EC2 that the plugin acts on:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html.
const (
	CodeInstanceNotFound    = "InvalidInstanceID.NotFound"
	CodeImageNotFound       = "InvalidAMIID.NotFound"
	CodeImageUnavailable    = "InvalidAMIID.Unavailable" // deregistered already
	CodeImageNameTaken      = "InvalidAMIName.Duplicate"
	CodeNotPermitted        = "OperationNotPermitted"
	CodeSnapshotNotFound    = "InvalidSnapshot.NotFound"
	CodeSnapshotInUse       = "InvalidSnapshot.InUse"
	CodeVolumeNotFound      = "InvalidVolume.NotFound"
	CodeVolumeInUse         = "VolumeInUse"
	CodeGroupNotFound       = "InvalidGroup.NotFound"
	CodeGroupIDNotFound     = "InvalidSecurityGroupID.NotFound"
	CodeGroupDuplicate      = "InvalidGroup.Duplicate"
	CodeGroupInUse          = "DependencyViolation"
	CodeInstanceState       = "IncorrectInstanceState"
	CodeState               = "IncorrectState"
	CodeNoVPC               = "VPCIdNotSpecified"
	CodeUnsupported         = "UnsupportedOperation"
	CodeParameterValue      = "InvalidParameterValue"
	CodeSpotRequestNotFound = "InvalidSpotInstanceRequestID.NotFound"
)

// The error codes of IAM that the plugin acts on:
// https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html and the pages of its actions.
const (
	CodeNoSuchEntity           = "NoSuchEntity"
	CodeEntityExists           = "EntityAlreadyExists"
	CodeLimitExceeded          = "LimitExceeded"
	CodeDeleteConflict         = "DeleteConflict"
	CodeConcurrentModification = "ConcurrentModification"
)

// VisibleTimeout is how long a new resource may be invisible to some calls: AWS is eventually consistent.
const VisibleTimeout = 2 * time.Minute

// HasCode reports whether AWS refused a call with one of the codes.
func HasCode(err error, codes ...string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode())
}

// IgnoreNotFound returns nil for an error with one of the codes, which say that the thing is not there, and err
// otherwise.
func IgnoreNotFound(err error, codes ...string) error {
	if HasCode(err, codes...) {
		return nil
	}
	return err
}

// IsTransient reports whether a call may succeed when it is made again: AWS is throttling, is out of order, does not
// answer, or cannot be reached. It is what the SDK itself would try again.
func IsTransient(err error) bool {
	return err != nil && (errors.Is(err, context.DeadlineExceeded) || standardRetryer.IsErrorRetryable(err))
}

// AttemptError returns the error of one attempt of a call to EC2, in the words that the call uses after its last
// attempt.
func AttemptError(action string, err error) error {
	return awserror.InWords(&smithy.OperationError{ServiceID: ec2.ServiceID, OperationName: action, Err: err})
}

var standardRetryer = retry.NewStandard(awserror.RetryCutAnswers)

// IsThrottled reports whether AWS has refused a call because there were too many. Such a call has had no effect.
func IsThrottled(err error) bool {
	return err != nil && retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
}

// MayHaveTakenEffect reports whether a call that failed may have done what it was asked for: its answer was lost.
func MayHaveTakenEffect(err error) bool {
	return IsTransient(err) && !IsThrottled(err) && !IsCapacityError(err)
}

// IsCapacityError reports whether AWS refused to launch an instance in a way that another type, zone or price may not
// be: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html.
func IsCapacityError(err error) bool {
	return HasCode(err, "InsufficientInstanceCapacity", "InsufficientCapacity", "InsufficientHostCapacity",
		"SpotMaxPriceTooLow", "MaxSpotInstanceCountExceeded", "VcpuLimitExceeded", "InstanceLimitExceeded",
		"InsufficientFreeAddressesInSubnet", "Unsupported")
}

// IsTemporaryCapacityError reports whether a launch that AWS refused for its capacity may succeed later as it is. A
// quota stays as it is, and so does a type that a zone does not have.
func IsTemporaryCapacityError(err error) bool {
	return HasCode(err, "InsufficientInstanceCapacity", "InsufficientCapacity", "InsufficientHostCapacity",
		"InsufficientFreeAddressesInSubnet")
}

// NotVisibleYet returns a check of errors: whether one of the codes says that AWS does not know a thing that it made
// less than VisibleTimeout ago. That is no proof that the thing is gone:
// https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html.
func NotVisibleYet(made time.Time, codes ...string) func(error) bool {
	return func(err error) bool { return HasCode(err, codes...) && time.Since(made) < VisibleTimeout }
}

// IsWrongState reports whether EC2's image maker does not yet see an instance as stopped, as the rest of EC2 does.
func IsWrongState(err error) bool {
	return HasCode(err, CodeInstanceState, CodeState) ||
		(err != nil && strings.Contains(err.Error(), "is not in state"))
}
