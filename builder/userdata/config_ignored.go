// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// IgnoredConfig is what a template written for amazon-ebs may say that has no effect here, beside all of SSH and WinRM:
// nothing connects to the machine, and it does not run Windows. One warning names what is set, and why it is ignored.
type IgnoredConfig struct {
	// Accepted and ignored, with a warning: nothing connects to the machine. Only the address that `build.Host` stands
	// for in provisioners follows it, as with amazon-ebs.
	SSHInterface string `mapstructure:"ssh_interface"`
	// Accepted and ignored, with a warning: nothing connects to the machine.
	PauseBeforeSSM time.Duration `mapstructure:"pause_before_ssm"`
	// Accepted and ignored, with a warning: nothing connects to the machine.
	SessionManagerPort int `mapstructure:"session_manager_port"`
	// Accepted and ignored, with a warning: for Windows.
	WindowsPasswordTimeout time.Duration `mapstructure:"windows_password_timeout"`
	// Accepted and ignored, with a warning: for Windows.
	NoEphemeral bool `mapstructure:"no_ephemeral"`
	// Accepted and ignored, with a warning: for Windows. See [FastLaunch](#fast-launch-configuration).
	FastLaunch FastLaunch `mapstructure:"fast_launch"`
	// Accepted and ignored, with a warning: the temporary security group lets nobody in.
	TemporarySGSourceCidrs []string `mapstructure:"temporary_security_group_source_cidrs"`
	// Accepted and ignored, with a warning: the temporary security group lets nobody in.
	TemporarySGSourcePublicIP bool `mapstructure:"temporary_security_group_source_public_ip"`
	// Deprecated: accepted and ignored, with a warning. AWS has ended Spot Instances of a fixed time.
	BlockDurationMinutes int64 `mapstructure:"block_duration_minutes"`
	// Deprecated: accepted and ignored, with a warning. `spot_price = "auto"` needs no product.
	SpotPriceAutoProduct string `mapstructure:"spot_price_auto_product"`
}

// FastLaunch is how fast Windows starts, and of no concern here.
type FastLaunch struct {
	// Ignored.
	EnableFastLaunch bool `mapstructure:"enable_fast_launch"`
	// Ignored.
	TemplateID string `mapstructure:"template_id"`
	// Ignored.
	TemplateName string `mapstructure:"template_name"`
	// Ignored.
	TemplateVersion int `mapstructure:"template_version"`
	// Ignored.
	RegionLaunchTemplates []FastLaunchTemplate `mapstructure:"region_launch_templates"`
	// Ignored.
	MaxParallelLaunches int `mapstructure:"max_parallel_launches"`
	// Ignored.
	TargetResourceCount int `mapstructure:"target_resource_count"`
}

// FastLaunchTemplate is how fast Windows starts in one region.
type FastLaunchTemplate struct {
	// Ignored.
	EnableFastLaunch bool `mapstructure:"enable_fast_launch"`
	// Ignored.
	Region string `mapstructure:"region"`
	// Ignored.
	TemplateID string `mapstructure:"template_id"`
	// Ignored.
	TemplateName string `mapstructure:"template_name"`
	// Ignored.
	TemplateVersion int `mapstructure:"template_version"`
}

// These are the reasons why settings have no effect.
const (
	nothingConnects = "this builder connects to nothing"
	bakesLinux      = "this builder bakes Linux"
	noFixedTime     = "AWS has ended Spot Instances of a fixed time"
	noProduct       = "AWS sets the price of Spot Instances itself"
)

// ignoredFor says why a setting has no effect. Those of WinRM are for Windows, and all others are for a connection.
var ignoredFor = map[string]string{
	"fast_launch": bakesLinux, "no_ephemeral": bakesLinux, "windows_password_timeout": bakesLinux,
	"block_duration_minutes": noFixedTime, "spot_price_auto_product": noProduct,
}

// warnOfIgnored returns the one warning of settings that have no effect, with a sentence for each reason.
func (c *Config) warnOfIgnored(names []string) string {
	byReason := map[string][]string{}
	for _, name := range names {
		reason := cmp.Or(ignoredFor[name], nothingConnects)
		if strings.HasPrefix(name, "winrm_") {
			reason = bakesLinux
		}
		byReason[reason] = append(byReason[reason], name)
	}
	var sentences []string
	for _, reason := range []string{nothingConnects, bakesLinux, noFixedTime, noProduct} {
		ignored := byReason[reason]
		if len(ignored) == 0 {
			continue
		}
		if len(sentences) > 0 {
			reason = strings.ToUpper(reason[:1]) + reason[1:]
		}
		slices.Sort(ignored)
		sentences = append(sentences, reason+", so these settings have no effect: "+strings.Join(ignored, ", "))
	}
	if len(byReason[nothingConnects]) > 0 {
		sentences = slices.Insert(sentences, 1, "The machine gets its provisioners in its user data, which run there "+
			"as "+c.loginUser()+"; there is no key pair, and nothing may connect to it")
	}
	return strings.Join(sentences, ". ")
}
