# Tells which keys of a cloud-config have no effect on this machine. It is left out when there are none.
import glob, os

from cloud_init import finding, plain, text_of


IGNORED, OLD = "cloud-init ignored the key: ", "this version does not know it"

# Keys that became more from version to version, with the files that read what is below them.
NESTED = {
    "users": "distros/* config/cc_users_groups config/cc_ssh_import_id",
    "write_files": "config/cc_write_files*",
    "chpasswd": "config/cc_set_passwords",
    "ntp": "config/cc_ntp",
}


# Modules are those of this machine, by their plain names: in listed as its lists write them, in order.
class Modules:
    def __init__(self, config):
        from cloudinit import stages

        init = stages.Init(ds_deps=[])
        init.read_cfg([config] if os.path.exists(config) else [])
        self.cfg, self.distro, self.listed, self.order = init.cfg, init.distro.name, {}, []
        for section in "init", "config", "final":
            for entry in self.cfg.get("cloud_%s_modules" % section) or []:
                if isinstance(entry, dict):
                    entry = entry.get("name")
                elif isinstance(entry, list):
                    entry = entry[0]
                if plain(entry) not in self.listed:
                    self.listed[plain(entry)] = str(entry)
                    self.order.append(plain(entry))
        self.dir = os.path.dirname(stages.__file__)
        paths = [glob.glob("%s/%s.py" % (self.dir, f)) for f in ("config/*", "distros/*", "util", "stages")]
        self.source = "".join(map(text_of, sum(paths, [])))

    def has(self, module):
        return glob.glob("%s/config/cc_%s.py*" % (self.dir, module))

    # check_nested finds keys below one of the user's that nothing in its module mentions: this version is older.
    def check_nested(self, paths):
        import yaml

        config = {}
        for path in paths:
            config.update(yaml.safe_load(text_of(path)) or {})
        for key, files in NESTED.items():
            paths = [glob.glob("%s/%s.py" % (self.dir, f)) for f in files.split()]
            source = "".join(map(text_of, sum(paths, []))).replace('"', "'")
            items = config.get(key)
            for item in items if isinstance(items, list) else [items] * (key != "users"):
                for name in item if source and isinstance(item, dict) else ():
                    if "'%s'" % str(name).replace("-", "_") not in source:
                        name = "%s.%s" % (key, name)
                        finding([key, "unknown_keys"], 1, "cloud-config " + name, IGNORED + OLD)

    # runs says why a module does not run here, or nothing.
    def runs(self, module):
        if module not in self.listed:
            return "the image's lists of modules do not have " + module
        try:
            m = __import__("cloudinit.config.cc_" + module, fromlist=["handle"])
        except Exception as e:
            if module == "ubuntu_pro":
                return
            return str(e)
        on = (getattr(m, "meta", None) or {}).get("distros") or getattr(m, "distros", None) or []
        if getattr(m, "osfamilies", None):
            from cloudinit import distros

            on = list(on) + distros.Distro.expand_osfamily(m.osfamilies)
        on = on and "all" not in on and self.distro not in on
        if on and self.listed[module] not in self.cfg.get("unverified_modules", []):
            return "its module %s is not for %s" % (module, self.distro)

    # check finds the keys that nothing reads, and those below others in the cloud-configs at paths: the version does not
    # know them, or their module does not run here. Some distributions have keys of their own, in modules of other names.
    # A key that is false or empty asks for nothing.
    def check(self, keys, paths):
        for key in sorted(keys):
            if not keys[key] or key in ("_", "scripts_user") or not self.cfg.get(key, True):
                continue
            known = not self.source or '"%s"' % key in self.source or "'%s'" % key in self.source
            why = None
            if not known:
                why = OLD
            elif keys[key] != [plain(key)] or plain(key) in self.listed or self.has(plain(key)):
                why = self.runs(keys[key][0])
            if why:
                finding([key, "unknown_keys"], 1, "cloud-config " + key, IGNORED + why)
        self.check_nested(paths)
