// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
)

func TestBakeSucceedsWhenCancelledAfterImageIsComplete(t *testing.T) {
	for _, action := range []string{"EnableImageDeregistrationProtection", "TerminateInstances"} {
		b, artifact, err := runBuild(t, func(b *testBuild) {
			b.config.DeregistrationProtection.Enabled = true
			b.account.FailBefore[action] = awsfake.Then(b.cancel)
			b.account.FailBefore["DeleteSecurityGroup"] = awsfake.FirstCalls(2, 400, awscall.CodeGroupInUse)
		})
		if err != nil || artifact == nil {
			t.Errorf("cancelled in %s: artifact %v, error %v; left: %v", action, artifact, err, b.account.Leftovers())
		}
	}
}

func TestOnErrorAbortKeepsMachine(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.PackerOnError = "abort"
		b.account.SetReports("begin 1", "verdict failed 1 60_app.cfg")
	})
	if err == nil || b.account.Instance.Terminated {
		t.Fatalf("error %v, the instance is terminated: %t", err, b.account.Instance.Terminated)
	}
	b.checkSaid("instance "+b.account.Instance.ID, "get-console-output")
}

func TestOnErrorAbortPrintsCommandsThatRemoveWhatIsLeft(t *testing.T) {
	b, _, _ := runBuild(t, func(b *testBuild) {
		b.setStaging()
		b.config.PackerOnError = "abort"
		b.account.SetReports("begin 1", "verdict failed 1 60_app.cfg")
	})
	const where = " --region us-east-1"
	for _, want := range []string{
		"    aws ec2 terminate-instances --instance-ids " + b.account.Instance.ID + where,
		"    aws ec2 delete-security-group --group-id sg-new" + where,
		"    aws s3 rm s3://" + awsfake.Bucket + "/some/prefix/" + testFolder + "/log.gz" + where,
		"longer: aws ec2 delete-tags --tags Key=bakery:expires --resources " + b.account.Instance.ID +
			" vol-root" + where,
	} {
		if !strings.Contains(b.ui.String(), want+"\n") {
			t.Errorf("the user is not told %q:\n%s", want, b.ui)
		}
	}
}

func TestSecondInterruptShortensCleanUp(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.setStaging()
		b.secondInterrupt = make(chan struct{})
		b.cancelAfter(10 * time.Second)
		b.account.FailBefore["DeleteSecurityGroup"] = awsfake.Always(400, awscall.CodeGroupInUse)
		time.AfterFunc(12*time.Second, func() { close(b.secondInterrupt) })
	})
	if err == nil {
		t.Error("the bake succeeded")
	}
	b.checkSaid("delete-security-group --group-id sg-new", "interrupted again")
	if diff := cmp.Diff([]string{"bakery-" + awsfake.BakeID}, b.account.Leftovers()); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	_, total, _ := strings.Cut(b.ui.String(), ", total ")
	if !strings.HasPrefix(total, "17.") && !strings.HasPrefix(total, "18.") {
		t.Errorf("it took %s", total)
	}
}
