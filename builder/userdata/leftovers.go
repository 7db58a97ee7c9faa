// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// tellWhatIsLeft names what still exists, with the commands that remove it, and how to look at a machine that was kept: after
// -on-error=abort, or when cleaning up has failed or was cut short.
func (b *bake) tellWhatIsLeft() {
	left := b.ledger.list()
	if len(left) == 0 {
		return
	}
	b.say("Not removed:")
	for _, what := range left {
		b.say("    %s", what)
	}
	if commands := b.ledger.commands(); len(commands) > 0 {
		b.say("These commands remove it, in this order:")
		for _, command := range commands {
			b.say("    %s", command)
		}
	}
	id := b.machine.id
	if id == "" {
		return
	}
	b.say("The machine's log: %s", b.cli(b.aws.config.Region, "ec2 get-console-output --latest --output text --instance-id %s", id))
	b.say("The sweep of a later bake removes it all once it has expired, after %s. To keep the machine longer: %s",
		b.expiry().Add(sweepMargin).Format(time.RFC3339),
		b.cli(b.aws.config.Region, "ec2 delete-tags --tags Key=%s --resources %s", tagExpires, strings.Join(b.machine.taggedIDs(), " ")))
}

// cli is a command of the AWS CLI for the account of this bake. Words that are not of its own making are quoted.
func (b *bake) cli(region, format string, args ...any) string {
	command := "aws " + fmt.Sprintf(format, args...) + " --region " + word(region)
	if p := b.config.Profile; p != "" {
		command += " --profile " + word(p)
	}
	return command
}

// plainWord needs no quotes in any shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@-]+$`)

// word is a word of a command, quoted if it has to be.
func word(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return shell.Quote(text)
}

// taggedIDs are the machine and its disks.
func (m *machine) taggedIDs() []string {
	ids := []string{m.id}
	for _, id := range m.volumes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// endMachine are the commands for a machine and what goes with it.
func (b *bake) endMachine(m *machine) []string {
	region := b.aws.config.Region
	var all []string
	switch {
	case m.request != "":
		all = append(all, b.cli(region, "ec2 cancel-spot-instance-requests --spot-instance-request-ids %s", m.request))
	case m.offer.spot:
		all = append(all, b.cli(region, "ec2 describe-spot-instance-requests --filters Name=tag:%s,Values=%s", tagBake, b.id))
	}
	if m.id == "" {
		return append(all, b.cli(region, "ec2 describe-instances --filters Name=tag:%s,Values=%s", tagBake, b.id))
	}
	all = append(all, b.cli(region, "ec2 terminate-instances --instance-ids %s", m.id),
		b.cli(region, "ec2 wait instance-terminated --instance-ids %s", m.id))
	for _, id := range b.outliving(m) {
		all = append(all, b.cli(region, "ec2 delete-volume --volume-id %s", id))
	}
	return all
}

func (b *bake) endGroup(name string) []string {
	region := b.aws.config.Region
	if b.network.made.IsZero() || len(b.network.groups) == 0 {
		return []string{b.cli(region, "ec2 describe-security-groups --filters Name=group-name,Values=%s", name)}
	}
	return []string{b.cli(region, "ec2 delete-security-group --group-id %s", b.network.groups[0])}
}

// endImages are the commands for the images of a place that are not kept. Snapshots are found by their tag, and those of the
// kept one cannot be deleted.
func (b *bake) endImages(p *place) []string {
	var all []string
	for _, id := range p.made {
		if id != aws.ToString(p.kept.ImageId) {
			all = append(all, b.cli(p.region, "ec2 deregister-image --image-id %s", id))
		}
	}
	if len(p.made) == 0 {
		all = append(all, b.cli(p.region, "ec2 describe-images --owners self --filters Name=tag:%s,Values=%s", tagBake, b.id))
	}
	snapshots := b.cli(p.region, "ec2 describe-snapshots --owner-ids self --filters Name=tag:%s,Values=%s --query 'Snapshots[].SnapshotId' --output text", tagBake, b.id)
	return append(all, snapshots+" | xargs -rn 1 "+b.cli(p.region, "ec2 delete-snapshot")+" --snapshot-id")
}

func (b *bake) endProfile(name string) []string {
	region := b.aws.config.Region
	return []string{
		b.cli(region, "iam remove-role-from-instance-profile --instance-profile-name %s --role-name %s", name, name),
		b.cli(region, "iam delete-instance-profile --instance-profile-name %s", name),
		b.cli(region, "iam delete-role-policy --role-name %s --policy-name %s", name, name),
		b.cli(region, "iam delete-role --role-name %s", name),
	}
}

func (b *bake) endObject(key string) []string {
	return []string{b.cli(b.store.Region(), "s3 rm %s", word(b.store.URL(key)))}
}
