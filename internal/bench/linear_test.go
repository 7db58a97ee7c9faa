// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGrowths(t *testing.T) {
	got := growths(`goos: linux
BenchmarkLog/one_line/1024-2    	     100	      1000 ns/op	  10.00 MB/s
BenchmarkLog/one_line/2048-2    	     100	      2500.0 ns/op	  10.00 MB/s
BenchmarkLog/one_line/4096-2    	     100	      5000 ns/op	  10.00 MB/s
BenchmarkParse/tabs/65536         	     100	      10 ns/op
BenchmarkParse/tabs/131072        	     100	      40 ns/op
PASS
`)
	want := []growth{{"Parse/tabs", 131072, 4}, {"Log/one_line", 4096, 2}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(growth{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
