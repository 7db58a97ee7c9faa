# Succeeds when a step has asked for the reboot that cuts it off: asked_reboot.py PID TEXT, or for the machine to be
# powered off: asked_reboot.py PID TEXT off
#
# PID is the leader of the step's session, TEXT the file with the step's own text. It looks at the arguments of all
# processes of the session and below it, at the scripts they execute, and at the scripts those name.
import glob, os, re, sys

ASKS = re.compile(
    br"(?<![\w-])(?:(?:soft-|--)?reboot|shutdown|telinit|kexec|init[\"', \t]+6)(?![\w-])|login1\S*[ .]Reboot"
)
ASKS_OFF = re.compile(
    br"(?<![\w-])(?:poweroff|halt|(?:--)?shutdown|telinit|init[\"', \t]+0)(?![\w-])|login1\S*[ .](PowerOff|Halt)"
)
# Comments, and lines that only print.
SILENT = re.compile(br"(?m)^\s*#.*|\s#[^'\"\n]*$|^\s*(?:echo|printf|logger)\b[^;&|\n]*$")
OWN = re.compile(b"/bakery.sh$|^/run/bakery/")
seen = set()


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read(1 << 18)
    except (IOError, OSError):
        return b""


def asks(text, cwd, depth):
    text = SILENT.sub(b"", text)
    if (ASKS_OFF if sys.argv[3:] else ASKS).search(text):
        return True
    words = set(re.split(br"[\s'\"`;&|()<>=]+", text)) if depth else ()
    return any(b"/" in w and file_asks(w, cwd, depth - 1, b"#!") for w in words)


# file_asks looks at a text file that begins as given.
def file_asks(path, cwd, depth, begin=b""):
    path = os.path.realpath(os.path.join(cwd, path))
    if (path, depth) in seen or len(seen) > 500 or not os.path.isfile(path) or OWN.search(path):
        return False
    seen.add((path, depth))
    text = read(path)
    return b"\0" not in text and (text.startswith(begin) or path.endswith(b"sh")) and asks(text, cwd, depth)


def process_asks(proc):
    words = read(proc + "/cmdline").split(b"\0")
    try:
        cwd = os.readlink(proc.encode() + b"/cwd")
    except OSError:
        return False
    return asks(b" ".join(words), cwd, 0) or any(file_asks(w, cwd, 2) or asks(w, cwd, 1) for w in words[1:])


if __name__ == "__main__":
    leader = sys.argv[1].encode()
    stats = [read(p + "/stat").rpartition(b")") for p in glob.glob("/proc/[0-9]*")]
    stats = [(s[0].split()[0], s[2].split()) for s in stats if s[0]]
    found = {leader}
    for _ in range(9):
        found.update(pid for pid, words in stats if words[1] in found or words[3] == leader)
    asked = [process_asks("/proc/" + pid.decode()) for pid in found]
    sys.exit(not any(asked) and not file_asks(sys.argv[2].encode(), b"/", 2))
