// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

//go:embed program/verify_include.sh
var verifyIncludeSource []byte

// Included is user data that the machine is to fetch.
type Included struct {
	URL    string
	SHA256 string // of what is fetched, hex
	BakeID string
	// StayOn keeps a machine that refuses what it has fetched powered on. It is for bakes where a stopped machine
	// counts as a success.
	StayOn bool
}

// Include returns user data that makes cloud-init download the real user data, and that verifies the download before
// anything of it runs: cloud-init itself accepts whatever is at the URL. It is included once, because at a second boot
// the URL may have expired, and a failing include loses the whole user data (cloudinit/user_data.py, _do_include).
func Include(in Included) ([]byte, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	stay := ""
	if in.StayOn {
		stay = "1"
	}
	var known strings.Builder
	for _, line := range []string{
		shell.Assign("want", in.SHA256), shell.Assign("id", in.BakeID), shell.Assign("stay", stay),
	} {
		known.WriteString(line + "\n")
	}
	head, program, _ := strings.Cut(string(strip(verifyIncludeSource)), "\n")
	return Compress(joinParts([]mimePart{
		{typeBoothook, "bakery-verify-include.sh", []byte(head + "\n" + known.String() + program)},
		{"text/x-include-once-url", "bakery-user-data.txt", []byte("#include-once\n" + in.URL + "\n")},
	})), nil
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (in *Included) check() error {
	var problems []error
	if in.URL == "" || !isEscapedURL(in.URL) {
		problems = append(problems, errors.New("the URL of the user data is not escaped"))
	}
	if !sha256Hex.MatchString(in.SHA256) {
		problems = append(problems, fmt.Errorf("the checksum %q of the user data is not a sha256", in.SHA256))
	}
	if !IsBakeID(in.BakeID) {
		problems = append(problems, errBakeID("bake id", in.BakeID))
	}
	return errors.Join(problems...)
}
