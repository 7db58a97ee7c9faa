// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// reasonSpot begins EC2's codes for a Spot Instance that it took back.
const reasonSpot = "Server.SpotInstance"

// interruptionReason returns why AWS took the machine back, or "" when it did not, whatever else became of the machine.
// One that AWS is about to take back counts as well: what it did last, it may have done while it was being shut down.
func (m *Instance) interruptionReason(ctx context.Context) string {
	switch {
	case !m.option.spot || m.ID == "" || ctx.Err() != nil:
		return ""
	case strings.HasPrefix(aws.ToString(m.reason.Code), reasonSpot):
		return m.describeReason()
	case m.interruption != "":
		return m.interruption
	}
	why, err := m.findInterruption(ctx)
	if err != nil {
		m.bake.Warn("cannot find out whether AWS was about to take %s back: %s", m.ID, err)
	}
	return why
}

// findInterruption asks EC2 why it takes or has taken the machine back; "" when it does not.
func (m *Instance) findInterruption(ctx context.Context) (string, error) {
	out, err := m.api.DescribeSpotInstanceRequests(ctx, m.spotRequests())
	if err != nil {
		return "", err
	}
	for _, r := range out.SpotInstanceRequests {
		if r.Status != nil && m.isOfAttempt(r.Tags) && isInterruption(aws.ToString(r.Status.Code)) {
			return fmt.Sprintf("%s (%s)", aws.ToString(r.Status.Message), aws.ToString(r.Status.Code)), nil
		}
	}
	return "", nil
}

// noticeInterval is how often to look whether AWS is about to take the machine back, of which it gives two minutes'
// notice: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html.
const noticeInterval = 30 * time.Second

// checkInterruption ends the watch of a machine that AWS is about to take back. A call that fails is no error: EC2 is
// asked once more at the end.
func (m *Instance) checkInterruption(ctx context.Context) error {
	if !m.option.spot || time.Since(m.checked) < noticeInterval {
		return nil
	}
	m.checked = time.Now()
	ctx, cancel := awscall.WithCallTimeout(ctx)
	defer cancel()
	if m.interruption, _ = m.findInterruption(ctx); m.interruption != "" {
		return fmt.Errorf("AWS takes instance %s back: %s", m.ID, m.interruption)
	}
	return nil
}

// isInterruption reports whether the status of a spot request is that of a machine AWS takes or has taken back:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html.
func isInterruption(status string) bool {
	switch {
	case strings.HasPrefix(status, "marked-for-"):
		return true
	case strings.HasPrefix(status, "instance-stopped-"), strings.HasPrefix(status, "instance-terminated-"):
		return !strings.HasSuffix(status, "-by-user")
	}
	return false
}

// spotRequests asks for the spot requests of the machine: the one that made it, or all that its attempt may have made,
// when an answer was lost or AWS had no capacity for some.
func (m *Instance) spotRequests() *ec2.DescribeSpotInstanceRequestsInput {
	if m.spotRequest != "" && m.refused == 0 {
		return &ec2.DescribeSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{m.spotRequest}}
	}
	return &ec2.DescribeSpotInstanceRequestsInput{Filters: m.filters()}
}

// cancelSpotRequests cancels the spot requests of the machine.
func (m *Instance) cancelSpotRequests(ctx context.Context) error {
	ids, err := m.findSpotRequests(ctx)
	if err != nil || len(ids) == 0 {
		return err
	}
	notVisibleYet := awscall.NotVisibleYet(m.Launched, awscall.CodeSpotRequestNotFound)
	err = awscall.RetryWhile(ctx, awscall.VisibleTimeout, notVisibleYet, func(ctx context.Context) error {
		_, err := m.api.CancelSpotInstanceRequests(ctx,
			&ec2.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: ids})
		return err
	})
	if awscall.IgnoreNotFound(err, awscall.CodeSpotRequestNotFound) != nil {
		return fmt.Errorf("cancel the spot request %s: %w", strings.Join(ids, ", "), err)
	}
	return nil
}

// findSpotRequests returns the ids of the machine's spot requests. They may tell the machine's own id, when the answer
// to its launch was lost.
func (m *Instance) findSpotRequests(ctx context.Context) ([]string, error) {
	var ids []string
	if m.spotRequest != "" {
		ids = append(ids, m.spotRequest)
	}
	if m.spotRequest == "" || m.refused > 0 {
		out, err := m.api.DescribeSpotInstanceRequests(ctx, m.spotRequests())
		if err != nil {
			return nil, fmt.Errorf("look for the spot requests of bake %s: %w", m.bake.ID, err)
		}
		for _, r := range out.SpotInstanceRequests {
			if !m.isOfAttempt(r.Tags) {
				continue
			}
			ids = append(ids, aws.ToString(r.SpotInstanceRequestId))
			if m.ID == "" {
				m.ID = aws.ToString(r.InstanceId)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
