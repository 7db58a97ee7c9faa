// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsquery

import (
	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/model"
)

// Check returns the error for a request that is not as the service's model says.
func (f Form) Check(table *model.Service) error {
	problems := table.Check(f.Name(), model.FromForm(f.Values))
	if len(problems) == 0 {
		return nil
	}
	return apierror.New("ValidationError", model.Validation(problems))
}
