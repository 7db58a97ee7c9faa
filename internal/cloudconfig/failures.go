// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// mustBeMapping are the keys whose module raises an exception, or does nothing, when the value is no mapping. Source:
// the handle functions of cloudinit/config/cc_*.py.
var mustBeMapping = []string{
	"ansible", "apk_repos", "apt", "ca-certs", "ca_certs", "chef", "chpasswd", "disk_setup", "fan", "growpart",
	"keyboard", "landscape", "lxd", "mcollective", "ntp", "puppet", "random_seed", "resolv_conf", "rh_subscription",
	"salt_minion", "snap", "spacewalk", "ssh_keys", "swap", "wireguard", "yum_repos", "zypper",
}

// mustBeList are the keys of which the same is true when the value is no list. A text would be taken apart into its
// characters. For packages and ssh_import_id, a text is a list of one.
var mustBeList = []string{"bootcmd", "fs_setup", "mounts", "ssh_authorized_keys", "write_files"}

// mustBeText are the keys whose value cloud-init searches for a dot, which only a text has.
var mustBeText = []string{"fqdn", "hostname"}

// checkFailures reports values with which a module of cloud-init raises an exception, or leaves something out with
// nothing but a line in its log. The schema's other findings may be harmless.
func (p *part) checkFailures(root *yaml.Node) {
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i].Value, root.Content[i+1]
		if isNull(value) || p.reported(value) {
			continue
		}
		switch {
		case isOff(key, value):
		case slices.Contains(mustBeMapping, key) && value.Kind != yaml.MappingNode:
			p.errorAt(value, "%s is %s, but must be a mapping: cloud-init would not apply it", key, describe(value))
		case slices.Contains(mustBeList, key) && value.Kind != yaml.SequenceNode:
			p.errorAt(value, "%s is %s, but must be a list: begin each item with \"- \"", key, describe(value))
		case slices.Contains(mustBeText, key) && (value.Kind != yaml.ScalarNode || typeOf(value) != tagString):
			p.errorAt(value, "%s is %s, but must be a text: quote it", key, describe(value))
		}
	}
	p.checkFiles(root)
	p.checkPackages(root)
	p.eachItem(root, "mounts", func(_ int, item *yaml.Node) {
		if item.Kind != yaml.SequenceNode {
			p.errorAt(item, "a mount is %s, but must be a list such as [/dev/xvdf, /data]: cloud-init would leave it "+
				"out", describe(item))
		}
	})
	p.eachItem(root, "ssh_authorized_keys", func(_ int, item *yaml.Node) {
		if item.Kind != yaml.ScalarNode || typeOf(item) != tagString {
			p.errorAt(item, "an SSH key is %s, but must be a text: quote it", describe(item))
		}
	})
	p.checkAptSources(root)
}

// isOff reports whether a value switches a module off: swap and growpart do nothing when they are no mapping.
func isOff(key string, value *yaml.Node) bool {
	return (key == "swap" || key == "growpart") && value.Kind == yaml.ScalarNode && typeOf(value) == tagBool &&
		!isTrue(value)
}

// eachItem visits the items of a list at the top level that are not empty.
func (p *part) eachItem(root *yaml.Node, key string, visit func(index int, item *yaml.Node)) {
	_, list := entry(root, key)
	if list == nil || list.Kind != yaml.SequenceNode {
		return
	}
	for i, item := range list.Content {
		visit(i, item)
	}
}

// encodings are those of write_files (cloudinit/config/cc_write_files.py, canonicalize_extraction), with whether the
// content is base64 and whether it is gzip.
var encodings = map[string]struct{ base64, gzip bool }{
	"": {}, "text/plain": {}, "b64": {base64: true}, "base64": {base64: true}, "gz": {gzip: true}, "gzip": {gzip: true},
	"gz+base64": {true, true}, "gzip+base64": {true, true}, "gz+b64": {true, true}, "gzip+b64": {true, true},
}

