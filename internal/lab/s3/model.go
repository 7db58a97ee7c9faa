// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"net/http"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/model"
)

var table = model.MustLoad("s3")

// checkModel returns the error for headers and parameters that are not as S3's model says. As S3 does, it ignores those
// that it does not know.
func checkModel(operation string, r *http.Request) error {
	in := table.Input(operation)
	if in == nil {
		return nil
	}
	request := &model.Node{}
	query := r.URL.Query()
	for name := range in.Members {
		switch {
		case query.Has(name):
			request.Add([]string{name}, query.Get(name))
		case strings.HasPrefix(name, "x-amz-") && r.Header.Get(name) != "":
			request.Add([]string{name}, r.Header.Get(name))
		}
	}
	for _, p := range table.Check(operation, request) {
		switch {
		case p.Kind == model.Unknown, p.Kind == model.Missing, p.Value == "":
		case p.Name() == "x-amz-storage-class":
			return apierror.New("InvalidStorageClass", "The storage class you specified is not valid")
		default:
			return apierror.New("InvalidArgument", "Invalid value '"+p.Value+"' for "+p.Name())
		}
	}
	return nil
}
