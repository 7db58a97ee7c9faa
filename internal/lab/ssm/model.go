// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ssm

import (
	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/model"
)

var table = model.MustLoad("ssm")

// checkModel returns the error for a request that is not as the service's model says.
func checkModel(action string, parameters map[string]any) error {
	problems := table.Check(action, model.FromJSON(parameters))
	if len(problems) == 0 {
		return nil
	}
	return apierror.New("ValidationException", model.Validation(problems))
}
