# Removes the authorized keys of the launch from a machine with a key pair. For Python 2.7 and 3.
#
#   keys.py before  records the authorized keys before cloud-init's modules write any
#   keys.py after   records them when cloud-init has ended, the keys of the launch, and the user's cloud-config
#   keys.py clean   removes the keys of the launch
#
# Keys that the base image had, and those that the user's cloud-config, fs/ or steps contain, stay in their lines.
import glob
import json
import os
import pickle
import re
import stat
import subprocess
import sys

# ROOT is for tests.
ROOT = os.environ.get("BAKERY_ROOT", "")
DIR = ROOT + "/var/lib/bakery/"
# The user's cloud-config: as cloud-init merged it, and as it was staged.
CONFIG = "/var/lib/cloud/instance/cloud-config.txt", "/var/lib/bakery/cloud-config.cfg"


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except EnvironmentError:
        return b""


# open_file opens a file of keys for reading and writing. Below a home, the user may have put there what he likes: each
# directory is entered from the one above it, no link is followed, and no pipe, device or file with a second hard link
# is opened.
def open_file(path, home):
    os.chdir(home or os.path.dirname(path))
    names = (path[len(home):] if home else os.path.basename(path)).strip(b"/").split(b"/")
    for name in names[:-1]:
        seen = os.lstat(name)
        os.chdir(name)
        now = os.stat(".")
        if (seen.st_dev, seen.st_ino) != (now.st_dev, now.st_ino):
            raise EnvironmentError("%r is behind a link" % path)
    f = os.fdopen(os.open(names[-1], os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK), "r+b")
    state = os.fstat(f.fileno())
    if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1 or state.st_size > 1 << 20:
        raise EnvironmentError("%r is no file of keys" % path)
    return f


def read_file(path, home):
    try:
        with open_file(path, home) as f:
            return f.read()
    except EnvironmentError:
        return b""


def read_all(*patterns):
    return b"\n".join(read(path) for pattern in patterns for path in glob.glob(ROOT + pattern))


# key_files returns the files where sshd looks for the keys of each user, each with the home that it is below, if any.
def key_files():
    found = {}
    names = re.findall(br"(?im)^[ \t]*authorizedkeysfile[\s=]+(.*)",
                       read_all("/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*"))
    names = b" ".join(names + [b".ssh/authorized_keys .ssh/authorized_keys2"]).replace(b'"', b"").split()
    for line in subprocess.check_output(["timeout", "20", "getent", "passwd"]).splitlines():
        user = (line + b"::::::").split(b":")
        home = ROOT.encode() + user[5].rstrip(b"/")
        for name in names:
            for sign, value in (b"%h", user[5]), (b"%u", user[0]), (b"%U", user[2]), (b"%%", b"%"):
                name = name.replace(sign, value)
            path = ROOT.encode() + os.path.join(user[5], name)
            found[path] = home if path.startswith(home + b"/") else b""
    return found


# key returns the type and the key of a line, without the options before and the comment after.
def key(line):
    match = re.search(br"^([^#]*?\s)?(\S+)\s+(AAAA[\w+/]*)", re.sub(br'"(\\.|[^"\\])*"', b"", line.strip()))
    return match and match.groups()[1:]


def keys(text):
    return set(map(key, text.split(b"\n"))) - set([None])


# launch_keys returns the keys in the metadata of EC2, as DataSource.get_public_ssh_keys gives them to cloud-init's
# ssh module. cloud-init 19.3 to 26.2 write them there. None means that they are not known.
def launch_keys():
    try:
        data = json.loads(read(ROOT + "/run/cloud-init/instance-data.json").decode("utf-8"))
        return keys(u"\n".join(data["v1"]["public_ssh_keys"]).encode("utf-8"))
    except Exception as e:
        print("reading the keys of the launch: %r" % e)


# is_brought tells whether the user brought a key in a step, an upload or one of the files.
def is_brought(code, paths):
    for top, _, names in os.walk(DIR):
        paths = paths + [os.path.join(top, name) for name in names if top != DIR or name == "install.sh"]
    # A file with a key is small.
    return any(os.path.isfile(path) and os.path.getsize(path) < 1 << 20 and code in read(path) for path in paths)


def shape(line):
    return re.sub(br"[^!-~]+", b"", line)


# without_keys returns what stays of a file. old, made and now are the file before and after cloud-init, and at the end.
# cloud-init's ssh module writes every line anew, with single blanks, and replaces one with a key of its own by that
# (update_authorized_keys of cloudinit/ssh_util.py), so the lines of old are put back.
def without_keys(old, made, now, launch, named):
    waiting, made_lines = old.split(b"\n"), made.split(b"\n")
    had = keys(old)
    by_key = dict((key(line), line) for line in made_lines)
    # When another program has written the file, such as write_files, no line is put back.
    expected = b"".join(shape(by_key.get(key(o), o) if key(o) in launch | named else o) for o in waiting)
    if not shape(made).startswith(expected):
        waiting = []
    kept = []
    for line in now.split(b"\n"):
        k = key(line)
        if k in named:
            pass
        elif k in launch and k not in had:
            continue
        elif line in made_lines:
            for o in waiting:
                if key(o) == k and (k or shape(o) == shape(line)):
                    line = o
                    waiting.remove(o)
                    break
        kept.append(line)
    text = b"\n".join(kept)
    return old if text.strip() == old.strip() else text


def clean():
    old, (made, launch, config) = [pickle.loads(read(DIR + "keys." + name)) for name in ("before", "after")]
    from_fs = set(ROOT.encode() + b"/" + path for path in read(DIR + "fs.files").split(b"\n"))
    found = keys(b"\n".join(made.values()))
    if launch is None:
        launch = found
    homes = dict((path, b"") for path in made)
    homes.update(key_files())
    paths = set(homes)
    named = set(k for k in found | launch
                if k[1] in config or k in launch and is_brought(k[1], list(from_fs - paths)))
    # What fs/ brings stays.
    for path in paths - from_fs:
        clean_file(path, homes[path], old.get(path), made.get(path, b""), launch, named)


def clean_file(path, home, old, made, launch, named):
    try:
        f = open_file(path, home)
    except EnvironmentError:
        return
    with f:
        now = f.read()
        text = without_keys(old or b"", made, now, launch, named)
        if text != now:
            if old is None and not text.strip():
                # from the directory that the file was opened in
                os.remove(os.path.basename(path))
            f.seek(0)
            f.write(text)
            f.truncate()


if sys.argv[1] == "clean":
    clean()
else:
    state = dict((path, read_file(path, home)) for path, home in key_files().items() if os.path.lexists(path))
    if sys.argv[1] == "after":
        state = state, launch_keys(), read_all(*CONFIG)
    with open(DIR + "keys." + sys.argv[1], "wb") as f:
        pickle.dump(state, f, 2)
