// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import (
	"cmp"
	"net/http"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/ec2"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iamapi"
)

// answers is how the service of a call words what a fault is to answer.
func (x *exchange) answers(code string) refusal {
	if known, ok := worded[code]; ok {
		if f, ok := known[x.service]; ok {
			return f
		}
	}
	switch code {
	case denied, "UnauthorizedOperation":
		return deny(x.service, iam.Request{Action: x.service + ":" + x.action, Resource: "*"}, x.who)
	case expired:
		if x.presigned {
			return refusal{http.StatusForbidden, "AccessDenied", "Request has expired"}
		}
		return expiredCredentials[x.service]
	case quota:
		code = cmp.Or(quotas[x.action], map[string]string{"iam": "LimitExceeded", "ec2": "ResourceLimitExceeded"}[x.service], "ServiceQuotaExceededException")
	case capacity:
		code = "InsufficientInstanceCapacity"
	}
	return refusal{statusOf(x.service, code), code, cmp.Or(messages[code], "The lab was told to answer so.")}
}

// worded are the answers that every service has, by the fault's code and the service.
var worded = map[string]map[string]refusal{
	throttle: {
		"ec2": {http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."},
		"s3":  {http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate."},
		"sts": {http.StatusBadRequest, "Throttling", "Rate exceeded"},
		"iam": {http.StatusBadRequest, "Throttling", "Rate exceeded"},
		"ssm": {http.StatusBadRequest, "ThrottlingException", "Rate exceeded"},
	},
	"500": {
		"ec2": {http.StatusInternalServerError, "InternalError", "An internal error has occurred"},
		"s3":  {http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again."},
		"sts": {http.StatusInternalServerError, "InternalFailure", "The request processing has failed because of an unknown error, exception or failure."},
		"iam": {http.StatusInternalServerError, "ServiceFailure", "The request processing has failed because of an unknown error, exception or failure."},
		"ssm": {http.StatusInternalServerError, "InternalServerError", "An error occurred on the server side."},
	},
	"503": {
		"ec2": {http.StatusServiceUnavailable, "Unavailable", "The server is overloaded and can't handle the request."},
		"s3":  {http.StatusServiceUnavailable, "ServiceUnavailable", "Service is unable to handle request."},
		"sts": {http.StatusServiceUnavailable, "ServiceUnavailable", "The request has failed due to a temporary failure of the server."},
		"iam": {http.StatusServiceUnavailable, "ServiceUnavailable", "The request has failed due to a temporary failure of the server."},
		"ssm": {http.StatusServiceUnavailable, "ServiceUnavailable", "The request has failed due to a temporary failure of the server."},
	},
}

// expiredCredentials is how each service says that a session's credentials have expired.
var expiredCredentials = map[string]refusal{
	"ec2": {http.StatusBadRequest, "RequestExpired", "Request has expired."},
	"s3":  {http.StatusBadRequest, "ExpiredToken", "The provided token has expired."},
	"sts": {http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired"},
	"iam": {http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired"},
	"ssm": {http.StatusBadRequest, "ExpiredTokenException", "The security token included in the request is expired"},
}

// quotas are the codes for what an account may have no more of, by the action that makes it
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html).
var quotas = map[string]string{
	"RunInstances":                  "VcpuLimitExceeded",
	"StartInstances":                "VcpuLimitExceeded",
	"CreateSecurityGroup":           "SecurityGroupLimitExceeded",
	"AuthorizeSecurityGroupIngress": "RulesPerSecurityGroupLimitExceeded",
	"AuthorizeSecurityGroupEgress":  "RulesPerSecurityGroupLimitExceeded",
	"CreateSnapshot":                "SnapshotLimitExceeded",
	"CreateTags":                    "TagLimitExceeded",
	"PutParameter":                  "ParameterLimitExceeded",
	"CreateBucket":                  "TooManyBuckets",
}

// messages are AWS' words for codes whose message somebody may look at.
var messages = map[string]string{
	"VcpuLimitExceeded": "You have requested more vCPU capacity than your current vCPU limit of 5 allows for the instance bucket that the " +
		"specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
	"InstanceLimitExceeded": "You have requested more instances (1) than your current instance limit of 0 allows for the specified instance " +
		"type. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
	"MaxSpotInstanceCountExceeded": "Max spot instance count exceeded",
	"InsufficientInstanceCapacity": "We currently do not have sufficient capacity in the Availability Zone you requested. Our system will be " +
		"working on provisioning additional capacity.",
	"ResourceLimitExceeded":      "You have exceeded the number of resources allowed for your account.",
	"SecurityGroupLimitExceeded": "The maximum number of security groups for this VPC has been reached.",
	"SnapshotLimitExceeded":      "You have reached the limit on the number of Amazon EBS snapshots that you can create.",
	"TagLimitExceeded":           "You have reached the limit on the number of tags that you can assign to the specified resource.",
	"LimitExceeded":              "Cannot exceed quota for RolesPerAccount: 1000",
	"RequestExpired":             "Request has expired.",
	"ExpiredToken":               "The provided token has expired.",
	"SlowDown":                   "Please reduce your request rate.",
	"RequestTimeTooSkewed":       "The difference between the request time and the current time is too large.",
}

// statusOf is the HTTP status that a service sends with an error code.
func statusOf(service, code string) int {
	switch service {
	case "ec2":
		return ec2.Status(code)
	case "iam":
		return iamapi.Status(code)
	}
	if status, ok := statuses[service][code]; ok {
		return status
	}
	return http.StatusBadRequest
}

// statuses are those that are not 400 (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html,
// https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html and the same page of Systems Manager).
var statuses = map[string]map[string]int{
	"s3": {
		"AccessDenied": 403, "AccountProblem": 403, "AllAccessDisabled": 403, "InvalidAccessKeyId": 403, "InvalidObjectState": 403,
		"RequestTimeTooSkewed": 403, "SignatureDoesNotMatch": 403, "NoSuchBucket": 404, "NoSuchKey": 404, "NoSuchUpload": 404,
		"MethodNotAllowed": 405, "BucketAlreadyExists": 409, "BucketNotEmpty": 409, "OperationAborted": 409, "ConditionalRequestConflict": 409,
		"MissingContentLength": 411, "PreconditionFailed": 412, "InvalidRange": 416, "PermanentRedirect": 301, "TemporaryRedirect": 307,
		"InternalError": 500, "NotImplemented": 501, "ServiceUnavailable": 503, "SlowDown": 503,
	},
	"sts": {
		"AccessDenied": 403, "ExpiredToken": 403, "ExpiredTokenException": 403, "InvalidClientTokenId": 403, "MissingAuthenticationToken": 403,
		"RegionDisabledException": 403, "SignatureDoesNotMatch": 403, "InternalFailure": 500, "ServiceUnavailable": 503,
	},
	"ssm": {"InternalServerError": 500, "InternalFailure": 500, "ServiceUnavailable": 503},
}
