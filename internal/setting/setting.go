// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package setting is the checks that settings of every concern share: values that are not known yet, limits, lists of
// allowed values, filters.
//
// It knows how Packer decodes a template. It may not know what a setting is for, and makes no call.
package setting

import (
	"reflect"
	"strings"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/mitchellh/mapstructure"

	"github.com/amibakery/packer-plugin-bakery/internal/placeholder"
)

// Unknown reports whether a value is Packer's placeholder for a value that is not known yet: the result of a data
// source that `packer validate` did not run. Such a value is never an error.
func Unknown(s string) bool { return placeholder.In(s) }

// Known reports whether a value is set and known.
func Known(s string) bool { return s != "" && !Unknown(s) }

// DecodeHooks are Packer's own, after one that accepts a duration that is not known yet.
var DecodeHooks = append([]mapstructure.DecodeHookFunc{decodeUnknownDuration}, config.DefaultDecodeHookFuncs...)

func decodeUnknownDuration(from, to reflect.Type, value any) (any, error) {
	if from.Kind() == reflect.String && to == reflect.TypeFor[time.Duration]() && value == placeholder.Unknown {
		return time.Duration(0), nil
	}
	return value, nil
}

// NonZeroNames returns the names of the settings of a config struct that are set, those of squashed structs included.
func NonZeroNames(v reflect.Value) []string {
	var names []string
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("mapstructure"), ",")
		switch {
		case options == "squash":
			names = append(names, NonZeroNames(v.Field(i))...)
		case name != "" && !v.Field(i).IsZero():
			names = append(names, name)
		}
	}
	return names
}
