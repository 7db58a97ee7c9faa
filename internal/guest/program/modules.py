# Prints the modules of cloud-init that a cloud-config needs, one a line, in the order and spelling of this machine's
# own lists; and "- KEY" for a key that none of these modules reads.
#
#   modules.py CLOUD-CONFIG KEYS      KEYS is a file of lines "KEY MODULE..."
#
# Python 2 too: Amazon Linux 2 runs cloud-init with it.
import sys

from cloudinit import stages

init = stages.Init(ds_deps=[])
init.read_cfg([sys.argv[1]])

names = {}
order = []
for section in ("cloud_init_modules", "cloud_config_modules", "cloud_final_modules"):
    for entry in init.cfg.get(section) or []:
        if isinstance(entry, dict):
            entry = entry.get("name") or entry.get("mod")
        elif isinstance(entry, (list, tuple)):
            entry = entry[0]
        plain = str(entry).replace("-", "_")
        if plain not in names:
            names[plain] = str(entry)
            order.append(plain)

wanted = set()
for line in open(sys.argv[2]):
    words = line.split()
    found = [m for m in words[1:] if m in names]
    wanted.update(found)
    if len(words) > 1 and not found:
        print("- " + words[0])

for plain in order:
    if plain in wanted:
        print(names[plain])
