# Overwrites and removes what users may have put where they can write: wipe.py PATH... ; of a PATH that ends in a slash,
# what is below it. For Python 2.7 and 3.
#
# Users may put links in place of files and directories meanwhile. So nothing is opened by a path: every directory is
# entered from the one above it, and left at once when it is another one than that which was looked at. No link is
# followed, no pipe is waited for, and a file with another name is only removed.
import os
import stat
import sys


def identity(path):
    state = os.lstat(path)
    return state.st_dev, state.st_ino


def overwrite(name):
    fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
            return
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


def remove(name):
    for act in overwrite, os.unlink:
        try:
            act(name)
        except EnvironmentError:
            pass


# enter changes into a directory, and tells whether it is the one that was there.
def enter(name, device):
    try:
        seen = identity(name)
        if not stat.S_ISDIR(os.lstat(name).st_mode) or seen[0] != device:
            return False
        here = os.open(".", os.O_RDONLY)
        try:
            os.chdir(name)
            if identity(".") == seen:
                return True
            os.fchdir(here)
        finally:
            os.close(here)
    except EnvironmentError:
        pass
    return False


# wipe_below wipes all below the current directory. It ends early when somebody moves a directory away that it is in.
def wipe_below():
    device, above, names = identity(".")[0], [], os.listdir(".")
    while True:
        while names:
            name = names.pop()
            parent = identity(".")
            if enter(name, device):
                above.append((parent, names, name))
                names = os.listdir(".")
            else:
                remove(name)
        if not above:
            return
        parent, names, name = above.pop()
        os.chdir("..")
        if identity(".") != parent:
            return
        try:
            os.rmdir(name)
        except EnvironmentError:
            pass


for path in sys.argv[1:]:
    top, name = os.path.split(path)
    for _ in range(3):
        try:
            os.chdir(top)
            if name and enter(name, identity(".")[0]):
                wipe_below()
                os.chdir(top)
                os.rmdir(name)
            elif name:
                remove(name)
            else:
                wipe_below()
        except EnvironmentError:
            pass
