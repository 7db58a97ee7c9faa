// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/amibakery/packer-plugin-bakery/internal/awsconfig"
	"github.com/amibakery/packer-plugin-bakery/internal/instance"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// signedFor returns how long signed URLs last.
func signedFor(instanceTimeout time.Duration) time.Duration {
	return min(instanceTimeout+instance.SignedMargin, staging.MaxExpiry)
}

// bootTime is how long user data that is staged can be fetched: cloud-init does so once, when the machine has its
// network. Machines of metal take up to a quarter of an hour until then, and AWS may have no capacity for the first
// options.
const bootTime = 30 * time.Minute

// signedURLLife returns how long the longest signed URL of the bake lasts: 0 without staging.
func (c *Config) signedURLLife() time.Duration {
	switch {
	case c.Staging == nil || c.SweepOnly:
		return 0
	case c.Verdict == setting.VerdictStop && c.ImageSource == "" && c.Bundle == "" && c.isSet():
		return min(signedFor(c.InstanceTimeout), bootTime) // of the user data, which uploads nothing
	}
	return signedFor(c.InstanceTimeout)
}

// checkSession refuses a role of the template with whose credentials the URLs of the machine would expire too early:
// those of every role, or of one with this duration_seconds.
func (c *Config) checkSession() ([]string, []error) {
	if c.AssumeRole == nil {
		return nil, nil
	}
	need, lasts := c.signedURLLife(), time.Duration(c.AssumeRole.DurationSeconds)*time.Second
	switch {
	case need > awsconfig.LongestSession:
		return nil, []error{c.tooShort(need, "but AWS lends the credentials of assume_role for "+
			seconds(awsconfig.LongestSession)+" at most", awsconfig.LongestSession-time.Minute)}
	case lasts != 0 && lasts < need:
		return nil, []error{c.tooShort(need, "but duration_seconds of assume_role is "+seconds(lasts), lasts)}
	}
	return nil, nil
}

// tooShort returns the error for credentials that do not last as long as the URLs which they are to sign: why says how
// long they last.
func (c *Config) tooShort(need time.Duration, why string, lasts time.Duration) error {
	what := "instance_timeout of " + seconds(c.InstanceTimeout) + " and 10 minutes for the launch"
	if need < signedFor(c.InstanceTimeout) {
		what = "until the machine has fetched its user data"
	}
	remedy := fmt.Sprintf("use credentials that last longer (duration_seconds of assume_role or of the profile: the "+
		"role's maximum session duration must allow it, and AWS lends an hour at most to a role that another role "+
		"assumes; now %s)", seconds(need))
	if need > awsconfig.LongestSession {
		remedy = "use credentials that are not a role's (AWS lends a role's for " +
			seconds(awsconfig.LongestSession) + " at most)"
	}
	if timeout := (lasts - instance.SignedMargin).Truncate(time.Minute); timeout >= setting.LeastTimeout {
		remedy = "lower instance_timeout to at most " + seconds(timeout) + ", or " + remedy
	}
	return fmt.Errorf("the signed URLs of staging must last %s (%s), %s, and they expire with the credentials that "+
		"sign them: %s", seconds(need), what, why, remedy)
}

// seconds formats a duration the way people write it in a template: "3600s", not "1h0m0s".
func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }

// signingCredentials are the credentials that sign the URLs of a machine.
type signingCredentials struct {
	*awsconfig.Credentials

	config *Config
}

// check makes sure that URLs which are signed now last for a time: they expire with the credentials that sign them. It
// renews those that do not last, if they can be renewed, and refuses them otherwise.
func (c *signingCredentials) check(ctx context.Context, need time.Duration) error {
	if need == 0 {
		return nil
	}
	found, err := c.Lasting(ctx, need)
	if err != nil {
		return c.explain(err)
	}
	if left := time.Until(found.Expires); found.CanExpire && left < need {
		return c.config.tooShort(need, "but the AWS credentials expire in "+seconds(left), left)
	}
	return nil
}

// explain returns the error for credentials that cannot be had. STS may have refused a session that lasts as long as
// the URLs have to.
func (c *signingCredentials) explain(err error) error {
	refused := awsconfig.RefusedSession(err)
	need := c.config.signedURLLife()
	least := max(need, 15*time.Minute) // STS lends nothing for a shorter time
	role := c.config.AssumeRole
	switch {
	case refused != nil && role != nil && time.Duration(role.DurationSeconds)*time.Second > least:
		return fmt.Errorf("%w: set duration_seconds of assume_role to at most what the role allows; %s are needed",
			refused, seconds(least))
	case refused != nil && need > 0:
		return c.config.tooShort(need, "but "+refused.Error(), time.Hour)
	}
	return fmt.Errorf("%w: %w", errNoCredentials, err)
}

// warnOfSession warns when nobody knows how long credentials last that are to sign URLs for more than an hour, which is
// how long most temporary ones last.
func warnOfSession(b *build, c aws.Credentials) {
	need := b.config.signedURLLife()
	if c.SessionToken == "" || c.CanExpire || need <= time.Hour {
		return
	}
	b.Warn("the signed URLs of staging must last %s, and expire with the AWS credentials, which are temporary and "+
		"do not say when they expire: use ones that last so long, and set AWS_CREDENTIAL_EXPIRATION to have it checked",
		seconds(need))
}
