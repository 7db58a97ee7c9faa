// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

// MaxSize bounds user data when it is decompressed, all of its parts together. cloud-init reads it into memory, on a
// machine that may have only 512 MiB.
const MaxSize = 8 << 20

// gzipTypes are the types of parts that cloud-init decompresses (DECOMP_TYPES of cloudinit/user_data.py).
var gzipTypes = []string{
	"application/gzip", "application/gzip-compressed", "application/gzipped", "application/x-compress",
	"application/x-compressed", "application/x-gunzip", "application/x-gzip", "application/x-gzip-compressed",
}

func isGzip(content []byte) bool { return bytes.HasPrefix(content, []byte{0x1f, 0x8b}) }

var errTooLarge = fmt.Errorf("the result is larger than %d bytes", MaxSize)

// gunzip decompresses content. It takes from the bytes that may still be decompressed.
func gunzip(content []byte, left *int64) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(r, *left+1))
	if err == nil && int64(len(plain)) > *left {
		err = errTooLarge
	}
	*left = max(0, *left-int64(len(plain)))
	return plain, err
}

// decodeWhole decodes user data that is base64 as a whole. No other form that cloud-init reads is valid base64.
func decodeWhole(content []byte) []byte {
	const longest = MaxSize / 3 * 4
	if len(content) > longest+longest/8 { // with line ends
		return content
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(content)), ""))
	if err != nil || len(decoded) == 0 {
		return content
	}
	return decoded
}

// errors of a part's transfer encoding
var (
	errBase64   = errors.New("is not base64, as its Content-Transfer-Encoding says")
	errEncoding = errors.New("has a Content-Transfer-Encoding that cloud-init does not know: use base64")
)

// decodeTransfer decodes the body of a part. The encoding is the header as it is: Python knows none with a blank at its
// end. same is true when the body is the content.
func decodeTransfer(body, encoding string) (content []byte, same bool, err error) {
	switch strings.ToLower(encoding) {
	case "", "7bit", "8bit", "binary":
		return []byte(body), true, nil
	case "quoted-printable":
		return decodeQuotedPrintable(body), false, nil
	case "base64":
		text := strings.TrimRight(strings.Join(strings.Fields(body), ""), "=")
		decoded, err := base64.RawStdEncoding.DecodeString(text)
		if err != nil {
			return nil, false, errBase64
		}
		return decoded, false, nil
	}
	return nil, false, errEncoding
}

// decodeQuotedPrintable decodes as Python does (a2b_qp of Modules/binascii.c): what is no escape stays as it is.
func decodeQuotedPrintable(text string) []byte {
	content := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '=' {
			content = append(content, text[i])
			continue
		}
		rest := text[i+1:]
		switch {
		case rest == "":
			return content
		case rest[0] == '\n' || rest[0] == '\r': // to the end of the line
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				return content
			}
			i += 1 + end
		case rest[0] == '=': // a broken case of other encoders
			content = append(content, '=')
			i++
		case len(rest) > 1 && isHex(rest[0]) && isHex(rest[1]):
			content = append(content, unhex(rest[0])<<4|unhex(rest[1]))
			i += 2
		default:
			content = append(content, '=')
		}
	}
	return content
}

func isHex(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

// dos2unix converts the line ends of Windows, when the first line has one (cloudinit/util.py, dos2unix).
func dos2unix(content []byte) []byte {
	at := bytes.IndexByte(content, '\n')
	if at <= 0 || content[at-1] != '\r' {
		return content
	}
	return bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
}

// cleanName is the name of the file that cloud-init writes a part to (cloudinit/util.py, clean_filename).
func cleanName(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '/':
			return '_'
		case c < 0x80 && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'),
			strings.ContainsRune("_-.()", c):
			return c
		}
		return -1
	}, name)
}
