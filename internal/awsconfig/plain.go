// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// onlyEncrypted keeps every call that is not encrypted from leaving this computer: user data, and the URLs in it, would be
// there to read on the way. What AWS_ENDPOINT_URL and its like come to is only known when a call is made.
func onlyEncrypted(stack *middleware.Stack) error {
	return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("BakeryOnlyEncrypted", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if r, ok := in.Request.(*smithyhttp.Request); ok && r.URL.Scheme == "http" && !isHere(r.URL.Host) {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("call http://%s: this endpoint is not encrypted: use one "+
				"of https, or set insecure_skip_tls_verify = true where the network on the way is trusted", r.URL.Host)
		}
		return next.HandleFinalize(ctx, in)
	}), middleware.After)
}

// metadataIPv6 is where the metadata services of EC2 and EKS are, which know no TLS:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html.
var metadataIPv6 = netip.MustParsePrefix("fd00:ec2::/32")

// isHere reports whether a host is this computer, or a link-local service of the machine it is.
func isHere(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = strings.Trim(hostPort, "[]")
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsLoopback() || ip.IsLinkLocalUnicast() || metadataIPv6.Contains(ip))
}
