// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"slices"
	"strconv"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// spot reads InstanceMarketOptions.
func (r *reader) spot() cloud.SpotOptions {
	q, prefix := r.q, "InstanceMarketOptions.SpotOptions."
	s := cloud.SpotOptions{
		On:         r.oneOf("InstanceMarketOptions.MarketType", "spot", "capacity-block") == "spot",
		Persistent: r.oneOf(prefix+"SpotInstanceType", "one-time", "persistent") == "persistent",
		Behavior:   r.oneOf(prefix+"InstanceInterruptionBehavior", "hibernate", "stop", "terminate"),
		Until:      q.Has(prefix + "ValidUntil"), Tags: r.tags("spot-instances-request"),
	}
	if s.Behavior == "" {
		s.Behavior = "terminate"
	}
	if price := q.String(prefix + "MaxPrice"); price != "" {
		number, err := strconv.ParseFloat(price, 64)
		if err != nil || number <= 0 {
			return recordError(r, s, error(apierror.Errorf("InvalidParameterValue", "Invalid value '%s' for MaxPrice.",
				price)))
		}
		s.MaxPrice = number
	}
	return s
}

func lifecycleOf(i cloud.Instance) string {
	if i.SpotRequest != "" {
		return "spot"
	}
	return ""
}

type spotXML struct {
	ID         string  `xml:"spotInstanceRequestId"`
	Price      string  `xml:"spotPrice,omitempty"`
	Type       string  `xml:"type"`
	State      string  `xml:"state"`
	Status     string  `xml:"status>code"`
	Updated    string  `xml:"status>updateTime"`
	Message    string  `xml:"status>message"`
	Instance   string  `xml:"launchSpecification>instanceType"`
	InstanceID string  `xml:"instanceId,omitempty"`
	Created    string  `xml:"createTime"`
	Product    string  `xml:"productDescription"`
	Zone       string  `xml:"launchedAvailabilityZone"`
	Behavior   string  `xml:"instanceInterruptionBehavior"`
	Tags       *tagSet `xml:"tagSet"`
}

func spotType(r cloud.SpotRequest) string {
	if r.Options.Persistent {
		return "persistent"
	}
	return "one-time"
}

func describeSpotInstanceRequests(s *Server, r *request) (any, error) {
	all, err := s.Cloud.SpotRequests(r.region, r.query.Strings("SpotInstanceRequestId"))
	if err != nil {
		return nil, err
	}
	all, next, err := filteredPage(r.query, all, spotRequestFields)
	if err != nil {
		return nil, err
	}
	var x struct {
		Items []spotXML `xml:"spotInstanceRequestSet>item"`
		Next  string    `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for _, one := range all {
		item := spotXML{
			ID: one.ID, Type: spotType(one), State: one.State, Status: one.Status, Updated: stamp(one.Updated),
			Message: one.Message, Instance: one.Type,
			InstanceID: one.InstanceID, Created: stamp(one.Created), Product: "Linux/UNIX", Zone: one.Zone,
			Behavior: one.Options.Behavior, Tags: tagged(one.Tags),
		}
		if one.Options.MaxPrice > 0 {
			item.Price = cloud.FormatPrice(one.Options.MaxPrice)
		}
		x.Items = append(x.Items, item)
	}
	return x, nil
}

func spotRequestFields(one cloud.SpotRequest) fields {
	return fields{tags: one.Tags, values: map[string][]string{
		"spot-instance-request-id": {one.ID}, "state": {one.State}, "status-code": {one.Status},
		"instance-id": {one.InstanceID},
		"type":        {spotType(one)}, "launched-availability-zone": {one.Zone}, "launch.instance-type": {one.Type},
		"status-message": {one.Message}, "create-time": {stamp(one.Created)}, "product-description": {"Linux/UNIX"},
	}}
}

func cancelSpotInstanceRequests(s *Server, r *request) (any, error) {
	ids := r.query.Strings("SpotInstanceRequestId")
	if len(ids) == 0 {
		return nil, missing("SpotInstanceRequestId")
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	if err := s.Cloud.CancelSpot(r.region, ids); err != nil {
		return nil, err
	}
	type item struct {
		ID    string `xml:"spotInstanceRequestId"`
		State string `xml:"state"`
	}
	var x struct {
		Items []item `xml:"spotInstanceRequestSet>item"`
	}
	for _, id := range ids {
		x.Items = append(x.Items, item{id, "cancelled"})
	}
	return x, nil
}

// describeSpotPriceHistory returns the current prices, which never change here.
func describeSpotPriceHistory(_ *Server, r *request) (any, error) {
	type item struct {
		Type    string `xml:"instanceType"`
		Product string `xml:"productDescription"`
		Price   string `xml:"spotPrice"`
		Time    string `xml:"timestamp"`
		Zone    string `xml:"availabilityZone"`
	}
	types, err := typesByName(r.query.Strings("InstanceType"))
	if err != nil {
		return nil, err
	}
	var all []item
	wanted, only := r.query.Strings("ProductDescription"), r.query.String("AvailabilityZone")
	for _, t := range types {
		for _, zone := range cloud.Zones(r.region) {
			for _, product := range []string{"Linux/UNIX", "Linux/UNIX (Amazon VPC)"} {
				if (len(wanted) == 0 || slices.Contains(wanted, product)) && (only == "" || only == zone) {
					all = append(all, item{t.Name, product, cloud.FormatPrice(cloud.SpotPrice(t, zone)),
						stamp(time.Now()), zone})
				}
			}
		}
	}
	all, err = filtered(r.query, all, func(i item) fields {
		return fields{values: map[string][]string{
			"instance-type": {i.Type}, "product-description": {i.Product}, "spot-price": {i.Price},
			"availability-zone": {i.Zone}, "timestamp": {i.Time},
		}}
	})
	if err != nil {
		return nil, err
	}
	all, next, err := page(r.query, all)
	return struct {
		Items []item `xml:"spotPriceHistorySet>item"`
		Next  string `xml:"nextToken"`
	}{all, next}, err
}
