// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAcceptedExitStatuses checks after which exit statuses of a recorded command the machine goes on.
func TestAcceptedExitStatuses(t *testing.T) {
	_, printed := runGuestFunctions(t, `bakery_run_as_user() { sh -c "$3"; }
bakery_end_operation() { echo ended; }; bakery_wait_for_shutdown() { :; }
try() { "$@" && echo "on after $*" || echo "$? after $*"; }
try bakery_command 'exit 0'; try bakery_command 'exit 2'
try bakery_accept 2 'exit 0'; try bakery_accept 2 'exit 2'; try bakery_accept 2 'exit 4'
try bakery_accept '2 22' 'exit 22'; try bakery_accept 22 'exit 2'; try bakery_accept any 'exit 127'
`)
	if diff := cmp.Diff(`ended
on after bakery_command exit 0
2 after bakery_command exit 2
ended
on after bakery_accept 2 exit 0
exit status 2 is accepted
ended
on after bakery_accept 2 exit 2
4 after bakery_accept 2 exit 4
exit status 22 is accepted
ended
on after bakery_accept 2 22 exit 22
2 after bakery_accept 22 exit 2
exit status 127 is accepted
ended
on after bakery_accept any exit 127
`, printed); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// metadataServer serves the metadata of a machine to those who show its token, and returns its URL.
func metadataServer(t *testing.T, values map[string]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value, ok := values[strings.TrimPrefix(r.URL.Path, "/latest/meta-data/")]
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			_, _ = io.WriteString(w, "the token")
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "the token":
			w.WriteHeader(http.StatusUnauthorized)
		case !ok:
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = io.WriteString(w, value)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestFactsArePutIn checks that the machine puts its id and its address where operations and blobs have texts for them,
// and nowhere else.
func TestFactsArePutIn(t *testing.T) {
	for name, c := range map[string]struct {
		network  map[string]string
		selected string // ssh_interface
		want     string // the address, or a part of the error
		fails    bool
	}{
		"a private address": {map[string]string{"local-ipv4": "10.0.0.5"}, "", "10.0.0.5", false},
		"a public one goes before": {map[string]string{"local-ipv4": "10.0.0.5", "public-ipv4": "3.4.5.6"}, "",
			"3.4.5.6", false},
		"private_ip": {map[string]string{"local-ipv4": "10.0.0.5", "public-ipv4": "3.4.5.6"}, "private_ip", "10.0.0.5",
			false},
		"a long name": {map[string]string{"public-hostname": strings.Repeat("ec2-", 20)}, "public_dns",
			strings.Repeat("ec2-", 20), false},
		"private_dns": {map[string]string{"local-hostname": "ip-10-0-0-5.ec2.internal"}, "private_dns",
			"ip-10-0-0-5.ec2.internal", false},
		"ipv6": {map[string]string{"ipv6": "2001:db8::1"}, "ipv6", "2001:db8::1", false},
		"no public one": {map[string]string{"local-ipv4": "10.0.0.5"}, "public_ip",
			`ssh_interface = "public_ip" asks for`, true},
		"a hostile one": {map[string]string{"local-ipv4": "'; reboot; '"}, "", "build.Host has no value", true},
	} {
		t.Run(name, func(t *testing.T) {
			values := maps.Clone(c.network)
			values["instance-id"] = "i-0123456789abcdef0"
			program := filepath.Join(t.TempDir(), "facts.py")
			source := strings.Replace(string(factsSource), "http://169.254.169.254", metadataServer(t, values), 1)
			if err := os.WriteFile(program, []byte(source), 0o600); err != nil {
				t.Fatal(err)
			}
			_, printed := runGuestFunctions(t, `bakery_python() { echo python3; }; BAKERY_INTERFACE='`+c.selected+`'
cp `+program+` $bakery_dir/facts.py; mkdir -p $bakery_dir/replay/blob $bakery_dir/replay/001
bakery_ops=$bakery_dir/replay/001 blobs=$bakery_dir/replay/blob
printf 'id=ERR_ID_NOT_IMPLEMENTED_BY_BUILDER\n\0host=ERR_HOST_NOT_IMPLEMENTED_BY_BUILDER;' >$blobs/a
cp $blobs/a $blobs/own
printf '# facts: a\nbakery_upload a 0644 '\''/tmp/ERR_ID_NOT_IMPLEMENTED_BY_BUILDER'\''\n' >$bakery_ops/0001
host=ERR_HOST_NOT_IMPLEMENTED_BY_BUILDER
printf '# facts:\nbakery_command '\'"$host $host"\''\n' >$bakery_ops/0002
printf 'bakery_command ERR_ID_NOT_IMPLEMENTED_BY_BUILDER\n' >$bakery_ops/0003
bakery_load_env() { :; }; bakery_lookup_user() { bakery_home=/; }; bakery_wait_for_shutdown() { :; }
bakery_upload() { echo "upload $(tr '\0' 0 <$blobs/$1) to $3"; }; bakery_command() { echo "run $1"; }
bakery_replay 001 || echo "failed with $?, as $(cat $bakery_run/reason)"
cmp $blobs/a $blobs/own >/dev/null || echo "the user's own file is as it was"
`)
			want := "upload id=i-0123456789abcdef0\n0host=" + c.want + "; to /tmp/i-0123456789abcdef0\nrun " + c.want +
				" " + c.want + "\nrun ERR_ID_NOT_IMPLEMENTED_BY_BUILDER\nthe user's own file is as it was\n"
			if c.fails {
				want = c.want
			}
			failed := strings.Contains(printed, "failed with 1, as build.Host")
			if !strings.Contains(printed, want) || failed != c.fails {
				t.Errorf("got:\n%s\nwant:\n%s", printed, want)
			}
		})
	}
}

// TestFailedUploadsSayWhatToDo checks the words of uploads that cannot be done on the machine.
func TestFailedUploadsSayWhatToDo(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "needs root")
	}
	const prepare = `PATH=$PATH:/usr/sbin:/sbin BAKERY_USER=nobody
bakery_home=/ bakery_umask=022 bakery_shell=/bin/sh bakery_ops=x/1 bakery_op=y/1
bakery_keep_link() { :; }; w=$(mktemp -d /tmp/bakery-test.XXXXXX); trap 'umount $w/full 2>/dev/null; rm -rf $w' EXIT
chmod 755 $w; mkdir -p $bakery_dir/replay/blob $w/nobodys $w/roots; chown nobody $w/nobodys; echo x >$w/file
echo content >"$bakery_dir/replay/blob/sum"; ln -s ../roots $w/nobodys/link; mkdir $w/nobodys/script
printf 'f 0755 sum ./script/\n' >"$bakery_dir/replay/blob/list"
printf 'd 0755 ./script/\n' >"$bakery_dir/replay/blob/dirs"
`
	for name, c := range map[string]struct{ call, want string }{
		"no directory": {`bakery_upload sum 0644 $w/nobodys/d/x`,
			"cannot write W/nobodys/d/x on the machine: W/nobodys/d does not exist: make it before, with mkdir -p"},
		"a name like a failure": {`bakery_upload sum 0644 "$w/nobodys/denied/no space left on device/x"`,
			"W/nobodys/denied/no space left on device does not exist: make it before"},
		"a directory": {`bakery_upload sum 0644 $w/nobodys`,
			"cannot write W/nobodys on the machine: it is a directory: end the destination with a slash"},
		"no permission": {`bakery_upload sum 0644 $w/roots/x`,
			"cannot write W/roots/x on the machine: Permission denied: upload to /tmp, and move it with " +
				"sudo"},
		"a file above it": {`bakery_upload sum 0644 $w/file/x`,
			"cannot write W/file/x on the machine: W/file is not a directory"},
		"a full disk": {`mkdir $w/full && mount -t tmpfs -o size=4k,mode=777 tmpfs $w/full && head -c 4096 /dev/zero ` +
			`>$w/full/x; bakery_upload sum 0644 $w/full/y`,
			"cannot write W/full/y on the machine: No space left on device: set a larger volume_size"},
		"contents into no directory": {`bakery_updir $w/nobodys/d '' list`,
			"cannot write W/nobodys/d on the machine: W/nobodys/d does not exist: make it before"},
		"contents into a file": {`bakery_updir $w/file '' list`,
			"cannot write W/file on the machine: W/file is not a directory"},
		"a directory below none": {`bakery_updir $w/nobodys/d/e name list`,
			"cannot write W/nobodys/d/e on the machine: W/nobodys/d does not exist"},
		"a directory without permission": {`bakery_updir $w/roots/d name list`,
			"cannot write W/roots/d on the machine: Permission denied"},
		"a file where a directory is": {`bakery_updir $w/nobodys '' list`,
			"cannot write W/nobodys/script on the machine: it is a directory\n"},
		"a directory where a file is": {
			`cd $w/nobodys && rmdir script && touch script; bakery_updir $w/nobodys '' dirs`,
			"cannot write W/nobodys/script on the machine: File exists"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, printed := runGuestFunctions(t, prepare+"("+c.call+") 2>&1 | sed \"s,$w,W,g\"\n")
			if !strings.Contains(printed, c.want) || strings.Count(printed, "\n") != 1 {
				t.Errorf("printed:\n%s\nwant:\n%s", printed, c.want)
			}
		})
	}
}
