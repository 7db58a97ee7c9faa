// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package reuse

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// Tags returns the tags in which an image records its inputs. They are as few as have room for them: an image has 50
// tags, and a tag 256 characters.
//
//	bakery:inputs          the digest of all inputs
//	bakery:inputs-detail   source=ami-0123 user-data=0123456789abcdef fs=none provisioners=0123.4567
//	bakery:inputs-options  ami_users=012345 tags=6789ab
func (in *Inputs) Tags() map[string]string {
	options := in.optionsText()
	const room = 256
	if len(options) > room {
		options = "all=" + SHA256(options)[:inputDigits]
	}
	return map[string]string{
		bake.TagInputs: in.Digest(), bake.TagInputsDetail: in.Detail(), bake.TagInputsOptions: options,
	}
}

// The words of the tag bakery:inputs-detail.
const (
	wordSource       = "source"
	wordUserData     = "user-data"
	wordFS           = "fs"
	wordProvisioners = "provisioners"
	wordNone         = "none"
)

// Detail returns the inputs except the options, as in bakery:inputs-detail.
func (in *Inputs) Detail() string {
	var steps []string
	for _, s := range in.Steps {
		steps = append(steps, s.Digest[:stepDigits])
	}
	return fmt.Sprintf("%s=%s %s=%s %s=%s %s=%s", wordSource, in.Source, wordUserData, short(in.UserData),
		wordFS, short(in.FS), wordProvisioners, cmp.Or(strings.Join(steps, "."), wordNone))
}

func (in *Inputs) optionsText() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(in.Options)) {
		words = append(words, name+"="+in.Options[name][:optionDigits])
	}
	return strings.Join(words, " ")
}

// short returns the beginning of a digest, or "none".
func short(digest string) string {
	return cmp.Or(digest[:min(len(digest), inputDigits)], wordNone)
}

// Changes returns, in words, which inputs differ from those that an image has recorded.
func (in *Inputs) Changes(image *types.Image) []string {
	tags := awscall.TagMap(image.Tags)
	was, is := readWords(tags[bake.TagInputsDetail]), readWords(in.Detail())
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
	wasOptions, isOptions := tags[bake.TagInputsOptions], in.Tags()[bake.TagInputsOptions]
	return append(all, changedOptions(readWords(wasOptions), readWords(isOptions))...)
}

// changedSteps returns the names of the steps of the provisioners that differ. When the number of steps differs, only
// the first such step is named: those after it may only have moved.
func (in *Inputs) changedSteps(recorded string) []string {
	var was []string
	if recorded != wordNone && recorded != "" {
		was = strings.Split(recorded, ".")
	}
	var all []string
	for i, s := range in.Steps {
		if i >= len(was) || was[i] != s.Digest[:stepDigits] {
			all = append(all, s.Name)
			if len(was) != len(in.Steps) {
				break
			}
		}
	}
	if len(was) != len(in.Steps) {
		all = append(all, fmt.Sprintf("the provisioners (%s -> %d)", bake.Count(len(was), "step"), len(in.Steps)))
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

// readWords reads the tag's words of the form name=value.
func readWords(text string) map[string]string {
	all := map[string]string{}
	for word := range strings.FieldsSeq(text) {
		if name, value, ok := strings.Cut(word, "="); ok {
			all[name] = value
		}
	}
	return all
}
