# Removes the sudo rule that cloud-init wrote for its default user. For Python 2.7 and 3.
#
#   rules.py before  records the rules before cloud-init's modules write any
#   rules.py after   records them when cloud-init has ended, the default user, and the user's cloud-config
#   rules.py clean   removes the rule of the default user
#
# Rules of the base image, of fs/ and of steps stay, and those of users that the cloud-config describes.
import glob
import os
import pickle
import re
import sys

# ROOT is for tests.
ROOT = os.environ.get("BAKERY_ROOT", "")
DIR = ROOT + "/var/lib/bakery/"
# The user's cloud-config: as cloud-init merged it, and as it was staged.
CONFIG = "/var/lib/cloud/instance/cloud-config.txt", "/var/lib/bakery/cloud-config.cfg"


# Distro.ci_sudoers_fn and doas_fn of cloudinit/distros/__init__.py.
RULES = b"/etc/sudoers.d/90-cloud-init-users", b"/etc/doas.conf"


def rules():
    return set(ROOT.encode() + path for path in RULES)


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except EnvironmentError:
        return b""


def read_all(*patterns):
    return b"\n".join(read(path) for pattern in patterns for path in glob.glob(ROOT + pattern))


def default_user():
    try:
        from cloudinit import util
        return util.read_conf_with_confd("/etc/cloud/cloud.cfg")["system_info"]["default_user"]["name"].encode()
    except Exception as e:
        print("reading the name of the default user: %r" % e)


# without_rules returns what stays of a file. old, made and now are the file before and after cloud-init, and at the end.
# cloud-init appends a blank line, a comment and the rules (write_sudo_rules and write_doas_rules of
# cloudinit/distros/__init__.py).
def without_rules(old, made, now, default, config):
    for block in re.finditer(br"\n# (cloud-init )?User rules for (.+)\n(.+\n)+", made):
        rules, user = block.group(), block.group(2)
        asked = re.search(br"\b(name|user)\W{1,4}%s(?![\w.-])" % re.escape(user), config)
        if not asked and default in (None, user) and old.count(rules) < now.count(rules):
            at = now.rindex(rules)
            now = now[:at] + now[at + len(rules):]
    return now


def clean():
    old, (made, default, config) = [pickle.loads(read(DIR + "rules." + name)) for name in ("before", "after")]
    from_fs = set(ROOT.encode() + b"/" + path for path in read(DIR + "fs.files").split(b"\n"))
    # What fs/ brings stays.
    for path in rules() - from_fs:
        now = read(path)
        text = without_rules(old.get(path, b""), made.get(path, b""), now, default, config)
        if text == now:
            continue
        # The first line of the file is a comment.
        if path not in old and not re.sub(br"# Created by cloud-init.*", b"", text).strip():
            os.remove(path)
            continue
        with open(path, "r+b") as f:
            f.write(text)
            f.truncate()


if sys.argv[1] == "clean":
    clean()
else:
    state = dict((path, read(path)) for path in rules() if os.path.exists(path))
    if sys.argv[1] == "after":
        state = state, default_user(), read_all(*CONFIG)
    with open(DIR + "rules." + sys.argv[1], "wb") as f:
        pickle.dump(state, f, 2)
