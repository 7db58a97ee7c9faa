// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// paging is how an action pages its list.
type paging struct {
	least, most int64  // of MaxResults
	clamps      bool   // a larger MaxResults is taken for the most
	ids         string // the parameter with ids, with which MaxResults cannot be used; "": it can
	idSet       string // its name in EC2's message
}

// pagings are the limits that the documentation of MaxResults has. Those of other actions are in EC2's model.
var pagings = map[string]paging{
	"DescribeImages":                       {1, 1000, true, "ImageId", "imagesSet"},
	"DescribeInstanceCreditSpecifications": {5, 1000, false, "InstanceId", "instancesSet"},
	"DescribeInstanceStatus":               {5, 1000, false, "InstanceId", "instancesSet"},
	"DescribeInstances":                    {5, 1000, false, "InstanceId", "instancesSet"},
	"DescribeNetworkInterfaces":            {5, 1000, false, "NetworkInterfaceId", "networkInterfaceIdSet"},
	"DescribeSnapshots":                    {5, 1000, true, "SnapshotId", "snapshotSet"},
	"DescribeSpotInstanceRequests":         {5, 1000, false, "", ""},
	"DescribeSpotPriceHistory":             {1, 1000, false, "", ""},
	"DescribeTags":                         {5, 1000, false, "", ""},
	"DescribeVolumes":                      {5, 500, true, "VolumeId", "volumeSet"},
}

// defaultPages are how many items actions return without MaxResults, where that is not all.
var defaultPages = map[string]int64{"DescribeInstanceTypes": 100}

// checkPage returns EC2's error for a wrong MaxResults.
func checkPage(action string, q *Query) error {
	p, ok := pagings[action]
	if !ok || !q.Has("MaxResults") {
		return nil
	}
	size, err := q.Int("MaxResults", 0)
	switch {
	case err != nil:
		return err
	case p.ids != "" && len(q.List(p.ids)) > 0:
		return apierror.Errorf("InvalidParameterCombination",
			"The parameter %s cannot be used with the parameter maxResults", p.idSet)
	case size < p.least:
		return tooSmall("MaxResults", q.String("MaxResults"), p.least)
	case size > p.most && !p.clamps:
		return tooLarge("MaxResults", q.String("MaxResults"), p.most)
	}
	return nil
}

// page returns the page of a list that MaxResults and NextToken ask for, and the token of the next page.
func page[T any](q *Query, all []T) ([]T, string, error) {
	size, err := q.Int("MaxResults", 0)
	if err != nil {
		return nil, "", err
	}
	if most := pagings[q.String("Action")].most; most > 0 {
		size = min(size, most)
	}
	if size == 0 {
		size = defaultPages[q.String("Action")]
	}
	start, err := offset(q.String("NextToken"))
	if err != nil {
		return nil, "", err
	}
	all = all[min(start, len(all)):]
	if size <= 0 || int64(len(all)) <= size {
		return all, "", nil
	}
	return all[:size], base64.StdEncoding.EncodeToString([]byte("next:" + strconv.Itoa(start+int(size)))), nil
}

func offset(token string) (int, error) {
	if token == "" {
		return 0, nil
	}
	b, err := base64.StdEncoding.DecodeString(token)
	n, ok := strings.CutPrefix(string(b), "next:")
	at, bad := strconv.Atoi(n)
	if err != nil || !ok || bad != nil || at < 0 {
		return 0, apierror.Errorf("InvalidNextToken", "The token '%s' is invalid", token)
	}
	return at, nil
}
