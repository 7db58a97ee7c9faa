// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

func (q *quickLab) s3() *s3.Client {
	return s3.NewFromConfig(q.sdk("us-east-1"), func(o *s3.Options) {
		o.UsePathStyle, o.RequestChecksumCalculation = true, aws.RequestChecksumCalculationWhenSupported
	})
}

func (q *quickLab) bucket() *string { return aws.String(q.Value("BAKERY_LAB_BUCKET")) }

// put puts an object into the bucket.
func (q *quickLab) put(t *testing.T, key string) {
	t.Helper()
	_, err := q.s3().PutObject(t.Context(), &s3.PutObjectInput{Bucket: q.bucket(), Key: &key,
		Body: strings.NewReader("x")})
	if err != nil {
		t.Fatal(err)
	}
}

// setVersioning enables or suspends the versions of the bucket.
func (q *quickLab) setVersioning(t *testing.T, status types.BucketVersioningStatus) {
	t.Helper()
	_, err := q.s3().PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: q.bucket(),
		VersioningConfiguration: &types.VersioningConfiguration{Status: status}})
	if err != nil {
		t.Fatal(err)
	}
}

// protectObjects gives the bucket Object Lock with a default retention of a day.
func (q *quickLab) protectObjects(t *testing.T) {
	t.Helper()
	q.setVersioning(t, types.BucketVersioningStatusEnabled)
	_, err := q.s3().PutObjectLockConfiguration(t.Context(), &s3.PutObjectLockConfigurationInput{Bucket: q.bucket(),
		ObjectLockConfiguration: &types.ObjectLockConfiguration{ObjectLockEnabled: types.ObjectLockEnabledEnabled,
			Rule: &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{
				Mode: types.ObjectLockRetentionModeGovernance, Days: aws.Int32(1)}}}})
	if err != nil {
		t.Fatal(err)
	}
}

// versions lists all versions and delete markers of the bucket.
func (q *quickLab) versions(t *testing.T) (all []string) {
	t.Helper()
	out, err := q.s3().ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: q.bucket()})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range out.Versions {
		all = append(all, *v.Key)
	}
	for _, m := range out.DeleteMarkers {
		all = append(all, *m.Key+" (deleted)")
	}
	return all
}

// baking returns the settings of a bake whose machine fetches fs/ and uploads its log, and more.
func baking(t *testing.T, more map[string]any) map[string]any {
	t.Helper()
	settings := maps.Clone(reportVerdict)
	bakeFS(t, settings, 20_000)
	maps.Copy(settings, more)
	return settings
}

// TestQuickVersionedBucketsKeepNothing checks that a bake removes all versions of what it has staged: fs/, each upload
// of the log, the commitment, and the delete markers.
func TestQuickVersionedBucketsKeepNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status types.BucketVersioningStatus
		more   map[string]any
		left   string // how the key of the only version ends that is left
	}{
		"with versions":           {types.BucketVersioningStatusEnabled, nil, ""},
		"with suspended":          {types.BucketVersioningStatusSuspended, nil, ""},
		"with a log that is kept": {types.BucketVersioningStatusEnabled, map[string]any{"keep_log": true}, "/log.gz"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := startBakerLab(t, labtest.Baker{Lines: 3, StepDuration: 5e9})
			q.setVersioning(t, types.BucketVersioningStatusEnabled)
			q.setVersioning(t, c.status)
			staging := map[string]any{"url": "s3://" + *q.bucket() + "/quick"}
			maps.Copy(staging, c.more)
			_, printed, err := q.bake(t, baking(t, map[string]any{"staging": staging}))
			if err != nil {
				t.Fatalf("%v\n%s", err, printed)
			}
			left := q.versions(t)
			want := 0
			if c.left != "" {
				want = 1
			}
			if len(left) != want || want > 0 && !strings.HasSuffix(left[0], c.left) {
				t.Errorf("left: %q", left)
			}
			if strings.Contains(printed, "warning") {
				t.Errorf("the user is warned:\n%s", printed)
			}
		})
	}
}

// TestQuickVersionsAreToldOfWithoutRights checks that a bake succeeds where it cannot remove versions, and says so
// once.
func TestQuickVersionsAreToldOfWithoutRights(t *testing.T) {
	t.Parallel()
	for _, right := range []string{"s3:ListBucketVersions", "s3:DeleteObjectVersion"} {
		t.Run(right, func(t *testing.T) {
			t.Parallel()
			q := startBakerLab(t, labtest.Baker{})
			q.setVersioning(t, types.BucketVersioningStatusEnabled)
			limited := q.limited(t, rights{documents: []string{"bake", "staging"}, withoutAll: []string{right}})
			_, printed, err := limited.bake(t, baking(t, nil))
			if err != nil {
				t.Fatalf("%v\n%s", err, printed)
			}
			if strings.Count(printed, "Give the bucket a lifecycle rule") != 1 ||
				!strings.Contains(printed, "without the right to "+right) {
				t.Errorf("the user is not warned once:\n%s", printed)
			}
			if objects := q.left(t); strings.Contains(strings.Join(objects, " "), "quick/") {
				t.Errorf("objects are left: %q", objects)
			}
		})
	}
}

