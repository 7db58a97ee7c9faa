#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# al2.sh - makes the image like Amazon Linux 2: bash as sh, no wget, the user ec2-user, and Python 2.7 for cloud-init.
#
# No Debian release has a cloud-init for Python 2.7, nor PyYAML. So cloud-init is Debian's and run by Python 3, started
# by a script for Python 2.7. What the modules yaml and cloudinit of Python 2.7 answer, they ask Python 3.
set -eu

ln -sf bash /bin/sh
cat >/etc/cloud/cloud.cfg.d/91_al2.cfg <<'END'
system_info:
  default_user: {name: ec2-user, gecos: EC2 Default User}
END

mv /usr/bin/cloud-init /usr/lib/cloud-init/cloud-init
cat >/usr/bin/cloud-init <<'END'
#!/usr/bin/python2.7
import os, sys
os.execv("/usr/bin/python3", ["python3", "/usr/lib/cloud-init/cloud-init"] + sys.argv[1:])
END
chmod 755 /usr/bin/cloud-init

modules=/usr/local/lib/python2.7/dist-packages
mkdir -p "$modules/cloudinit/config"
cat >"$modules/cloudinit/__init__.py" <<'END'
import json
import subprocess


# CODE answers with what JSON has: YAML also has bytes and dates.
CODE = """import json, sys
%s
def as_text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
json.dump(answer(*json.load(sys.stdin)), sys.stdout, default=as_text)
"""


# ask runs a function named answer in Python 3, and returns what it returns.
def ask(function, *args):
    code = CODE % function
    process = subprocess.Popen(["python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
    answer = process.communicate(json.dumps(args))[0]
    if process.returncode:
        raise ValueError("Python 3 failed")
    return json.loads(answer)
END
cat >"$modules/yaml.py" <<'END'
from cloudinit import ask


def safe_load(stream):
    text = stream.read() if hasattr(stream, "read") else stream
    return ask("import yaml\ndef answer(text): return yaml.safe_load(text)", text)
END
cat >"$modules/cloudinit/util.py" <<'END'
from cloudinit import ask


def read_conf_with_confd(path):
    return ask("from cloudinit import util\ndef answer(path): return util.read_conf_with_confd(path)", path)


def shellify(items):
    return ask("from cloudinit import util\ndef answer(items): return util.shellify(items)", items)


def write_file(path, content, mode):
    ask("from cloudinit import util\ndef answer(*args): util.write_file(*args)", path, content, mode)
END
cat >"$modules/cloudinit/stages.py" <<'END'
from cloudinit import ask, distros

__file__ = "/usr/lib/python3/dist-packages/cloudinit/stages.py"
READ = """from cloudinit import stages
def answer(files):
    init = stages.Init(ds_deps=[])
    init.read_cfg(files)
    return init.cfg, init.distro.name
"""


class Init(object):
    def __init__(self, ds_deps):
        pass

    def read_cfg(self, files):
        self.cfg, name = ask(READ, files)
        self.distro = distros.Distro(name)
END
cat >"$modules/cloudinit/distros.py" <<'END'
from cloudinit import ask


class Distro(object):
    def __init__(self, name):
        self.name = name

    @staticmethod
    def expand_osfamily(families):
        expand = "from cloudinit import distros\ndef answer(names): return distros.Distro.expand_osfamily(names)"
        return ask(expand, families)
END
: >"$modules/cloudinit/config/__init__.py"
python3 - "$modules/cloudinit/config" <<'END'
import glob, importlib, os, sys

for path in glob.glob("/usr/lib/python3/dist-packages/cloudinit/config/cc_*.py"):
    name = os.path.basename(path)[: -len(".py")]
    module = importlib.import_module("cloudinit.config." + name)
    with open("%s/%s.py" % (sys.argv[1], name), "w") as f:
        for field in "distros", "osfamilies":
            f.write("%s = %r\n" % (field, getattr(module, field, None)))
END
python2.7 - <<'END'
import yaml
from cloudinit import stages, util
from cloudinit.config import cc_runcmd

init = stages.Init(ds_deps=[])
init.read_cfg([])
assert init.distro.name == "debian" and "runcmd" in str(init.cfg["cloud_config_modules"])
assert cc_runcmd.distros == ["all"] and yaml.safe_load(u"a: [\xe9]") == {"a": [u"\xe9"]}
assert util.read_conf_with_confd("/etc/cloud/cloud.cfg")["system_info"]["default_user"]["name"] == "ec2-user"
END
if command -v wget; then exit 1; fi
