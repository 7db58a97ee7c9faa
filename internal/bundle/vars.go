// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/imagesource"
)

// The names in vars.env that this package uses. The first two are those of the original compile script.
const (
	varRegion = "AWSREGION"
	varS3URL  = "FSS3URL"

	reservedPrefix    = "BAKERY_"
	varUserDataSHA256 = "BAKERY_USERDATA_SHA256"
	varUserDataSize   = "BAKERY_USERDATA_SIZE"
	varFSSHA256       = "BAKERY_FS_SHA256"
	varFSSize         = "BAKERY_FS_SIZE"
	varFSInline       = "BAKERY_FS_INLINE"
)

func reserved(name string) bool { return strings.HasPrefix(name, reservedPrefix) }

// vars collects the lines of vars.env. A name that is set again stays in its first place and gets the new value.
type vars struct {
	names  []string
	values map[string]string
}

func (v *vars) set(name, value string) {
	if v.values == nil {
		v.values = map[string]string{}
	}
	if _, known := v.values[name]; !known {
		v.names = append(v.names, name)
	}
	v.values[name] = value
}

func (v *vars) setAll(env imagesource.Env) {
	for _, name := range env.Names {
		v.set(name, env.Vars[name])
	}
}

// setFiles sets the sizes and checksums that Read verifies.
func (v *vars) setFiles(b *Bundle, fs File) {
	v.set(varUserDataSHA256, b.UserData.SHA256)
	v.set(varUserDataSize, strconv.FormatInt(b.UserData.Size, 10))
	v.set(varFSSHA256, fs.SHA256)
	v.set(varFSSize, strconv.FormatInt(fs.Size, 10))
	v.set(varFSInline, strconv.FormatBool(b.FSInline))
}

// checkSize refuses a file that Read would refuse.
func (v *vars) checkSize() error {
	if size := len(v.render()); size > imagesource.MaxEnv {
		return fmt.Errorf("write the variables: ami.env and what %s printed are %d bytes together, and may have %d: "+
			"put large values into files of fs/", compilePath, size, imagesource.MaxEnv)
	}
	return nil
}

// render returns a file that any POSIX shell can source.
func (v *vars) render() []byte {
	var b bytes.Buffer
	b.WriteString("# Written by packer-plugin-bakery. The " + reservedPrefix +
		" lines verify that the bundle is complete.\n")
	for _, name := range v.names {
		b.WriteString(name + "=" + quote(v.values[name]) + "\n")
	}
	return b.Bytes()
}

// quote is like shell.Quote but without a backslash outside of quotes: the parser of ami.env, which also reads
// vars.env, refuses it.
func quote(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'"'"'`) + "'"
}
