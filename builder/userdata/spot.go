// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// market is what RunInstances takes for a Spot Instance: a persistent request that stops its machine, because no other
// kind of Spot Instance can stop and be made an image of. It ends at a time, in case nobody is there to cancel it: one that
// is open launches the next machine whenever its own is gone.
func (c *SpotConfig) market(until time.Time) *types.InstanceMarketOptionsRequest {
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

// reasonSpot begins EC2's codes for a Spot Instance that it took back.
const reasonSpot = "Server.SpotInstance"

// takenBack says why AWS took the machine of this attempt back, or "" when it did not, whatever else became of it. A
// machine that is about to be taken counts as well: what it did last, it may have done while it was being shut down.
func (b *bake) takenBack(ctx context.Context) string {
	m := b.machine
	switch {
	case !m.offer.spot || m.id == "" || ctx.Err() != nil:
		return ""
	case strings.HasPrefix(aws.ToString(m.reason.Code), reasonSpot):
		return m.why()
	case m.taken != "":
		return m.taken
	}
	why, err := b.interruption(ctx, m)
	if err != nil {
		b.warn("it cannot be told whether AWS was about to take %s back: %s", m.id, err)
	}
	return why
}

// interruption says why AWS takes or has taken a machine back, or "".
func (b *bake) interruption(ctx context.Context, m *machine) (string, error) {
	out, err := b.aws.ec2.DescribeSpotInstanceRequests(ctx, b.requestsOf(m))
	if err != nil {
		return "", err
	}
	for _, r := range out.SpotInstanceRequests {
		if r.Status != nil && interrupted(aws.ToString(r.Status.Code)) {
			return fmt.Sprintf("%s (%s)", aws.ToString(r.Status.Message), aws.ToString(r.Status.Code)), nil
		}
	}
	return "", nil
}

// noticeInterval is how often to look whether AWS is about to take the machine back, of which it gives two minutes' notice:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html.
const noticeInterval = 30 * time.Second

// heedNotice ends the watch of a machine that AWS is about to take back. That it cannot be told is no error: it is asked
// once more at the end.
func (b *bake) heedNotice(ctx context.Context) error {
	m := b.machine
	if !m.offer.spot || time.Since(m.asked) < noticeInterval {
		return nil
	}
	m.asked = time.Now()
	ctx, cancel := glance(ctx)
	defer cancel()
	if m.taken, _ = b.interruption(ctx, m); m.taken != "" {
		return fmt.Errorf("AWS takes instance %s back: %s", m.id, m.taken)
	}
	return nil
}

// interrupted tells whether the status of a spot request is that of a machine AWS takes or has taken back:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html.
func interrupted(status string) bool {
	switch {
	case strings.HasPrefix(status, "marked-for-"):
		return true
	case strings.HasPrefix(status, "instance-stopped-"), strings.HasPrefix(status, "instance-terminated-"):
		return !strings.HasSuffix(status, "-by-user")
	}
	return false
}

// requestsOf asks for the spot requests of a machine: the one that made it, or all that its attempt may have made when
// an answer was lost, or AWS had no room for some.
func (b *bake) requestsOf(m *machine) *ec2.DescribeSpotInstanceRequestsInput {
	if m.request != "" && m.refused == 0 {
		return &ec2.DescribeSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{m.request}}
	}
	return &ec2.DescribeSpotInstanceRequestsInput{Filters: b.byTags(m)}
}

// cancelRequests cancels the spot requests of a machine.
func (b *bake) cancelRequests(ctx context.Context, m *machine) error {
	var ids []string
	if m.request != "" {
		ids = append(ids, m.request)
	}
	if m.request == "" || m.refused > 0 {
		out, err := b.aws.ec2.DescribeSpotInstanceRequests(ctx, b.requestsOf(m))
		if err != nil {
			return fmt.Errorf("look for the spot requests of bake %s: %w", b.id, err)
		}
		for _, r := range out.SpotInstanceRequests {
			ids = append(ids, aws.ToString(r.SpotInstanceRequestId))
			if m.id == "" {
				m.id = aws.ToString(r.InstanceId)
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	err := retryWhile(ctx, visibleTimeout, notYet(m.launched, codeRequestNotFound), func(ctx context.Context) error {
		_, err := b.aws.ec2.CancelSpotInstanceRequests(ctx, &ec2.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: ids})
		return err
	})
	if orGone(err, codeRequestNotFound) != nil {
		return fmt.Errorf("cancel the spot request %s: %w", strings.Join(ids, ", "), err)
	}
	return nil
}

// noRoom tells whether AWS refused an offer in a way that another type, place or price would not be:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html.
func noRoom(err error) bool {
	return hasCode(err, "InsufficientInstanceCapacity", "InsufficientCapacity", "InsufficientHostCapacity",
		"SpotMaxPriceTooLow", "MaxSpotInstanceCountExceeded", "VcpuLimitExceeded", "InstanceLimitExceeded",
		"InsufficientFreeAddressesInSubnet", "Unsupported")
}

// impatient does not try again what another offer may succeed with: to the SDK, AWS having no room is a fault of AWS's
// that may pass.
type impatient struct{ aws.Retryer }

func (r impatient) IsErrorRetryable(err error) bool {
	return !noRoom(err) && r.Retryer.IsErrorRetryable(err)
}
