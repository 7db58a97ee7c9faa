// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import (
	"errors"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// tooYoung is how a service says that it does not know what a call is about, when that is younger than the age: EC2 and
// IAM are eventually consistent (https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html); S3, STS and
// Systems Manager are not. Lists leave out what is as young.
func (x *exchange) tooYoung(age time.Duration) error {
	if age <= 0 {
		return nil
	}
	switch x.service {
	case "ec2":
		return x.tooYoungForEC2(age)
	case "iam":
		return errors.Join(x.lab.iam.Younger("RoleName", x.parameter("RoleName"), age),
			x.lab.iam.Younger("InstanceProfileName", x.parameter("InstanceProfileName"), age))
	}
	return nil
}

func (x *exchange) tooYoungForEC2(age time.Duration) error {
	q := x.ec2.Query
	for _, value := range q.Names() {
		if err := x.lab.cloud.Younger(value, age); err != nil {
			return err
		}
	}
	if name := q.String("IamInstanceProfile.Name"); x.lab.iam.Younger("InstanceProfileName", name, age) != nil {
		return cloud.Errorf("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", name)
	}
	q.Hide(func(id string) bool { return x.lab.cloud.Younger(id, age) != nil })
	return nil
}
