// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// SpotConfig says how to bake on a Spot Instance, which costs less and can be taken back by AWS at any time.
type SpotConfig struct {
	// The most to pay for an hour, in dollars, or `auto` for the price on demand. Default: no Spot Instance, unless
	// `spot_instance_types` is set; `0` is the same as not set.
	SpotPrice string `mapstructure:"spot_price"`
	// The types of machine to bake on, of which one is chosen by `spot_allocation_strategy`; when AWS has no room for
	// it, the next one is tried. In place of `instance_type`.
	SpotInstanceTypes []string `mapstructure:"spot_instance_types"`
	// The order in which the types are tried. `lowest-price`, the default, and `price-capacity-optimized`: the cheapest
	// now first, by the price history. `capacity-optimized` and `capacity-optimized-prioritized`: as the template lists
	// them. `diversified`: in any order. A bake is one machine, so there is no capacity to spread: whatever the order,
	// a type without room is passed over.
	SpotAllocationStrategy string `mapstructure:"spot_allocation_strategy"`
	// What to do when AWS takes the machine back, or has no room for one at the price: `spot`, the default, bakes once
	// more as a Spot Instance, of another type or in another subnet where the template leaves a choice; `on-demand`
	// bakes once more on demand; `none` fails. A machine that was taken back never becomes an image.
	SpotFallback string `mapstructure:"spot_fallback"`
	// Tags of the spot request. Only with Spot Instances. Values may use build data such as `{{ .SourceAMI }}`.
	SpotTags map[string]string `mapstructure:"spot_tags"`
	// The same as `spot_tags`, as a repeatable block of a `key` and a `value`.
	SpotTag config.KeyValues `mapstructure:"spot_tag"`
	// Tags of the spot request as well: one machine is requested without a fleet. Only with Spot Instances.
	FleetTags map[string]string `mapstructure:"fleet_tags"`
	// The same as `fleet_tags`, as a repeatable block of a `key` and a `value`.
	FleetTag config.KeyValues `mapstructure:"fleet_tag"`
}

const (
	priceAuto = "auto"
	priceNone = "0"

	strategyLowestPrice   = "lowest-price"
	strategyPriceCapacity = "price-capacity-optimized"
	strategyDiversified   = "diversified"

	fallbackSpot     = "spot"
	fallbackOnDemand = "on-demand"
	fallbackNone     = "none"
)

// IsSpot reports whether to run on a Spot Instance.
func (c *SpotConfig) IsSpot() bool {
	if c.SpotPrice == "" {
		return len(c.SpotInstanceTypes) > 0
	}
	return c.SpotPrice != priceNone
}

// IsKnownSpot is IsSpot while a template is validated, when the price may not be known yet.
func (c *SpotConfig) IsKnownSpot() bool { return c.IsSpot() && !setting.Unknown(c.SpotPrice) }

// Check returns what is wrong with the settings. It sets their defaults.
func (c *SpotConfig) Check() ([]string, []error) {
	errs := append(c.SpotTag.CopyOn(&c.SpotTags), c.FleetTag.CopyOn(&c.FleetTags)...)
	errs = append(errs, bake.CheckTags("spot_tags", c.SpotTags)...)
	errs = append(errs, bake.CheckTags("fleet_tags", c.FleetTags)...)
	if !c.IsSpot() && len(c.SpotTags)+len(c.FleetTags) > 0 {
		errs = append(errs, errors.New("spot_tags and fleet_tags are tags of a spot request: set spot_price, or "+
			"remove them"))
	}
	if p := c.SpotPrice; p != priceAuto && setting.Known(p) {
		if price, err := strconv.ParseFloat(p, 64); err != nil || price < 0 {
			errs = append(errs, fmt.Errorf("spot_price is %q; it must be dollars for an hour such as \"0.05\", or "+
				"\"auto\"", p))
		}
	}
	errs = append(errs, c.checkChoices()...)
	return nil, errs
}

func (c *SpotConfig) checkChoices() []error {
	return setting.NonNil(
		setting.CheckOneOf("spot_allocation_strategy", &c.SpotAllocationStrategy, strategyLowestPrice,
			strategyPriceCapacity,
			"capacity-optimized", "capacity-optimized-prioritized", strategyDiversified),
		setting.CheckOneOf("spot_fallback", &c.SpotFallback, fallbackSpot, fallbackOnDemand, fallbackNone),
	)
}

// request returns what RunInstances takes for a Spot Instance: a persistent request that stops its machine, because no
// other kind of Spot Instance can stop and be made an image of. The request ends at a time, in case nobody is there to
// cancel it: an open request launches the next machine whenever its own is gone.
func (c *SpotConfig) request(until time.Time) *types.InstanceMarketOptionsRequest {
	options := &types.SpotMarketOptions{
		ValidUntil:                   aws.Time(until),
		SpotInstanceType:             types.SpotInstanceTypePersistent,
		InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorStop,
	}
	if c.SpotPrice != "" && c.SpotPrice != priceAuto {
		options.MaxPrice = aws.String(c.SpotPrice)
	}
	return &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot, SpotOptions: options}
}
