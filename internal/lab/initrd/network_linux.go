// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package initrd

import (
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// configure sets an interface's address and the default route.
func configure(name string) error {
	var err error
	for limit := time.Now().Add(deviceLimit); ; time.Sleep(time.Millisecond) {
		if err = bringUp(name, netip.MustParseAddr(Address), netip.MustParsePrefix(Network).Bits()); err == nil {
			break
		}
		if time.Now().After(limit) {
			return err
		}
	}
	return defaultRoute(netip.MustParseAddr(Gateway))
}

// bringUp sets an interface's address and brings it up.
func bringUp(name string, address netip.Addr, bits int) error {
	mask := netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), bits).Masked().Addr()
	return withSocket(func(socket int) error {
		for _, set := range []struct {
			request uint
			value   netip.Addr
		}{{unix.SIOCSIFADDR, address}, {unix.SIOCSIFNETMASK, mask}} {
			r, err := unix.NewIfreq(name)
			if err == nil {
				err = r.SetInet4Addr(set.value.AsSlice())
			}
			if err == nil {
				err = unix.IoctlIfreq(socket, set.request, r)
			}
			if err != nil {
				return fmt.Errorf("configure interface %s: %w", name, err)
			}
		}
		r, err := unix.NewIfreq(name)
		if err == nil {
			r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
			err = unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, r)
		}
		if err != nil {
			return fmt.Errorf("bring interface %s up: %w", name, err)
		}
		return nil
	})
}

// route is struct rtentry of linux/route.h.
type route struct {
	_                          uintptr
	destination, gateway, mask unix.RawSockaddrInet4
	flags                      uint16
	_                          int16
	_, _                       uintptr
	_                          int16
	device                     uintptr
	_, _                       uintptr
	_                          uint16
}

func defaultRoute(gateway netip.Addr) error {
	any4 := unix.RawSockaddrInet4{Family: unix.AF_INET}
	r := route{destination: any4, gateway: any4, mask: any4, flags: unix.RTF_UP | unix.RTF_GATEWAY}
	r.gateway.Addr = gateway.As4()
	return withSocket(func(socket int) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCADDRT,
			uintptr(unsafe.Pointer(&r))) //nolint:gosec // no x/sys
		if errno != 0 {
			return fmt.Errorf("set the default route: %w", errno)
		}
		return nil
	})
}

func withSocket(do func(socket int) error) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("configure the network: %w", err)
	}
	defer unix.Close(socket)
	return do(socket)
}
