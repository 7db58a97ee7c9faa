// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// attributesHeader lists what GetObjectAttributes is to return.
const attributesHeader = "X-Amz-Object-Attributes"

// objectAttributes are what the header can list
// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html).
var objectAttributes = []string{"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}

type attributesXML struct {
	XMLName      xml.Name     `xml:"http://s3.amazonaws.com/doc/2006-03-01/ GetObjectAttributesResponse"`
	ETag         string       `xml:",omitempty"` // without quotes, here alone
	Checksum     *checksumXML `xml:",omitempty"`
	Parts        *partsXML    `xml:"ObjectParts,omitempty"`
	StorageClass string       `xml:",omitempty"`
	Size         *int64       `xml:"ObjectSize,omitempty"`
}

type checksumXML struct {
	CRC32  string `xml:"ChecksumCRC32,omitempty"`
	CRC32C string `xml:"ChecksumCRC32C,omitempty"`
	SHA1   string `xml:"ChecksumSHA1,omitempty"`
	SHA256 string `xml:"ChecksumSHA256,omitempty"`
}

type partsXML struct {
	Total int `xml:"PartsCount"`
}

// getAttributes is GetObjectAttributes.
func (s *Server) getAttributes(w http.ResponseWriter, r *http.Request, o operation) error {
	wanted, err := wantedAttributes(r.Header.Values(attributesHeader))
	if err != nil {
		return err
	}
	found, err := s.backend.object(o.bucket, o.key)
	if err != nil {
		return apierror.New("NoSuchKey", "The specified key does not exist.")
	}
	var x attributesXML
	for _, name := range wanted {
		switch name {
		case "ETag":
			x.ETag = strings.Trim(found.etag(), "\"")
		case "Checksum":
			x.Checksum = checksumOf(found)
		case "ObjectParts":
			if found.parts > 0 {
				x.Parts = &partsXML{found.parts}
			}
		case "StorageClass":
			x.StorageClass = "STANDARD"
		case "ObjectSize":
			x.Size = &found.size
		}
	}
	w.Header().Set("Last-Modified", found.modified.UTC().Format(http.TimeFormat))
	return writeXML(w, x)
}

// wantedAttributes returns the attributes that a request lists, in one header or in several.
func wantedAttributes(headers []string) ([]string, error) {
	var wanted []string
	for _, header := range headers {
		for name := range strings.SplitSeq(header, ",") {
			if name = strings.TrimSpace(name); !slices.Contains(objectAttributes, name) {
				return nil, apierror.New("InvalidArgument", "Invalid attribute name specified.")
			}
			wanted = append(wanted, name)
		}
	}
	if len(wanted) == 0 {
		return nil, apierror.New("InvalidRequest",
			"The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty")
	}
	return wanted, nil
}

// checksumOf returns the checksum that an object was uploaded with; nil without one.
func checksumOf(o *object) *checksumXML {
	x := checksumXML{
		CRC32: o.metadata["X-Amz-Checksum-Crc32"], CRC32C: o.metadata["X-Amz-Checksum-Crc32c"],
		SHA1: o.metadata["X-Amz-Checksum-Sha1"], SHA256: o.metadata["X-Amz-Checksum-Sha256"],
	}
	if x == (checksumXML{}) {
		return nil
	}
	return &x
}
