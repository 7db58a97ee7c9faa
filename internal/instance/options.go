// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/network"
)

// launchOption is one way to launch the machine: as which type, in which subnet, and whether as a Spot Instance. AWS
// may have no capacity for it.
type launchOption struct {
	instanceType string
	subnet       network.Subnet
	spot         bool
}

// String returns the option in words: "a t3.nano in subnet-1, as a Spot Instance".
func (o launchOption) String() string {
	words := "a " + o.instanceType
	if o.subnet.ID != "" {
		words += " in " + o.subnet.ID
	}
	if o.spot {
		words += ", as a Spot Instance"
	}
	return words
}

// options returns all ways to launch the machine that the template allows, in the order to try them.
func (l *Launcher) options(ctx context.Context, subnets []network.Subnet) []launchOption {
	if !l.Settings.Spot.IsSpot() {
		return l.allOptions(subnets, false)
	}
	all := l.sortByStrategy(ctx, l.allOptions(subnets, true))
	if l.Settings.Spot.SpotFallback == fallbackOnDemand {
		all = append(all, l.allOptions(subnets, false)...)
	}
	return all
}

func (l *Launcher) allOptions(subnets []network.Subnet, spot bool) []launchOption {
	if len(subnets) == 0 {
		subnets = []network.Subnet{{Zone: l.Zone}}
	}
	var all []launchOption
	for _, subnet := range subnets {
		for _, t := range l.Settings.Types() {
			all = append(all, launchOption{instanceType: t, subnet: subnet, spot: spot})
		}
	}
	return all
}

// sortByStrategy puts options of Spot Instances in the order of spot_allocation_strategy.
func (l *Launcher) sortByStrategy(ctx context.Context, options []launchOption) []launchOption {
	if len(options) < 2 {
		return options
	}
	switch l.Settings.Spot.SpotAllocationStrategy {
	case strategyDiversified:
		rand.Shuffle(len(options), func(i, j int) { //nolint:gosec // any order will do
			options[i], options[j] = options[j], options[i]
		})
	case strategyLowestPrice, strategyPriceCapacity:
		prices, err := readSpotPrices(ctx, l.EC2, l.Settings.Types())
		if err != nil {
			l.Bake.Warn("the prices of Spot Instances cannot be read, so the types are tried in the template's "+
				"order: %s", err)
			return options
		}
		slices.SortStableFunc(options, func(x, y launchOption) int { return cmp.Compare(prices.of(x), prices.of(y)) })
	}
	return options
}

// spotPrices are dollars for an hour by type and zone; the zone "" has the lowest of all.
type spotPrices map[[2]string]float64

func (p spotPrices) of(o launchOption) float64 {
	if price, ok := p[[2]string{o.instanceType, o.subnet.Zone}]; ok {
		return price
	}
	const noPrice = 1e9 // the type is not sold in the zone, and is tried last
	return noPrice
}

func readSpotPrices(ctx context.Context, api *awscall.EC2, instanceTypes []string) (spotPrices, error) {
	in := &ec2.DescribeSpotPriceHistoryInput{
		// The prices of other operating systems differ, but not the order of the types.
		ProductDescriptions: []string{"Linux/UNIX"},
		StartTime:           aws.Time(time.Now()), // the prices now, and no history
	}
	for _, t := range instanceTypes {
		in.InstanceTypes = append(in.InstanceTypes, types.InstanceType(t))
	}
	prices := spotPrices{}
	for {
		out, err := api.DescribeSpotPriceHistory(ctx, in)
		if err != nil {
			return nil, err
		}
		for i := range out.SpotPriceHistory {
			prices.add(&out.SpotPriceHistory[i])
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" { // a page may be empty and not the last
			return prices, nil
		}
	}
}

func (p spotPrices) add(h *types.SpotPrice) {
	price, err := strconv.ParseFloat(aws.ToString(h.SpotPrice), 64)
	if err != nil {
		return
	}
	for _, zone := range []string{"", aws.ToString(h.AvailabilityZone)} {
		key := [2]string{string(h.InstanceType), zone}
		if known, ok := p[key]; !ok || price < known {
			p[key] = price
		}
	}
}

// optionsAfter returns the options for another attempt after AWS took a Spot Instance back, what is most like it last.
func (l *Launcher) optionsAfter(interrupted launchOption, options []launchOption) []launchOption {
	onDemand := l.Settings.Spot.SpotFallback == fallbackOnDemand
	others := slices.DeleteFunc(slices.Clone(options), func(o launchOption) bool { return o.spot == onDemand })
	slices.SortStableFunc(others, func(x, y launchOption) int {
		return cmp.Compare(x.similarity(interrupted), y.similarity(interrupted))
	})
	return others
}

// similarity returns how much two options have in common for AWS, whose capacity is by type and zone: 0 to 2.
func (o launchOption) similarity(other launchOption) int {
	n := 0
	if o.instanceType == other.instanceType {
		n++
		if o.subnet.Zone == other.subnet.Zone {
			n++
		}
	}
	return n
}
