// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// transfer runs functions of the guest program on this computer, where some programs are missing, and returns the
// reason that they give.
func transfer(t *testing.T, missing, text string) (dir, reason string) {
	t.Helper()
	dir, printed := runGuestFunctions(t, `command() { case "`+missing+`" in *"$2"*) return 1 ;; esac; which "$2"; }
bakery_python() { echo python3; }
(`+text+`) 2>/dev/null && echo transferred || cat "$bakery_run/reason"`)
	return dir, strings.TrimSpace(printed)
}

// TestTransfersSayWhatIsMissing makes transfers fail in every way that a network has, with each of the programs that
// the machine may have for them.
func TestTransfersSayWhatIsMissing(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	const way, names, clock = "Does its subnet have a way there: a NAT gateway, or an endpoint for S3?",
		"Does its VPC resolve names (enableDnsSupport)?", "Is its clock right"
	refuse := func(code string) string {
		server := httptest.NewServer(&fakeS3{putStatus: 403, code: code})
		t.Cleanup(server.Close)
		return server.URL
	}
	plain := httptest.NewServer(&fakeS3{})
	t.Cleanup(plain.Close)
	for name, c := range map[string]struct {
		url  string
		want string
		wget string // where wget cannot tell more
	}{
		"nobody there":      {nobody, way, ""},
		"a name that is no": {"http://bucket.invalid", names, way},
		"a wrong clock":     {refuse("RequestTimeTooSkewed"), "(RequestTimeTooSkewed). " + clock, "HTTP error"},
		"a policy":          {refuse("AccessDenied"), "(AccessDenied). Does a policy of the bucket", "HTTP error"},
		"no TLS":            {strings.Replace(plain.URL, "http:", "https:", 1), clock, way},
	} {
		for tool, missing := range map[string]string{"curl": "", "wget": "curl", "python": "curl wget"} {
			t.Run(name+" by "+tool, func(t *testing.T) {
				want := c.want
				if tool == "wget" && c.wget != "" {
					want = c.wget
				}
				_, reason := transfer(t, missing, `bakery_get '`+c.url+`/k?secret' $dir/got || {
	bakery_explain_transfer '`+c.url+`/k?secret'; exit 1; }`)
				const begin = "S3 gave this machine no good answer: "
				if !strings.Contains(reason, want) || !strings.HasPrefix(reason, begin) ||
					strings.Contains(reason, "secret") {
					t.Errorf("the download fails with %q, want %q", reason, want)
				}
				if tool == "wget" { // it cannot upload
					return
				}
				_, reason = transfer(t, missing, `echo x >$dir/x; bakery_put '`+c.url+`/k?secret' $dir/x 'a: b' || {
	bakery_explain_transfer '`+c.url+`/k?secret'; exit 1; }`)
				if !strings.Contains(reason, c.want) {
					t.Errorf("the upload fails with %q, want %q", reason, c.want)
				}
			})
		}
	}
}

func TestTransfers(t *testing.T) {
	for tool, missing := range map[string]string{"curl": "", "wget": "curl", "python": "curl wget"} {
		t.Run(tool, func(t *testing.T) {
			s3 := &fakeS3{content: "content", putStatus: 200}
			server := httptest.NewServer(s3)
			defer server.Close()
			dir, said := transfer(t, missing, `bakery_get '`+server.URL+`' $dir/got`)
			got, err := os.ReadFile(filepath.Join(dir, "got"))
			if err != nil || string(got) != s3.content || said != "transferred" {
				t.Errorf("got %q, %v: %s", got, err, said)
			}
			_, said = transfer(t, missing, `echo up >$dir/x; bakery_put '`+server.URL+`' $dir/x 'if-none-match: *'`)
			if said != "transferred" || len(s3.puts) != 1 || s3.puts[0] != "up\n" || s3.headers[0] != "*" {
				t.Errorf("put %q with %q: %s", s3.puts, s3.headers, said)
			}
		})
	}
}
