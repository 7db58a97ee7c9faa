// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

func (a *Account) actOnSpot(q query) (answer string, failure *Failure, known bool) {
	switch q.action {
	case "DescribeSpotPriceHistory":
		answer = a.describeSpotPrices(q)
	case "DescribeSpotInstanceRequests":
		var items []string
		for id, status := range a.SpotRequests {
			items = append(items, value("spotInstanceRequestId", id)+element("status", value("code", status)))
		}
		answer = list("spotInstanceRequestSet", items...)
	case "CancelSpotInstanceRequests":
		delete(a.SpotRequests, q.get("SpotInstanceRequestId.1"))
		answer = list("spotInstanceRequestSet")
	default:
		return "", nil, false
	}
	return answer, nil, true
}

func (a *Account) describeSpotPrices(q query) string {
	if a.SpotPricesPaged && q.get("NextToken") == "" {
		return list("spotPriceHistorySet") + value("nextToken", "2")
	}
	var items []string
	for name, price := range a.SpotPrices {
		items = append(items,
			value("instanceType", name)+value("spotPrice", price)+value("availabilityZone", Region+"a"))
	}
	return list("spotPriceHistorySet", items...)
}
