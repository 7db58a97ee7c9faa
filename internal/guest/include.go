// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

//go:embed program/pin.sh
var pinSource []byte

// Included is user data that the machine is to fetch.
type Included struct {
	URL    string
	SHA256 string // of what is fetched, hex
	BakeID string
	// StayOn keeps a machine that refuses what it has fetched from powering off, where that would be taken for success.
	StayOn bool
}

// Include returns user data that lets cloud-init fetch the real one, and has the machine look at it before anything of it
// is run: cloud-init itself takes whatever is there. Once, because at a second boot the URL may have expired, and a failing
// include loses the whole user data (cloudinit/user_data.py, _do_include).
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
	head, program, _ := strings.Cut(string(strip(pinSource)), "\n")
	return Compress(joinParts([]mimePart{
		{typeBoothook, "bakery-pin.sh", []byte(head + "\n" + known.String() + program)},
		{"text/x-include-once-url", "bakery-user-data.txt", []byte("#include-once\n" + in.URL + "\n")},
	})), nil
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (in *Included) check() error {
	var problems []error
	if _, err := url.Parse(in.URL); err != nil || !isText([]byte(in.URL)) || in.URL == "" || strings.ContainsAny(in.URL, "\"\\ \n\t") {
		problems = append(problems, errors.New("the URL of the user data is not escaped"))
	}
	if !sha256Hex.MatchString(in.SHA256) {
		problems = append(problems, fmt.Errorf("%q is no sha256 of the user data", in.SHA256))
	}
	if !isBakeID(in.BakeID) {
		problems = append(problems, fmt.Errorf("bake id %q is not made of 1 to 32 digits and small letters", in.BakeID))
	}
	return errors.Join(problems...)
}
