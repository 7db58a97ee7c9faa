// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// EC2's error codes that this package acts on:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html.
const (
	codeInstanceNotFound = "InvalidInstanceID.NotFound"
	codeImageNotFound    = "InvalidAMIID.NotFound"
	codeImageUnavailable = "InvalidAMIID.Unavailable" // deregistered already
	codeImageNameTaken   = "InvalidAMIName.Duplicate"
	codeNotPermitted     = "OperationNotPermitted"
	codeSnapshotNotFound = "InvalidSnapshot.NotFound"
	codeSnapshotInUse    = "InvalidSnapshot.InUse"
	codeVolumeNotFound   = "InvalidVolume.NotFound"
	codeVolumeInUse      = "VolumeInUse"
	codeGroupNotFound    = "InvalidGroup.NotFound"
	codeGroupNotFound2   = "InvalidSecurityGroupID.NotFound"
	codeGroupDuplicate   = "InvalidGroup.Duplicate"
	codeGroupInUse       = "DependencyViolation"
	codeInstanceState    = "IncorrectInstanceState"
	codeInstanceState2   = "IncorrectState"
	codeNoVPC            = "VPCIdNotSpecified"
	codeUnsupported      = "UnsupportedOperation"
	codeParameterValue   = "InvalidParameterValue"
	codeRequestNotFound  = "InvalidSpotInstanceRequestID.NotFound"
	codeNoEntity         = "NoSuchEntity" // IAM's
	codeEntityExists     = "EntityAlreadyExists"
	codeLimitExceeded    = "LimitExceeded"
	codeDeleteConflict   = "DeleteConflict"
	codeModification     = "ConcurrentModification"
)

// hasCode tells whether AWS refused a call with one of the codes.
func hasCode(err error, codes ...string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode())
}

// orGone is err, or nil when it says that the thing is not there any more.
func orGone(err error, codes ...string) error {
	if hasCode(err, codes...) {
		return nil
	}
	return err
}

// transient tells whether a call may succeed when it is made again: AWS is throttling, is out of order, does not answer, or
// cannot be reached. It is what the SDK itself would try again.
func transient(err error) bool {
	return err != nil && (errors.Is(err, context.DeadlineExceeded) || standardRetryer.IsErrorRetryable(err))
}

// lost tells whether a launch may have taken effect although it failed.
func lost(err error) bool { return transient(err) && !throttled(err) && !noRoom(err) }

var standardRetryer = retry.NewStandard(awserror.RetryCutAnswers)

// notYet tells whether AWS does not know something that it has itself made a moment ago. That is no proof that the thing is
// gone: https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html.
func notYet(made time.Time, codes ...string) func(error) bool {
	return func(err error) bool { return hasCode(err, codes...) && time.Since(made) < visibleTimeout }
}

// notInState tells whether an instance is not yet for EC2's image maker what it is for everybody else: stopped.
func notInState(err error) bool {
	return hasCode(err, codeInstanceState, codeInstanceState2) ||
		(err != nil && strings.Contains(err.Error(), "is not in state"))
}
