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

// requireTLS refuses every call to another computer that is not encrypted: user data, and the URLs in it, could be read
// on the way. It checks each call, because the endpoint is only known then.
func requireTLS(stack *middleware.Stack) error {
	return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("BakeryOnlyEncrypted", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if r, ok := in.Request.(*smithyhttp.Request); ok && r.URL.Scheme == "http" && !isLocal(r.URL.Host) {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("call http://%s: this endpoint "+
				"is not "+
				"encrypted: use one with https, or set insecure_skip_tls_verify = true if you trust the network",
				r.URL.Host)
		}
		return next.HandleFinalize(ctx, in)
	}), middleware.After)
}

// metadataIPv6 contains the addresses of the metadata services of EC2 and EKS, which have no TLS:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html.
var metadataIPv6 = netip.MustParsePrefix("fd00:ec2::/32")

// isLocal reports whether a host is this computer, or a link-local service such as the metadata service.
func isLocal(hostPort string) bool {
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
