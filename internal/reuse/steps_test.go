// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package reuse

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/recorder"
)

// recorded returns the log of steps, each with one operation.
func recorded(t *testing.T, operations ...string) *recorder.Log {
	t.Helper()
	log := &recorder.Log{Dir: t.TempDir()}
	for i, op := range operations {
		name := fmt.Sprintf("%03d", i+1)
		dir := filepath.Join(log.Dir, "var/lib/bakery/replay", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "0001"), []byte(op), 0o644); err != nil {
			t.Fatal(err)
		}
		log.Provisioners = append(log.Provisioners, recorder.Provisioner{Dir: name, Name: "step " + name})
	}
	return log
}

func digestsOfSteps(t *testing.T, log *recorder.Log, user string) []StepDigest {
	t.Helper()
	all, err := StepDigests(log, user)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestStepDigestsDependOnTheOperationsTheUserAndTheJoins(t *testing.T) {
	base := digestsOfSteps(t, recorded(t, "one", "two"), "admin")
	if diff := cmp.Diff(base, digestsOfSteps(t, recorded(t, "one", "two"), "admin")); diff != "" {
		t.Errorf("the same steps differ:\n%s", diff)
	}
	other := digestsOfSteps(t, recorded(t, "one", "three"), "admin")
	if base[0] != other[0] || base[1].Digest == other[1].Digest {
		t.Errorf("another second step: %v, before: %v", other, base)
	}
	if user := digestsOfSteps(t, recorded(t, "one", "two"), "root"); user[0].Digest == base[0].Digest {
		t.Error("another user makes no difference")
	}
	joined := recorded(t, "one", "two")
	joined.Joined = []recorder.Join{{Join: bundle.Join{}, After: 1}}
	if join := digestsOfSteps(t, joined, "admin"); join[0] != base[0] || join[1].Digest == base[1].Digest {
		t.Errorf("an Image-Source that joins before the second step: %v, before: %v", join, base)
	}
	if base[0].Name != "step 001" || len(base[0].Digest) != 64 {
		t.Errorf("the first step is %+v", base[0])
	}
}

func TestTheLastStepDigestIsThatOfAllFurtherSteps(t *testing.T) {
	operations := make([]string, maxSteps+3)
	base := digestsOfSteps(t, recorded(t, operations...), "admin")
	if len(base) != maxSteps || base[maxSteps-1].Name != "provisioner steps from 24 on" {
		t.Fatalf("%d digests, the last of %q", len(base), base[len(base)-1].Name)
	}
	operations[maxSteps+2] = "other"
	other := digestsOfSteps(t, recorded(t, operations...), "admin")
	if base[maxSteps-1].Digest == other[maxSteps-1].Digest || base[0] != other[0] {
		t.Error("a change of the last step is not in the last digest alone")
	}
}

func TestASlowHashIsNotThePlainOne(t *testing.T) {
	got, err := SlowDigest([]byte("secret"))
	if err != nil || got == SHA256("secret") || len(got) != 64 {
		t.Errorf("it is %s, error %v", got, err)
	}
}

func TestStepDigestsFailWithoutTheRecording(t *testing.T) {
	log := recorded(t, "one")
	if err := os.RemoveAll(log.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := StepDigests(log, "admin"); err == nil {
		t.Error("no error")
	}
}
