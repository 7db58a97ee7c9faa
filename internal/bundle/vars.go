// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/imagesource"
)

// The names in vars.env that have a meaning here. The first two are those of the compile script this came from.
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

// vars collects the lines of vars.env: each name once, where it came first, with the value it got last.
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

// setFiles notes what Read verifies.
func (v *vars) setFiles(b *Bundle, fs File) {
	v.set(varUserDataSHA256, b.UserData.SHA256)
	v.set(varUserDataSize, strconv.FormatInt(b.UserData.Size, 10))
	v.set(varFSSHA256, fs.SHA256)
	v.set(varFSSize, strconv.FormatInt(fs.Size, 10))
	v.set(varFSInline, strconv.FormatBool(b.FSInline))
}

// render makes a file for any POSIX shell to source.
func (v *vars) render() []byte {
	var b bytes.Buffer
	b.WriteString("# Written by packer-plugin-bakery. The " + reservedPrefix + " lines tell whether the bundle is whole.\n")
	for _, name := range v.names {
		b.WriteString(name + "=" + quote(v.values[name]) + "\n")
	}
	return b.Bytes()
}

// quote is shell.Quote without a backslash, which ami.env does not take outside of quotes: what reads that reads
// vars.env too.
func quote(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'"'"'`) + "'"
}
