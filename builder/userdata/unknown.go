// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/mitchellh/mapstructure"

	"github.com/amibakery/packer-plugin-bakery/internal/awsconfig"
)

// unknown tells whether a value is Packer's placeholder for something it does not know yet: the result of a data
// source that `packer validate` did not run. Such a value is never wrong.
func unknown(s string) bool { return strings.Contains(s, awsconfig.Unknown) }

// known tells whether a value is there and known.
func known(s string) bool { return s != "" && !unknown(s) }

// decodeHooks are Packer's own, after one that keeps a duration that is not known yet from being a syntax error.
var decodeHooks = append([]mapstructure.DecodeHookFunc{unknownDuration}, config.DefaultDecodeHookFuncs...)

func unknownDuration(from, to reflect.Type, value any) (any, error) {
	if from.Kind() == reflect.String && to == reflect.TypeFor[time.Duration]() && value == awsconfig.Unknown {
		return time.Duration(0), nil
	}
	return value, nil
}

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// seconds writes a limit the way people write it in a template: "120s", not "2m0s".
func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) + "s" }
