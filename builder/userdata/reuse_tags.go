// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// tags are what an image says of its inputs, in the fewest tags that have room for it, as an image has 50 and a tag 256
// characters:
//
//	bakery:inputs          the digest of all inputs
//	bakery:inputs-detail   source=ami-0123 user-data=0123456789abcdef fs=none provisioners=0123.4567
//	bakery:inputs-options  ami_users=012345 tags=6789ab
func (in *inputs) tags() map[string]string {
	options := in.optionsText()
	const room = 256
	if len(options) > room {
		options = "all=" + sumOf(options)[:inputDigits]
	}
	return map[string]string{tagInputs: in.digest(), tagInputsDetail: in.detail(), tagInputsOptions: options}
}

// The words of the tag bakery:inputs-detail.
const (
	wordSource       = "source"
	wordUserData     = "user-data"
	wordFS           = "fs"
	wordProvisioners = "provisioners"
	wordNone         = "none"
)

func (in *inputs) detail() string {
	var steps []string
	for _, s := range in.steps {
		steps = append(steps, s.digest[:stepDigits])
	}
	return fmt.Sprintf("%s=%s %s=%s %s=%s %s=%s", wordSource, in.source, wordUserData, short(in.userData), wordFS, short(in.fs),
		wordProvisioners, cmp.Or(strings.Join(steps, "."), wordNone))
}

func (in *inputs) optionsText() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(in.options)) {
		words = append(words, name+"="+in.options[name][:optionDigits])
	}
	return strings.Join(words, " ")
}

// short is the beginning of a digest, or a word for there being none.
func short(digest string) string {
	return cmp.Or(digest[:min(len(digest), inputDigits)], wordNone)
}

// changes says which inputs are others than those an image has recorded.
func (in *inputs) changes(image *types.Image) []string {
	tags := tagMap(image.Tags)
	was, is := words(tags[tagInputsDetail]), words(in.detail())
	var all []string
	if was[wordSource] != is[wordSource] {
		all = append(all, fmt.Sprintf("source_ami (%s -> %s)", cmp.Or(was[wordSource], wordNone), is[wordSource]))
	}
	if was[wordUserData] != is[wordUserData] {
		all = append(all, "the user data")
	}
	if was[wordFS] != is[wordFS] {
		all = append(all, "fs/")
	}
	all = append(all, in.changedSteps(was[wordProvisioners])...)
	return append(all, changedOptions(words(tags[tagInputsOptions]), words(in.tags()[tagInputsOptions]))...)
}

// changedSteps names the steps of the provisioners that are others. Where there are more or fewer of them than there were,
// those after the first that is another one say nothing.
func (in *inputs) changedSteps(recorded string) []string {
	var was []string
	if recorded != wordNone && recorded != "" {
		was = strings.Split(recorded, ".")
	}
	var all []string
	for i, s := range in.steps {
		if i >= len(was) || was[i] != s.digest[:stepDigits] {
			all = append(all, s.name)
			if len(was) != len(in.steps) {
				break
			}
		}
	}
	if len(was) != len(in.steps) {
		all = append(all, fmt.Sprintf("the provisioners (%s -> %d)", counted(len(was), "step"), len(in.steps)))
	}
	return all
}

func changedOptions(was, is map[string]string) []string {
	var all []string
	names := maps.Clone(was)
	maps.Copy(names, is)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		switch {
		case was[name] == is[name]:
		case name == "all":
			return []string{"the options of the image"}
		default:
			all = append(all, name)
		}
	}
	return all
}

// words reads a tag of words with values.
func words(text string) map[string]string {
	all := map[string]string{}
	for word := range strings.FieldsSeq(text) {
		if name, value, ok := strings.Cut(word, "="); ok {
			all[name] = value
		}
	}
	return all
}
