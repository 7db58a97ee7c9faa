# Tells Packer what the steps print, while they do. For Python 2.7 and 3.
#
#   tell.py console           prints it on the console, a few kilobytes a second
#   tell.py s3                puts the end of it where the log will be; goes over to the console when that does not work
#   tell.py tail FILE OFFSET  prints the last 40 lines of a file from an offset on the console
#
# On the console it is compressed and encrypted: secrets may be among it, and more people may read the console than the
# user data, which holds the key. The numbers of the lines make them unique: who reads them knows what is new, and what
# is missing. internal/guest/lines.go reads it back.
import base64
import binascii
import gzip
import hashlib
import hmac
import io
import os
import signal
import struct
import sys
import time
import zlib

try:
    from urllib.request import Request, urlopen
except ImportError:
    from urllib2 import Request, urlopen

ID = os.environ["BAKERY_ID"]
KEY = binascii.unhexlify(os.environ["BAKERY_KEY"])
CONSOLE = os.environ.get("BAKERY_CONSOLE", "/dev/console")
DIR = os.environ.get("BAKERY_DIR", "/var/lib/bakery")
RUN = os.environ.get("BAKERY_RUN", "/run/bakery")
OUTPUT = os.environ.get("BAKERY_OUTPUT", "/var/log/cloud-init-output.log")
# PIECE: characters of a line on the console, which is as short as a report then. CHUNK: bytes of text that are compressed
# together. RATE: bytes a second on the console, of which MOST can be saved up: EC2 keeps 64 KB, and is asked every 5 s.
# WINDOW: bytes of each file in S3. LONGEST: bytes of a line; a longer one is left out, because a secret must not be cut.
PIECE, CHUNK, RATE, MOST, WINDOW, LONGEST = 180, 9000, 4000, 8000, 262144, 2000

ended = []


def seal(text):
    nonce = os.urandom(8)
    data = bytearray(zlib.compress(text, 9))
    for n in range(0, len(data), 32):
        pad = bytearray(hmac.new(KEY, nonce + struct.pack(">I", n // 32), hashlib.sha256).digest())
        for i in range(min(32, len(data) - n)):
            data[n + i] ^= pad[i]
    code = base64.b64encode(bytes(data)).decode()
    pieces = [code[i:i + PIECE] for i in range(0, len(code), PIECE)]
    lines = []
    for i, piece in enumerate(pieces):
        body = "%s %s %d %d %s" % (ID, binascii.hexlify(nonce).decode(), i, len(pieces), piece)
        lines.append("\r\n@bakery-log %d %s.\r\n" % (zlib.crc32(body.encode()) & 0xffffffff, body))
    return [line.encode() for line in lines]


def say(lines):
    console = os.open(CONSOLE, os.O_WRONLY | os.O_NOCTTY | os.O_APPEND)
    for line in lines:
        os.write(console, line)
    os.close(console)


def short(line):
    line = line.rstrip(b"\r").split(b"\r")[-1]
    return line if len(line) <= LONGEST else ("\x1e%d" % len(line)).encode()


# trim returns the last whole lines of a text that are not longer than the limit, and the number of the first of them.
def trim(text, first, limit):
    if len(text) <= limit:
        return text, first
    cut = text.find(b"\n", len(text) - limit) + 1 or len(text)
    return text[cut:], first + text.count(b"\n", 0, cut)


# Source gives the lines of a file that grows: the last of those that are new, without what has no end yet.
class Source:
    def __init__(self, number, path):
        self.number, self.path, self.at, self.line, self.torn = number, path, 0, 1, False
        self.window, self.first = b"", 1

    def take(self, limit):
        new, first = b"", self.line
        try:
            with open(self.path, "rb") as f:
                while True:
                    f.seek(self.at)
                    data = f.read(65536)
                    end = data.rfind(b"\n") + 1
                    # Of a line as long as this, no piece is told.
                    if not end and len(data) == 65536:
                        self.at, self.torn = self.at + 65536, True
                        continue
                    if not end:
                        break
                    self.at += end
                    data = data[:end]
                    if self.torn:
                        data, self.torn = b"\x1e0" + data[data.find(b"\n"):], False
                    new, first = trim(new + data, first, limit)
        except (IOError, OSError):
            pass
        self.line = first + new.count(b"\n")
        return first, new

    def header(self, since, first):
        return ("@bakery-lines %s %d %d %d\n" % (ID, self.number, since, first)).encode()


class Console:
    pause = 1

    def __init__(self):
        self.budget, self.again = MOST, []

    def tell(self, source):
        self.budget = min(MOST, self.budget + RATE)
        if self.budget < 0 and not ended:
            return
        since = source.line
        first, text = source.take(CHUNK)
        if text:
            lines = seal(source.header(since, first) + b"\n".join(short(l) for l in text.split(b"\n")))
            self.again = self.again[-3:] + [lines]
        elif self.again and self.budget > MOST / 2:
            # Once more, as the kernel may have printed into it.
            lines = self.again.pop(0)
        else:
            return
        self.budget -= sum(len(l) for l in lines)
        say(lines)


class Store:
    pause = 2
    failed = 0

    def __init__(self):
        self.objects = {}

    def tell(self, source):
        first, text = source.take(WINDOW)
        if not text and not self.failed:
            return
        if first == source.first + source.window.count(b"\n"):
            first, text = source.first, source.window + text
        source.window, source.first = trim(text, first, WINDOW)
        self.objects[source.number] = source.header(1, source.first) + source.window
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb") as f:
            f.write(b"".join(self.objects[n] for n in sorted(self.objects)))
        request = Request(os.environ["BAKERY_LOG_URL"], packed.getvalue(), {"Content-Type": ""})
        for header in os.environ.get("BAKERY_LOG_HEADERS", "").splitlines():
            request.add_header(*header.split(": ", 1))
        request.get_method = lambda: "PUT"
        try:
            urlopen(request, timeout=10).close()
            self.failed = 0
        except Exception:
            self.failed += 1


def every():
    return [Source(0, OUTPUT), Source(1, DIR + "/log")]


def live(way):
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    teller = Store() if way == "s3" else Console()
    sources = every()
    while True:
        last = bool(ended)
        # From then on, cloud-init prints nothing more.
        begun = os.path.exists(RUN + "/pid")
        teller.tell(sources[0])
        if begun and len(sources) > 1:
            sources.pop(0)
            teller.tell(sources[0])
        if last:
            return
        if teller.pause == 2 and teller.failed >= 3:
            teller, sources = Console(), every()
        for _ in range(teller.pause * 10):
            if not ended:
                time.sleep(0.1)


def tail(path, offset):
    with open(path, "rb") as f:
        f.seek(max(int(offset), os.path.getsize(path) - 65536))
        cut = f.tell() > int(offset)
        # Of a line that is cut here, nothing is told.
        lines = [short(l) for l in f.read().replace(b"\0", b"").split(b"\n")[cut:]]
    lines = [l for l in lines if l and not l.startswith(b"@bakery ")][-40:]
    text, _ = trim(b"\n".join(lines) + b"\n", 1, CHUNK)
    say(2 * seal(("@bakery-lines %s 2 1 1\n" % ID).encode() + text))


if sys.argv[1] == "tail":
    tail(*sys.argv[2:])
else:
    live(sys.argv[1])
