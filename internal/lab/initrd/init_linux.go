// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package initrd

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	root   = "/sysroot"     // where the disk is mounted until it becomes /
	device = "/dev/nvme0n1" // the disk, as on EC2's current instance types
	system = "/sbin/init"
	nic    = "eth0"
)

// deviceLimit is how long the kernel may take to find the disk. It takes milliseconds, or seconds where it is emulated.
const deviceLimit = 30 * time.Second

// Init must be called first in main, and in TestMain of a test that calls Write. In a virtual machine with Write's
// initrd it does the initrd's work and never returns; elsewhere it does nothing.
func Init() {
	if os.Args[0] != "/"+program {
		return
	}
	c, err := readConfig()
	switch {
	case err != nil:
	case len(os.Args) > 1 && os.Args[1] == agentRole:
		err = runAgent(c)
	case os.Getpid() == 1:
		err = boot(c)
	default:
		return
	}
	// The kernel panics when PID 1 ends, as on EC2 when a machine cannot mount its disk. Both messages are on the
	// console.
	fmt.Fprintln(os.Stderr, "bakery-lab:", err)
	os.Exit(1)
}

func readConfig() (c Config, err error) {
	text, err := os.ReadFile("/" + configFile)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return c, fmt.Errorf("read the initrd's configuration: %w", err)
	}
	return c, nil
}

// boot prepares the machine and becomes the PID 1 of the system on the disk.
func boot(c Config) error {
	if err := unix.Mount("devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	for _, name := range c.Modules {
		if err := loadModule("/modules/" + name); err != nil {
			return err
		}
	}
	if err := configure(nic); err != nil {
		return err
	}
	if err := mountRoot(c); err != nil {
		return err
	}
	if err := startAgent(); err != nil {
		return err
	}
	return switchRoot()
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("load a kernel module: %w", err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
		return fmt.Errorf("load kernel module %s: %w", filepath.Base(path), err)
	}
	return nil
}

// mountRoot mounts the disk, and over it the files of the lab that must not get into an image.
func mountRoot(c Config) error {
	for limit := time.Now().Add(deviceLimit); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(device); err == nil {
			break
		} else if time.Now().After(limit) {
			return fmt.Errorf("mount the disk: %w", err)
		}
	}
	// Without noinit_itable, the kernel fills the inode tables of the sparse file with zeros.
	if err := unix.Mount(device, root, "ext4", 0, "noinit_itable"); err != nil {
		return fmt.Errorf("mount the disk: %w", err)
	}
	// systemd uses a /run that is mounted already, as after any initrd.
	if err := unix.Mount("tmpfs", root+"/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	text := ""
	if c.Internet {
		text = "nameserver " + Resolver + "\n"
	}
	own, resolvConf := root+"/run/bakery-lab.resolv.conf", root+"/etc/resolv.conf"
	if err := os.WriteFile(own, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the name server: %w", err)
	}
	// otherwise the image configures name servers itself
	if info, err := os.Lstat(resolvConf); err == nil && info.Mode().IsRegular() {
		if err := unix.Mount(own, resolvConf, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("lay the name server over the image's: %w", err)
		}
	}
	return nil
}

// startAgent returns when the agent listens.
func startAgent() error {
	ready, readyEnd, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	agent := exec.Command("/"+program, agentRole)
	agent.Stdout, agent.Stderr = os.Stdout, os.Stderr
	agent.ExtraFiles = []*os.File{readyEnd}
	agent.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := agent.Start(); err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	_ = readyEnd.Close()
	if n, _ := ready.Read(make([]byte, 1)); n == 0 { // it has printed the reason
		return fmt.Errorf("start the agent: it ended")
	}
	return nil
}

// switchRoot makes the disk the root directory, and replaces this process by its init.
func switchRoot() error {
	for _, old := range []string{"/" + program, "/modules", "/" + configFile} {
		if err := os.RemoveAll(old); err != nil { // it is in memory
			return fmt.Errorf("clear the initrd: %w", err)
		}
	}
	err := unix.Mount("/dev", root+"/dev", "", unix.MS_MOVE, "")
	if err == nil {
		err = unix.Chdir(root)
	}
	if err == nil {
		err = unix.Mount(".", "/", "", unix.MS_MOVE, "")
	}
	if err == nil {
		err = unix.Chroot(".")
	}
	if err == nil {
		err = unix.Chdir("/")
	}
	if err == nil {
		err = unix.Exec(system, []string{system}, []string{"HOME=/", "TERM=vt220"}) // as the kernel does
	}
	return fmt.Errorf("start %s of the disk: %w", system, err)
}
