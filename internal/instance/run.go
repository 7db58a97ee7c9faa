// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/machinelog"
	"github.com/amibakery/packer-plugin-bakery/internal/network"
)

// Launcher launches machines for a bake, or for whoever tests an image.
type Launcher struct {
	Bake       *bake.Bake
	EC2        *awscall.EC2
	Settings   Settings
	Slots      LaunchSlots
	Types      Hypervisors // of the settings' instance types
	MaxRetries int         // how long a launch that AWS throttles is tried again: as many of the SDK's longest pauses
	Render     bake.Render // of tags
	Zone       string      // the availability zone, where no subnet says it
	PublicIP   *bool       // nil: what the subnet says
}

// Spec says what to launch.
type Spec struct {
	Image           types.Image // to start from
	Network         network.Network
	InstanceProfile string // its name or ARN; "" for none
	ProfileIsNew    bool   // this bake has made it
	// UserData returns what an attempt is launched with, and the log that its machine will write. It is called right
	// before the launch, so that URLs in it last for the machine's whole time.
	UserData func(ctx context.Context, attempt int) ([]byte, *machinelog.Log, error)
}

// maxAttempts is how many machines Run may use: the second is for a Spot Instance that AWS took back.
const maxAttempts = 2

// Run launches a machine, shows what it says, waits until it has powered itself off, and returns nil if it reported
// success. When AWS takes a Spot Instance back, it begins once more. The machine stays: it is in the bake's ledger. It
// is returned in any case, for what is known of it; that of the last attempt.
func (l *Launcher) Run(ctx context.Context, spec Spec) (*Instance, error) {
	options := l.options(ctx, spec.Network.Subnets)
	for n := 1; ; n++ {
		m := &Instance{
			bake: l.Bake, api: l.EC2, attempt: l.Bake.NextAttempt(), hypervisors: l.Types,
			outlivingDevices: outlivingDevices(&spec.Image, l.Settings.Run.LaunchBlockDevices),
		}
		made, err := l.attempt(ctx, m, spec, options)
		why := m.interruptionReason(ctx)
		switch {
		case why == "":
			return m, err
		case l.Settings.Spot.SpotFallback == fallbackNone:
			return m, fmt.Errorf("AWS took the Spot Instance %s back: %s. Set spot_fallback to bake once more", m.ID,
				why)
		case n == maxAttempts:
			return m, fmt.Errorf("AWS took the Spot Instance %s back as well: %s. spot_fallback = %q bakes on demand "+
				"then",
				m.ID, why, fallbackOnDemand)
		}
		l.Bake.Warn("AWS took the Spot Instance %s back: %s", m.ID, why)
		options = l.optionsAfter(m.option, options)
		l.Bake.Say("Baking once more, on %s", options[0])
		if err := l.Bake.Ledger.Undo(ctx, made); err != nil {
			l.Bake.Warn("%s", err)
		}
	}
}

// attempt launches a machine and waits for its verdict. It returns the machine's entry in the ledger, if there is one.
func (l *Launcher) attempt(
	ctx context.Context, m *Instance, spec Spec, options []launchOption,
) (*bake.Entry, error) {
	userData, log, err := spec.UserData(ctx, m.attempt)
	if err != nil {
		return nil, err
	}
	m.Log = log
	made, err := l.launch(ctx, m, spec, userData, options)
	if err != nil {
		return made, err
	}
	if err := m.watch(ctx, l.Settings.Watch); err != nil {
		return made, err
	}
	err = m.findVerdict(ctx, l.Settings.Watch)
	m.Log.Show(ctx, nil, true)
	return made, err
}
