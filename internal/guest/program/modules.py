# For the live mode: what cloud_init.py prints, before and after cloud-init runs its modules one by one.
#
#   modules.py KEYS CONFIG FILE     what nothing on this machine reads, and to FILE the modules that CONFIG needs, one a
#                                   line with its keys, in the order and spelling of this machine's own lists
#   modules.py KEYS FROM STATUS     what bootcmd left, which ended with this status, and what the modules logged from
#                                   that byte of the log on
import io
import sys

from cloud_init import check_items, check_log, names_of, read_keys, read_log
from cloud_keys import Modules

keys = read_keys(sys.argv[1])
if not sys.argv[2].isdigit():
    modules = Modules(sys.argv[2])
    modules.check(keys, sys.argv[2:3])
    with io.open(sys.argv[3], "w") as f:
        for module in modules.order:
            names = names_of(keys, module)
            if names:
                f.write(u" ".join([modules.listed[module]] + names) + u"\n")
else:
    check_items("bootcmd", ["bootcmd"], int(sys.argv[3]))
    check_log(keys, read_log(int(sys.argv[2]), False), ["bootcmd"])
