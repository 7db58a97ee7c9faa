# Prints what cloud-init dropped, ignored or failed on, after it has ended: cloud_init.py KEYS LOG-SIZE
#
# KEYS is a file of lines "KEY MODULE..."; the key has no effect without the first module. After a line "*" the keys are
# those of the user data as cloud-init has merged it. LOG-SIZE is where cloud-init's log ended when the bake began.
#
# A finding is four lines: the names that ignore_failures may give it, or "-" when it comes from the base image; an exit
# status; a name; and what happened. Python 2 too: Amazon Linux 2 runs cloud-init with it.
#
# Sources, all from 19.3 to 26.2: cloudinit/stages.py and config/modules.py for modules, handlers/__init__.py,
# user_data.py and util.py for messages.
import io, json, os, re, sys

CONFIG, STAGED = "/var/lib/cloud/instance/cloud-config.txt", "/var/lib/bakery/cloud-config.cfg"
LOG = "/var/log/cloud-init.log"

# What cloud-init says about a part of the user data that it drops, where the log does not show what it is about.
DROPPED = "Unhandled .*userdata|Failed (calling|at merging|loading of cloud)|Ignoring jinja|Boothooks |Consuming user"
# Warnings that nothing is missing after. Those about the schema come from validate.
HARMLESS = (
    "(?i)deprecat|^Invalid (cloud-)?config|^Destroying|^success: |thinpool|already|Assuming no|^Hotplug is|^Rebooting |"
    "existing group|stderr output"
)


def text_of(path):
    try:
        with io.open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except IOError:
        return u""


def finding(names, code, name, what):
    for line in (" ".join(names) or "-", str(code), name, " ".join(what.split())[:400]):
        print(line.encode("ascii", "replace").decode("ascii"))


# plain returns the name of a module as all versions would write it; ubuntu_advantage was renamed in 24.1.
def plain(name):
    return re.sub(r"^cc_|\.py$", "", str(name).replace("-", "_")).replace("ubuntu_advantage", "ubuntu_pro")


def read_keys(path):
    lines = [line.split() for line in text_of(path).splitlines()]
    keys = dict((words[0], [plain(m) for m in words[1:]]) for words in lines)
    if "*" in keys:
        import yaml

        merged = yaml.safe_load(text_of(CONFIG)) or {}
        keys = dict((k, keys.get(k, [plain(k)])) for k in map(u"%s".__mod__, merged))
        keys["*"], keys["_"] = [], ["_"] + ["scripts_" + s for s in ("user", "per_boot", "per_once", "per_instance")]
    return keys


def names_of(keys, module):
    return sorted(k for k in keys if module in keys[k])


# check_items reads what the bookkeeping of bootcmd (internal/cloudconfig/bootcmd.go) or runcmd (runcmd.py) has left:
# lines "STATUS NAME" of what failed, and the command that began last, after the number of those after it. It tells
# whether it found something.
def check_items(key, names, status):
    path = "/run/bakery-" + key
    failed = text_of(path + ".failed").splitlines()
    for line in failed:
        finding(names, line.split()[0], line.split(" ", 1)[1], "")
    left, _, name = text_of(path).strip().partition(" ")
    if failed or not left or (left == "0" and not status):
        return failed
    what = "it ended the shell: %s commands of %s after it did not run" % (left, key)
    finding(names, status, name, "" if left == "0" else what)
    return True


# check_result reads result.json, and returns the modules that failed.
def check_result(keys):
    failed, counted = ["bootcmd"], {"bootcmd": "bootcmd", "scripts_user": "runcmd"}
    for error in json.loads(text_of("/run/cloud-init/result.json"))["v1"]["errors"]:
        error = u"%s" % (error,)
        module = plain((re.findall(r"^\('([^']*)'", error) or ["_"])[0])
        code = (re.findall(r"[Ee]xit code: *(\d+)", error) or [1])[0]
        failed.append(module)
        if module in counted and check_items(counted.pop(module), names_of(keys, module), code):
            continue
        names = ["parts"] if re.match(DROPPED, error) else names_of(keys, module)
        finding(names, code, "cloud-init " + (module if module != "_" else "module"), error)
    for key in counted.values():
        check_items(key, [key], 0)
    if "*" in keys and "bootcmd" in keys:
        finding([], 0, "bootcmd", "cloud-init tells only whether its last command failed: begin it with set -e")
    return failed


# read_log returns the log from a byte on, or from the beginning of the boot that wrote that byte.
def read_log(size, of_boot):
    if not os.path.exists(LOG):
        return u""
    with io.open(LOG, "rb") as f:
        f.seek(max(0, size - (1 << 20)))
        size -= f.tell()
        log = f.read(8 << 20)
    begin = log.rfind(b" running 'init-local'", 0, size) if of_boot else -1
    return log[begin if begin >= 0 else size :].decode("utf-8", "replace")


# check_log finds warnings about the user data. skip are the modules that are known to have failed.
def check_log(keys, log, skip):
    seen, module, part = [], None, None
    for source, level, text in re.findall(r"(?m)^[-\d]+ [\d:,]+ - ([^ []+)\[(\w+)\]: (.*)", log):
        event = re.match(r"(start|finish): \S+/consume-user-data:|finish: \S+/config-|Running module (\S+) \(<", text)
        if event:
            module = event.group(2) and plain(event.group(2))
            part = "" if event.group(1) == "start" else None
        called = re.match(r"Calling handler .*? \(([^ ,]+), (.*), \d+\) with", text)
        if called and part is not None:
            part = " " + called.group(2)
        exists = re.match(r"User (\S+) already exists, skip", text)
        name = exists and r"\bname\W+%s\b" % re.escape(exists.group(1))
        if name and "users" in keys and re.search(name, text_of(CONFIG) + text_of(STAGED)):
            finding([], 0, "cloud-init users", text + " its groups, shell, home and names: it has those of the base image")
        # WARNING, ERROR, CRITICAL
        if level[0] not in "WEC" or text in seen or re.search(HARMLESS, text):
            continue
        if not module and (part is not None or source == "user_data.py") or re.match(DROPPED, text):
            names = ["boothooks" if text[:1] == "B" else "parts"]
            name = "user data part" + (part or "")
        elif module and module not in skip and module in sum(keys.values(), []):
            names, name = names_of(keys, module), "cloud-init " + module
        else:
            continue
        seen.append(text)
        # What was raised is in the log only. Each search reads all of it.
        raised = re.findall(r": %s\nT.*\n(?: .*\n)*(.*)" % re.escape(text), log if len(seen) < 9 else "")
        finding(names, 1, name, ": ".join([text] + raised[:1]))


if __name__ == "__main__":
    keys = read_keys(sys.argv[1])
    if os.path.exists(sys.path[0] + "/cloud_keys.py"):
        from cloud_keys import Modules

        Modules(CONFIG).check(keys, (CONFIG, STAGED))
    skip = check_result(keys)
    check_log(keys, read_log(int(sys.argv[2]), True), skip)