// checkFiles checks what write_files cannot write.
func (p *part) checkFiles(root *yaml.Node) {
	p.eachItem(root, "write_files", func(i int, file *yaml.Node) {
		if file.Kind != yaml.MappingNode {
			p.errorAt(file, "write_files[%d] is %s, but must be a mapping with path and content", i, describe(file))
			return
		}
		_, path := entry(file, "path")
		switch {
		case path == nil || isNull(path) || path.Value == "" && path.Kind == yaml.ScalarNode:
			p.errorAt(file, "write_files[%d] has no path, so cloud-init would leave it out", i)
		case path.Kind != yaml.ScalarNode || typeOf(path) != tagString:
			p.errorAt(path, "write_files[%d].path is %s, but must be a text: quote it", i, describe(path))
		}
		p.checkFileContent(i, file)
	})
}

func (p *part) checkFileContent(i int, file *yaml.Node) {
	_, content := entry(file, "content")
	_, encoding := entry(file, "encoding")
	name := ""
	if encoding != nil && !isNull(encoding) {
		name = strings.ToLower(strings.TrimSpace(encoding.Value))
	}
	form, known := encodings[name]
	switch {
	case !known:
		p.errorAt(encoding, "write_files[%d].encoding %q is not known to cloud-init, which would write the content as "+
			"it is: use b64 or gz+b64, or leave it out", i, shorten(name))
		return
	case content == nil || isNull(content):
		return
	case content.Kind != yaml.ScalarNode || typeOf(content) != tagString && typeOf(content) != tagBinary:
		p.errorAt(content, "write_files[%d].content is %s, but must be a text: quote it", i, describe(content))
		return
	}
	data := []byte(content.Value)
	if typeOf(content) == tagBinary {
		data, _ = decodeBase64(content.Value) // clean has checked it
	}
	if form.base64 {
		decoded, err := decodeBase64(string(data))
		if err != nil {
			p.errorAt(content, "write_files[%d].content is not base64, as its encoding says", i)
			return
		}
		data = decoded
	}
	if form.gzip && !isGzip(data) {
		p.errorAt(content, "write_files[%d].content is not gzip, as its encoding says", i)
	}
}

// decodeBase64 decodes base64 with line breaks and blanks in it. Python skips other characters that are not in the
// alphabet, and so would write something else than was meant.
func decodeBase64(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
}

// isGzip reports whether data can be decompressed. It reads as much as a part may hold, and no more.
func isGzip(data []byte) bool {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, io.LimitReader(r, maxBytes))
	return err == nil
}

// checkPackages reports items that the package module raises an exception for, and then installs none
// (cloudinit/util.py, expand_package_list; cloudinit/distros/__init__.py).
func (p *part) checkPackages(root *yaml.Node) {
	if _, list := entry(root, "packages"); list != nil && list.Kind == yaml.MappingNode {
		p.errorAt(list, "packages is a mapping, but must be a list: begin each item with \"- \"")
	}
	p.eachItem(root, "packages", func(i int, item *yaml.Node) {
		switch {
		case item.Kind == yaml.SequenceNode && (len(item.Content) < 1 || len(item.Content) > 2):
			p.errorAt(item, "packages[%d] is a list of %d, but must be a name and a version", i, len(item.Content))
		case item.Kind == yaml.MappingNode && index(item, "apt") < 0 && index(item, "snap") < 0:
			p.errorAt(item, "packages[%d] is a mapping, but must be a name: is there a colon too many?", i)
		case item.Kind == yaml.ScalarNode && typeOf(item) != tagString:
			p.errorAt(item, "packages[%d] is %s, but must be a text: quote it", i, describe(item))
		}
	})
}

// checkAptSources checks apt.sources, a mapping of names to mappings (cloudinit/config/cc_apt_configure.py).
func (p *part) checkAptSources(root *yaml.Node) {
	_, apt := entry(root, "apt")
	if apt == nil {
		return
	}
	_, sources := entry(apt, "sources")
	if sources == nil || isNull(sources) {
		return
	}
	if sources.Kind != yaml.MappingNode {
		p.errorAt(sources, "apt.sources is %s, but must be a mapping of names to sources", describe(sources))
	}
}
