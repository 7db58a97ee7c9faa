// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBakeThatIsCancelledWhenItsImageIsCompleteTellsOfIt(t *testing.T) {
	for _, action := range []string{"EnableImageDeregistrationProtection", "TerminateInstances"} {
		o, artifact, err := bakes(t, func(o *oven) {
			o.config.DeregistrationProtection.Enabled = true
			o.cloud.broken[action] = func(int) *failure { o.cancel(); return nil }
			o.cloud.broken["DeleteSecurityGroup"] = first(2, 400, codeGroupInUse)
		})
		if err != nil || artifact == nil {
			t.Errorf("cancelled in %s: artifact %v, error %v; left: %v", action, artifact, err, o.cloud.left())
		}
	}
}

func TestBakeKeepsTheMachineWithOnErrorAbort(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.config.PackerOnError = "abort"
		o.cloud.reports("begin 1", "verdict failed 1 60_app.cfg")
	})
	if err == nil || o.cloud.instanceState == "terminated" {
		t.Fatalf("error %v, the instance is %q", err, o.cloud.instanceState)
	}
	if !strings.Contains(o.ui.String(), "instance "+o.cloud.instance) || !strings.Contains(o.ui.String(), "get-console-output") {
		t.Errorf("the user is told\n%s", o.ui)
	}
}

func TestAbortedBakeSaysHowToRemoveWhatItLeaves(t *testing.T) {
	o, _, _ := bakes(t, func(o *oven) {
		o.stage()
		o.config.PackerOnError = "abort"
		o.cloud.reports("begin 1", "verdict failed 1 60_app.cfg")
	})
	const where = " --region us-east-1"
	for _, want := range []string{
		"    aws ec2 terminate-instances --instance-ids " + o.cloud.instance + where,
		"    aws ec2 delete-security-group --group-id sg-new" + where,
		"    aws s3 rm s3://" + bucket + "/some/prefix/" + testFolder + "/log.gz" + where,
		"longer: aws ec2 delete-tags --tags Key=bakery:expires --resources " + o.cloud.instance + " vol-root" + where,
	} {
		if !strings.Contains(o.ui.String(), want+"\n") {
			t.Errorf("the user is not told %q:\n%s", want, o.ui)
		}
	}
}

func TestCommandsAreQuoted(t *testing.T) {
	b := &bake{config: &Config{}}
	b.config.Profile = "it's mine"
	if got, want := b.cli("a b", "s3 rm %s", word("s3://x/$(y)")), `aws s3 rm 's3://x/$(y)' --region 'a b' --profile 'it'\''s mine'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSecondInterruptCutsTheCleanUpShort(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.stage()
		o.hurry = make(chan struct{})
		o.cancelAfter(10 * time.Second)
		o.cloud.broken["DeleteSecurityGroup"] = always(400, codeGroupInUse)
		time.AfterFunc(12*time.Second, func() { close(o.hurry) })
	})
	if err == nil || !strings.Contains(o.ui.String(), "delete-security-group --group-id sg-new") || !strings.Contains(o.ui.String(), "interrupted again") {
		t.Errorf("%v, the user is told\n%s", err, o.ui)
	}
	if diff := cmp.Diff([]string{"bakery-" + testBake}, o.cloud.left()); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	if _, total, _ := strings.Cut(o.ui.String(), ", total "); !strings.HasPrefix(total, "17.") && !strings.HasPrefix(total, "18.") {
		t.Errorf("it took %s", total)
	}
}
