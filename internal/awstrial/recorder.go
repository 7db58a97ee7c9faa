// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/elazarl/goproxy"
)

// recorder passes calls of AWS APIs on, and records them.
type recorder struct {
	next http.RoundTripper

	mu        sync.Mutex
	exchanges []exchange
}

// RoundTrip implements [http.RoundTripper].
func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	var body []byte
	if isCall(request) {
		var err error
		if body, request.Body, err = peek(request.Body); err != nil {
			return nil, err
		}
	}
	x, isSigned := describeCall(request, body)
	x.At = time.Now().UTC()
	response, err := r.next.RoundTrip(request)
	if err != nil || !isSigned {
		return response, err
	}
	answer, rest, err := peek(response.Body)
	if err != nil {
		return nil, errors.Join(err, rest.Close())
	}
	response.Body = rest
	x.readAnswer(response.StatusCode, response.Header, answer)
	x.Seconds = time.Since(x.At).Seconds()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exchanges = append(r.exchanges, x)
	return response, nil
}

// isCall reports whether the body of a request is parameters, not the bytes of an object.
func isCall(r *http.Request) bool {
	kind := r.Header.Get("Content-Type")
	return strings.HasPrefix(kind, "application/x-www-form-urlencoded") ||
		strings.HasPrefix(kind, "application/x-amz-json")
}

// recorded returns the exchanges so far.
func (r *recorder) recorded() []exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]exchange(nil), r.exchanges...)
}

// recordCalls starts a server on the loopback interface that passes calls on and records them, and returns the
// environment of a program that shall use it. For AWS it is a proxy with a certificate authority of its own, which only
// that program trusts. An endpoint such as the lab's is asked by it in place of the program, but for S3: the machines
// use that address, too.
func recordCalls(ctx context.Context, dir, endpoint string) (*recorder, []string, error) {
	r := &recorder{next: http.DefaultTransport}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("listen for calls: %w", err)
	}
	own := "http://" + listener.Addr().String()
	var handler http.Handler
	var env []string
	if endpoint != "" {
		handler, err = r.forward(endpoint)
		env = []string{"AWS_ENDPOINT_URL_S3=" + endpoint, "AWS_ENDPOINT_URL=" + own}
	} else {
		bundle := filepath.Join(dir, "ca.pem")
		handler, err = r.intercept(bundle)
		env = []string{"HTTPS_PROXY=" + own, "https_proxy=" + own, "AWS_CA_BUNDLE=" + bundle}
	}
	if err != nil {
		return nil, nil, errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }()
	return r, env, nil
}

// forward passes every request on to an endpoint, with the Host that was signed.
func (r *recorder) forward(endpoint string) (http.Handler, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("AWS_ENDPOINT_URL: %w", err)
	}
	return &httputil.ReverseProxy{Transport: r, Rewrite: func(p *httputil.ProxyRequest) {
		host := p.In.Host
		p.SetURL(target)
		p.Out.Host = host
	}}, nil
}

// awsHost matches the hosts of AWS' APIs. What goes to other hosts is not looked at.
var awsHost = regexp.MustCompile(`\.amazonaws\.com(\.cn)?(:443)?$`)

// intercept returns a proxy that decrypts what goes to AWS, and writes its certificate into a file.
func (r *recorder) intercept(bundle string) (http.Handler, error) {
	authority, err := newAuthority(bundle)
	if err != nil {
		return nil, err
	}
	proxy := goproxy.NewProxyHttpServer()
	proxy.KeepHeader, proxy.KeepAcceptEncoding = true, true // they may be signed
	decrypt := &goproxy.ConnectAction{Action: goproxy.ConnectMitm, TLSConfig: goproxy.TLSConfigFromCA(authority)}
	proxy.OnRequest(goproxy.ReqHostMatches(awsHost)).HandleConnectFunc(
		func(host string, _ *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) { return decrypt, host })
	proxy.OnRequest().DoFunc(func(q *http.Request, c *goproxy.ProxyCtx) (*http.Request, *http.Response) {
		c.RoundTripper = goproxy.RoundTripperFunc(func(q *http.Request, _ *goproxy.ProxyCtx) (*http.Response, error) {
			return r.RoundTrip(q)
		})
		return q, nil
	})
	return proxy, nil
}

// newAuthority makes a certificate authority for a day, and writes its certificate into a file. Its key is never on
// disk.
func newAuthority(file string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "make test-aws"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("write the certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key, Leaf: leaf}, nil
}