// TestQuickProtectedBuckets checks that a bucket with a default retention is refused before the launch, and that a bake
// which only stages its user data there ends without an error of its clean-up.
func TestQuickProtectedBuckets(t *testing.T) {
	t.Parallel()
	t.Run("the machine uploads", func(t *testing.T) {
		t.Parallel()
		q := startBakerLab(t, labtest.Baker{})
		q.protectObjects(t)
		_, printed, err := q.bake(t, baking(t, nil))
		if err == nil || !strings.Contains(err.Error(), "protects each object for 1 days (GOVERNANCE)") ||
			!strings.Contains(err.Error(), "without a default retention") {
			t.Errorf("%v\n%s", err, printed)
		}
		for _, call := range q.Calls() {
			if call.Action == "RunInstances" || call.Action == "PutObject" {
				t.Errorf("%s was called", call.Action)
			}
		}
	})
	t.Run("it does not", func(t *testing.T) {
		t.Parallel()
		q := startQuickLab(t)
		q.protectObjects(t)
		_, printed, err := q.bake(t, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, printed)
		}
		for _, want := range []string{"protects each object for 1 days", "which Object Lock protects"} {
			if strings.Count(printed, want) != 1 {
				t.Errorf("not told once %q:\n%s", want, printed)
			}
		}
	})
	t.Run("nobody knows", func(t *testing.T) {
		t.Parallel()
		const action = "s3:GetBucketObjectLockConfiguration"
		q := startBakerLab(t, labtest.Baker{})
		limited := q.limited(t, rights{documents: []string{"bake", "staging"}, withoutAll: []string{action}})
		_, printed, err := limited.bake(t, baking(t, nil))
		if err != nil || strings.Count(printed, "cannot be looked at: allow "+action+" to the credentials") != 1 {
			t.Errorf("%v\n%s", err, printed)
		}
	})
}

// TestQuickSweepRemovesVersions checks that the sweep removes old versions and delete markers of folders that have
// expired, and nothing else.
func TestQuickSweepRemovesVersions(t *testing.T) {
	t.Parallel()
	const expired, alive = "bakery-20200102T030405Z-" + someBake, "bakery-29990102T030405Z-" + someBake
	q := startQuickLab(t)
	q.setVersioning(t, types.BucketVersioningStatusEnabled)
	remove := func(key string) {
		t.Helper()
		_, err := q.s3().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: q.bucket(), Key: &key})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{expired, alive, "notes"} {
		for range 2 {
			q.put(t, "quick/"+folder+"/log.gz")
			q.put(t, "quick/"+folder+"/user-data")
		}
		remove("quick/" + folder + "/user-data")
	}
	remove("quick/" + expired + "/log.gz")                 // nothing in the folder is current
	q.put(t, "quick/"+expired[:len(expired)-1]+"0/log.gz") // and another one that is
	_, printed, err := q.bakeAs(t, q.sweeping())
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	for _, key := range q.versions(t) {
		if strings.Contains(key, "bakery-2020") {
			t.Errorf("left: %s", key)
		}
	}
	if got := len(q.versions(t)); got != 2*5 {
		t.Errorf("%d versions are left of what has not expired: %q", got, q.versions(t))
	}
	if !strings.Contains(printed, "old versions below") {
		t.Errorf("it is not told:\n%s", printed)
	}
	_, printed, err = q.bakeAs(t, q.sweeping())
	if err != nil || !strings.Contains(printed, "Nothing of bakes has expired") {
		t.Errorf("the second sweep: %v\n%s", err, printed)
	}
}

// TestQuickSweepReadsOddKeys: a key that somebody else puts beside those of a killed bake must not protect them, with
// or without versions, and must not have anything else deleted.
func TestQuickSweepReadsOddKeys(t *testing.T) {
	t.Parallel()
	const expired = "bakery-20200102T030405Z-" + someBake
	for name, status := range map[string]types.BucketVersioningStatus{
		"without versions": "", "with versions": types.BucketVersioningStatusEnabled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := startQuickLab(t)
			if status != "" {
				q.setVersioning(t, status)
			}
			q.put(t, "quick/kept")
			for _, key := range []string{
				"user-data", "\x01", "a//b", "a b+c&d<e", "%41", "\u65e5", "../kept", "./user-data",
			} {
				q.put(t, "quick/"+expired+"/"+key)
			}
			_, printed, err := q.bakeAs(t, q.sweeping())
			if err != nil || strings.Count(printed, "a program could take for another") != 2 {
				t.Errorf("%v\n%s", err, printed)
			}
			left := slices.Sorted(slices.Values(q.versions(t)))
			want := []string{"quick/" + expired + "/../kept", "quick/" + expired + "/./user-data", "quick/kept"}
			if diff := cmp.Diff(want, left); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestQuickSweepLeavesProtectedVersions checks that a sweep does not fail for ever because of what Object Lock
// protects.
func TestQuickSweepLeavesProtectedVersions(t *testing.T) {
	t.Parallel()
	q := startQuickLab(t)
	q.protectObjects(t)
	q.put(t, "quick/"+expiredFolder+"/log.gz")
	for range 2 {
		if _, printed, err := q.bakeAs(t, q.sweeping()); err != nil {
			t.Errorf("%v\n%s", err, printed)
		}
	}
}
