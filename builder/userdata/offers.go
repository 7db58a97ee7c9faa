// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

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
)

// offer is one way to run the machine: what type, where, and at which price. AWS may have no room for it.
type offer struct {
	instanceType string
	site         site
	spot         bool
}

// String says it in words: "a t3.nano in subnet-1, as a Spot Instance".
func (o offer) String() string {
	words := "a " + o.instanceType
	if o.site.subnet != "" {
		words += " in " + o.site.subnet
	}
	if o.spot {
		words += ", as a Spot Instance"
	}
	return words
}

// offers are all ways to run the machine the template allows, in the order to try them.
func (b *bake) offers(ctx context.Context) []offer {
	if !b.config.spot() {
		return b.everyOffer(false)
	}
	all := b.inOrder(ctx, b.everyOffer(true))
	if b.config.SpotFallback == fallbackOnDemand {
		all = append(all, b.everyOffer(false)...)
	}
	return all
}

func (b *bake) everyOffer(spot bool) []offer {
	sites := b.network.subnets
	if len(sites) == 0 {
		sites = []site{{zone: b.config.AvailabilityZone}}
	}
	var all []offer
	for _, p := range sites {
		for _, t := range b.config.types() {
			all = append(all, offer{instanceType: t, site: p, spot: spot})
		}
	}
	return all
}

// inOrder puts Spot offers in the order of spot_allocation_strategy.
func (b *bake) inOrder(ctx context.Context, offers []offer) []offer {
	if len(offers) < 2 {
		return offers
	}
	switch b.config.SpotAllocationStrategy {
	case strategyDiversified:
		rand.Shuffle(len(offers), func(i, j int) { offers[i], offers[j] = offers[j], offers[i] }) //nolint:gosec // any will do
	case strategyLowestPrice, strategyPriceCapacity:
		prices, err := b.spotPrices(ctx)
		if err != nil {
			b.warn("the prices of Spot Instances cannot be read, so the types are tried in the template's order: %s", err)
			return offers
		}
		slices.SortStableFunc(offers, func(x, y offer) int { return cmp.Compare(prices.of(x), prices.of(y)) })
	}
	return offers
}

// spotPrices are dollars for an hour by type and zone; the zone "" has the lowest of all.
type spotPrices map[[2]string]float64

func (p spotPrices) of(o offer) float64 {
	if price, ok := p[[2]string{o.instanceType, o.site.zone}]; ok {
		return price
	}
	const unheard = 1e9 // a type without a price is not offered in the zone, and is tried last
	return unheard
}

func (b *bake) spotPrices(ctx context.Context) (spotPrices, error) {
	in := &ec2.DescribeSpotPriceHistoryInput{
		// The prices of other operating systems differ, but not the order of the types.
		ProductDescriptions: []string{"Linux/UNIX"},
		StartTime:           aws.Time(time.Now()), // the prices now, and no history
	}
	for _, t := range b.config.types() {
		in.InstanceTypes = append(in.InstanceTypes, types.InstanceType(t))
	}
	prices := spotPrices{}
	for {
		out, err := b.aws.ec2.DescribeSpotPriceHistory(ctx, in)
		if err != nil {
			return nil, err
		}
		for i := range out.SpotPriceHistory {
			prices.note(&out.SpotPriceHistory[i])
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" { // a page may well be empty
			return prices, nil
		}
	}
}

// note takes a price into account.
func (p spotPrices) note(h *types.SpotPrice) {
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

// otherOffers are the offers for another attempt after AWS took a Spot Instance back. What was taken is offered last.
func (b *bake) otherOffers(offers []offer) []offer {
	onDemand := b.config.SpotFallback == fallbackOnDemand
	again := slices.DeleteFunc(slices.Clone(offers), func(o offer) bool { return o.spot == onDemand })
	taken := b.machine.offer
	slices.SortStableFunc(again, func(x, y offer) int { return cmp.Compare(x.like(taken), y.like(taken)) })
	return again
}

// like is how alike two offers are to AWS, whose room is by type and zone: 0 to 2.
func (o offer) like(other offer) int {
	n := 0
	if o.instanceType == other.instanceType {
		n++
		if o.site.zone == other.site.zone {
			n++
		}
	}
	return n
}
