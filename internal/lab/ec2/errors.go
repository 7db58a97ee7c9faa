// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"net/http"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sts"
)

// ec2Errors are from https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html.
var ec2Errors = service.Errors{
	Causes: map[error]apierror.Error{
		service.ErrThrottled: {Code: "RequestLimitExceeded", Message: "Request limit exceeded."},
		service.ErrInternal:  {Code: "InternalError", Message: "An internal error has occurred"},
		service.ErrUnavailable: {Code: "Unavailable",
			Message: "The server is overloaded and can't handle the request."},
		service.ErrCredentialsExpired: {Code: "RequestExpired", Message: "Request has expired."},
		sigv4.ErrExpired:              {Code: "RequestExpired", Message: "Request has expired."},
	},
	Unverified: apierror.Error{Code: "AuthFailure",
		Message: "AWS was not able to validate the provided access credentials"},
	Denied: func(d *service.DeniedError) *apierror.Error {
		return apierror.Errorf("UnauthorizedOperation",
			"You are not authorized to perform this operation. %s. Encoded authorization failure message: %s",
			d, sts.EncodeAuthorizationMessage(d.Need.Action))
	},
	Quotas: map[string]string{
		"RunInstances":                  "VcpuLimitExceeded",
		"StartInstances":                "VcpuLimitExceeded",
		"CreateSecurityGroup":           "SecurityGroupLimitExceeded",
		"AuthorizeSecurityGroupIngress": "RulesPerSecurityGroupLimitExceeded",
		"AuthorizeSecurityGroupEgress":  "RulesPerSecurityGroupLimitExceeded",
		"CreateSnapshot":                "SnapshotLimitExceeded",
		"CreateTags":                    "TagLimitExceeded",
	},
	Quota:    "ResourceLimitExceeded",
	Messages: messages,
	Internal: "InternalError",
	Statuses: map[string]int{
		"UnauthorizedOperation":        http.StatusForbidden,
		"OptInRequired":                http.StatusForbidden,
		"Blocked":                      http.StatusForbidden,
		"DryRunOperation":              http.StatusPreconditionFailed,
		"AuthFailure":                  http.StatusUnauthorized,
		"RequestEntityTooLarge":        http.StatusRequestEntityTooLarge,
		"InternalError":                http.StatusInternalServerError,
		"InternalFailure":              http.StatusInternalServerError,
		"InsufficientInstanceCapacity": http.StatusInternalServerError,
		"InsufficientCapacity":         http.StatusInternalServerError,
		"InsufficientHostCapacity":     http.StatusInternalServerError,
		"ServiceUnavailable":           http.StatusServiceUnavailable,
		"Unavailable":                  http.StatusServiceUnavailable,
		"RequestLimitExceeded":         http.StatusServiceUnavailable,
	},
}

// messages are EC2's for codes that faults answer with, where somebody may read the message.
var messages = map[string]string{
	"VcpuLimitExceeded": "You have requested more vCPU capacity than your current vCPU limit of 5 allows for the " +
		"instance bucket that the specified instance type belongs to. Please visit " +
		"http://aws.amazon.com/contact-us/ec2-request to " +
		"request an adjustment to this limit.",
	"InstanceLimitExceeded": "You have requested more instances (1) than your current instance limit of 0 allows for " +
		"the specified instance type. Please visit http://aws.amazon.com/contact-us/ec2-request to request an " +
		"adjustment to this limit.",
	"MaxSpotInstanceCountExceeded": "Max spot instance count exceeded",
	"InsufficientInstanceCapacity": "We currently do not have sufficient capacity in the Availability Zone you " +
		"requested. Our system will be working on provisioning additional capacity.",
	"ResourceLimitExceeded":      "You have exceeded the number of resources allowed for your account.",
	"SecurityGroupLimitExceeded": "The maximum number of security groups for this VPC has been reached.",
	"SnapshotLimitExceeded": "You have reached the limit on the number of Amazon EBS snapshots that you can " +
		"create.",
	"TagLimitExceeded": "You have reached the limit on the number of tags that you can assign to the " +
		"specified resource.",
	"RequestExpired": "Request has expired.",
}
