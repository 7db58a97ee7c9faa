# Puts the values of this machine into a recorded operation, in place of the texts that stand for them:
# facts.py INTERFACE BLOBS OPERATION
#
# build.ID is the id of the instance. build.Host is the address that amazon-ebs would connect to, by its setting
# ssh_interface. The first line of the operation names the blobs in which there are such texts. For Python 2.7 and 3.
import os
import re
import sys
import time

try:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen
except ImportError:
    from urllib2 import HTTPError, Request, urlopen

IMDS = "http://169.254.169.254/latest/"
FACT = re.compile(b"ERR_(ID|HOST)_NOT_IMPLEMENTED_BY_BUILDER")
HOSTS = {
    "": ["public-ipv4", "local-ipv4"],
    "public_ip": ["public-ipv4"],
    "private_ip": ["local-ipv4"],
    "public_dns": ["public-hostname"],
    "private_dns": ["local-hostname"],
    "ipv6": ["ipv6"],
}


def request(path, headers, method="GET"):
    r = Request(IMDS + path, headers=headers)
    r.get_method = lambda: method
    return urlopen(r, timeout=10).read()


# metadata returns a value of the metadata service, or nothing when this machine has none.
def metadata(name):
    for pause in 1, 2, 4, 0:
        try:
            token = request("api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
            return request("meta-data/" + name, {"X-aws-ec2-metadata-token": token.decode()})
        except HTTPError as e:
            if e.code == 404:
                return b""
            error = e
        except Exception as e:
            error = e
        time.sleep(pause)
    sys.exit("the metadata service does not tell %s: %s" % (name, error))


def value(fact, interface):
    names = ["instance-id"] if fact == b"ID" else HOSTS.get(interface, HOSTS[""])
    for found in (metadata(n).strip() for n in names):
        if re.match(br"[\w.:-]+\Z", found):
            return found
    sys.exit(
        "build.Host has no value: the machine has no %s, which ssh_interface = \"%s\" asks for; leave ssh_interface out"
        % (names[0], interface)
    )


# rewrite changes a file where it is, so that nothing of it is left in free blocks.
def rewrite(path, content):
    with open(path, "r+b") as f:
        rest = os.path.getsize(path) - len(content)
        f.write(content + b"\0" * rest)
        f.flush()
        os.fsync(f.fileno())
        f.truncate(len(content))


def main(interface, blobs, operation):
    known = {}

    def fill(path, skipped):
        with open(path, "rb") as f:
            text = f.read()[skipped:]
        for fact in set(FACT.findall(text)) - set(known):
            known[fact] = value(fact, interface)
        rewrite(path, FACT.sub(lambda m: known[m.group(1)], text))

    with open(operation, "rb") as f:
        first = f.readline()
    for blob in first.decode().split()[2:]:
        fill(os.path.join(blobs, blob), 0)
    fill(operation, len(first))


if __name__ == "__main__":
    main(*sys.argv[1:])
