# For user data that only cloud-init can read: makes the first failing command of runcmd end the script that cloud-init
# has made of them, as cloudinit/config/cc_runcmd.py does, whose last status alone counts. It runs between
# cloud-config.service, which writes that script, and cloud-final.service, which runs it, and leaves what check_items of
# cloud_init.py reads.
import io
import os

import yaml

from cloudinit import util

INSTANCE = "/var/lib/cloud/instance/"
SCRIPT = INSTANCE + "scripts/runcmd"
LEFT = "/run/bakery-runcmd"
FUNCTION = """__bakery_item() {
__bakery_status=$?
case $__bakery_status in
0) ;;
*)
command printf '%%s\\n' "$__bakery_status $__bakery_name" >>%(left)s.failed
exit "$__bakery_status"
;;
esac
__bakery_name=${1#* }
command printf '%%s\\n' "$1" >|%(left)s
}
:""" % {"left": LEFT}

with io.open(INSTANCE + "cloud-config.txt", encoding="utf-8") as f:
    commands = (yaml.safe_load(f) or {}).get("runcmd")
if isinstance(commands, list) and os.path.exists(SCRIPT):
    items = [FUNCTION]
    for i, command in enumerate(commands):
        if command is not None:
            # The line break: a command may end in a backslash.
            items += ["{ __bakery_item '%d runcmd[%d]'; } 2>/dev/null" % (len(commands) - 1 - i, i), command, "\n"]
    items[-1:] = ["\n{ __bakery_item ''; } 2>/dev/null"]
    util.write_file(SCRIPT, util.shellify(items), 0o700)
