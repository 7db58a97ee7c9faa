#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# fips.sh - makes Python refuse MD5, as OpenSSL of a FIPS image does: hashlib.md5() raises, and usedforsecurity=False
# allows it.
set -eu

cat >/usr/lib/python3/dist-packages/fips.py <<'END'
import _hashlib
import hashlib


def refusing(make):
    def md5(data=b"", *, usedforsecurity=True):
        if usedforsecurity:
            raise ValueError("[digital envelope routines] unsupported")
        return make(data, usedforsecurity=False)

    return md5


def new(name, data=b"", **options):
    if str(name).lower() == "md5":
        return hashlib.md5(data, **options)
    return allowed(name, data, **options)


allowed = hashlib.new
hashlib.md5, hashlib.new = refusing(hashlib.md5), new
_hashlib.openssl_md5 = refusing(_hashlib.openssl_md5)
END
# Python imports it at its start, whatever it runs.
echo 'import fips' >/usr/lib/python3/dist-packages/fips.pth
python3 - <<'END'
import hashlib

hashlib.md5(b"", usedforsecurity=False), hashlib.new("md5", usedforsecurity=False), hashlib.sha256(b"")
for refused in lambda: hashlib.md5(b""), lambda: hashlib.new("md5", b""):
    try:
        refused()
    except ValueError:
        continue
    raise SystemExit("MD5 is allowed")
END
