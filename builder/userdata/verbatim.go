// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"
	"github.com/mitchellh/mapstructure"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// verbatimSettings are text of the user's that need not be a template of Packer's. Packer checks the braces of every
// setting it decodes, even of those it is told not to render, so these are taken out before: user data in jinja has
// braces too.
var verbatimSettings = []string{"user_data", "compile_env"}

// splitVerbatim splits the settings into those Packer decodes and those it must not see.
func splitVerbatim(raws []any) (settings []any, verbatim map[string]any, err error) {
	verbatim = map[string]any{}
	for _, raw := range raws {
		m, err := settingsMap(raw)
		if err != nil {
			return nil, nil, fmt.Errorf("decode the settings: %w", err)
		}
		for _, name := range verbatimSettings {
			if value, ok := m[name]; ok && value != nil {
				verbatim[name] = value
			}
			delete(m, name)
		}
		settings = append(settings, m)
	}
	return settings, verbatim, nil
}

// settingsMap is a copy of settings in any form Packer passes them in: HCL's as a cty.Value, its own and JSON's as a
// map.
func settingsMap(raw any) (map[string]any, error) {
	var m map[string]any
	value, isHCL := raw.(cty.Value)
	if !isHCL {
		err := mapstructure.Decode(raw, &m)
		return maps.Clone(m), err
	}
	encoded, err := ctyjson.SimpleJSONValue{Value: value}.MarshalJSON()
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal(encoded, &m)
	return m, err
}

// jinja is the first line of user data that cloud-init renders: its braces are none of Packer's.
const jinja = "## template: jinja"

// renderUserData renders user_data, as amazon-ebs does.
func (c *Config) renderUserData() error {
	if strings.HasPrefix(strings.TrimLeft(c.UserData, "\r\n\t "), jinja) || setting.Unknown(c.UserData) {
		return nil
	}
	rendered, err := interpolate.Render(c.UserData, &c.ctx)
	if err != nil {
		return fmt.Errorf("user_data: its braces are no template of Packer's; text that is none goes into a "+
			"user_data_file: %w", err)
	}
	const noValue = "<no value>" // of text/template, for a field that there is none of
	if strings.Contains(rendered, noValue) && !strings.Contains(c.UserData, noValue) {
		return fmt.Errorf("user_data: its braces name a field that Packer does not have, which would become %s: text "+
			"such as docker's {{.Names}} goes into a user_data_file", noValue)
	}
	c.UserData = rendered
	return nil
}
