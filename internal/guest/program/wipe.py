# Overwrites and removes the files that users may have put where they can write: wipe.py PATH... ; of a PATH that ends in a
# slash, what is below it. bakery_remove then removes the directories. For Python 2.7 and 3.
#
# Users may put links in place of files and directories meanwhile. So nothing is opened by a path: every directory is
# entered from the one above it. No symbolic link is followed, and no pipe is waited for. A file that has a second name (a
# hard link) is removed, but not overwritten.
import array
import fcntl
import os
import stat
import sys


# lock makes a file immutable (16) or append-only (32), or neither, and returns what it was: such a file can be neither
# overwritten nor removed.
def lock(fd, locks):
    flags = array.array("i", [0])
    try:
        fcntl.ioctl(fd, 0x80086601, flags)
        had = flags[0] & 48
        if had != locks:
            flags[0] ^= had ^ locks
            fcntl.ioctl(fd, 0x40086602, flags)
        return had
    except EnvironmentError:
        return 0


def overwrite(name, state):
    fd = os.open(name, os.O_RDWR)
    try:
        for fill in os.urandom(1 << 16), b"\0" * (1 << 16):
            at = 0
            while at < state.st_size:
                # SEEK_DATA, and SEEK_HOLE below: nothing is in the holes
                at = os.lseek(fd, at, 3)
                end = os.lseek(fd, at, 4)
                os.lseek(fd, at, 0)
                while at < end:
                    at += os.write(fd, fill[: end - at])
            os.fsync(fd)
    finally:
        os.close(fd)


# enter changes into a directory, or removes a file. It tells whether it has entered. A file that has another name, or
# cannot be removed, stays as locked as it was.
def enter(name, device):
    fd, locks, entered = -1, 0, False
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        state = os.fstat(fd)
        if stat.S_ISREG(state.st_mode):
            locks = lock(fd, 0)
            if state.st_nlink == 1:
                overwrite("/proc/self/fd/%d" % fd, state)
        elif stat.S_ISDIR(state.st_mode) and state.st_dev == device:
            lock(fd, 0)
            os.fchdir(fd)
            entered = True
    except EnvironmentError:
        pass
    try:
        entered or os.unlink(name)
    except EnvironmentError:
        pass
    if locks:
        lock(fd, locks)
    if fd >= 0:
        os.close(fd)
    return entered


# wipe_below wipes all below the current directory, but leaves the directories. It ends early when somebody moves a
# directory away that it is in.
def wipe_below():
    device, above, names = os.stat(".").st_dev, [], os.listdir(".")
    while True:
        while names:
            name = names.pop()
            parent = os.stat(".")
            if enter(name, device):
                above.append((parent, names))
                names = os.listdir(".")
        if not above:
            return
        parent, names = above.pop()
        os.chdir("..")
        if not os.path.samestat(os.stat("."), parent):
            return


for path in sys.argv[1:]:
    top, name = os.path.split(path)
    for _ in range(3):
        try:
            os.chdir(top)
            if not name or enter(name, os.stat(".").st_dev):
                wipe_below()
        except EnvironmentError:
            pass
