// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"os"
	"strings"
	"testing"
)

// TestProvisionersOutliveTheirUser removes the login user in the middle of the provisioners. Over SSH, the login goes
// on: Packer removes its script with exit status 0, and the next provisioner runs.
func TestProvisionersOutliveTheirUser(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "another user needs root: run the tests as root")
	}
	_, printed := runGuestFunctions(t, `BAKERY_USER=leaver; : >$dir/bake/env; bakery_is_shutting_down() { return 1; }
echo "BAKERY_USER=leaver" >$dir/bake/delivery; chmod 711 $dir $dir/bake
mkdir -p $dir/bake/replay/001 $dir/bake/replay/002 $dir/home && chown 65534:65534 $dir/home
getent() { [ -e $dir/gone ] || echo "leaver:x:65534:65534::$dir/home:/bin/sh"; [ ! -e $dir/gone ]; }
id() { case $1 in -G) echo 65534 100 ;; -gn) echo nogroup ;; *) echo 65534 ;; esac; }
mkdir $dir/bin; PATH=$dir/bin:$PATH
printf '%s\n' '#!/bin/sh' 'shift 3; exec setpriv --reuid 65534 --regid 65534 --clear-groups -- "$@"' >$dir/bin/runuser
chmod 755 $dir/bin/runuser
bakery_load_env() { :; }
cat >$dir/bake/replay/001/0001 <<'OP'
bakery_command 'echo "as $(/usr/bin/id -u) in $PWD" && touch script'
OP
cat >$dir/bake/replay/001/0002 <<'OP'
bakery_command 'echo leaving'; touch $dir/gone
OP
cat >$dir/bake/replay/001/0003 <<'OP'
bakery_command 'rm -f script && echo "removed by $(/usr/bin/id -u) $(/usr/bin/id -g) $(/usr/bin/id -G)"'
OP
echo "bakery_command 'echo \$HOME \$USER; exit 7'" >$dir/bake/replay/002/0001
bakery_replay 001; echo "status $?"
bakery_replay 002; echo "status $?"
rm $dir/run/login # by a reboot
bakery_replay 002; echo "status $?"
rm $dir/bake/replay/002/at; bakery_replay 002; echo "status $?"
`)
	for _, want := range []string{"as 65534 in ", "\nleaving\nremoved by 65534 65534 65534 100\nstatus 0\n",
		"/home leaver\nstatus 7\n", "user leaver, who is to run the provisioners, does not exist here: set " +
			"ssh_username or run_as\nstatus 1\n"} {
		if !strings.Contains(printed, want) {
			t.Errorf("not %q:\n%s", want, printed)
		}
	}
}
