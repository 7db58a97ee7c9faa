# Sends the lines that the steps print to Packer while they run. For Python 2.7 and 3.
#
#   log_stream.py console           prints them on every console, a few kilobytes a second
#   log_stream.py s3                uploads the last of them to the URL of the log; uses the console when that fails
#   log_stream.py tail FILE OFFSET  prints on every console the last 40 lines of a file, from an offset on
#
# On the console, the lines are compressed and encrypted: they may contain secrets, and more people may read the console
# than the user data, which contains the key. Every line has a number, so that the reader knows which lines are new and
# which are missing. internal/guest/lines.go reads them. A line that ends in "# with staging" is left out without it.
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
CONSOLES = os.environ["BAKERY_CONSOLES"].split()
DIR = os.environ.get("BAKERY_DIR", "/var/lib/bakery")
RUN = os.environ.get("BAKERY_RUN", "/run/bakery")
OUTPUT = os.environ.get("BAKERY_OUTPUT", "/var/log/cloud-init-output.log")
# PIECE: characters per line on the console, so that a line is as short as a report. CHUNK: bytes of text that are
# compressed together. RATE, BURST: bytes a second on the console, and how many unused ones can be saved up. EC2 keeps
# 64 KB of the console, and Packer reads it every 5 s. WINDOW: bytes of each file in S3. MAX_LINE: bytes of a line. A
# longer one is left out, because a secret must not be cut: its parts would not be redacted.
PIECE, CHUNK, RATE, BURST, MAX_LINE = 180, 9000, 4000, 8000, 2000
WINDOW = 262144  # with staging

ended = []


def encrypt(text):
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


# write_console prints lines on every console. What one does not take at once is missing there, as on /dev/console, which
# the kernel never lets block.
def write_console(lines):
    for path in CONSOLES:
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK), "wb", 0) as console:
                for line in lines:
                    console.write(line)
        except EnvironmentError:
            pass


# shorten returns a line as it looks at its end when it was overwritten, or the length of one that is too long.
def shorten(line):
    line = line.rstrip(b"\r").split(b"\r")[-1]
    return line if len(line) <= MAX_LINE else ("\x1e%d" % len(line)).encode()


# trim returns the last whole lines of a text, up to limit bytes, and the number of the first of them.
def trim(text, first, limit):
    if len(text) <= limit:
        return text, first
    cut = text.find(b"\n", len(text) - limit) + 1 or len(text)
    return text[cut:], first + text.count(b"\n", 0, cut)


# Source reads new whole lines from a file that grows.
class Source:
    def __init__(self, number, path):
        self.number, self.path, self.at, self.line, self.in_long_line = number, path, 0, 1, False
        self.window, self.first = b"", 1  # with staging

    # read_new returns the last new lines, up to limit bytes, and the number of the first of them.
    def read_new(self, limit):
        new, first = b"", self.line
        try:
            with open(self.path, "rb") as f:
                while True:
                    f.seek(self.at)
                    data = f.read(65536)
                    end = data.rfind(b"\n") + 1
                    # No part of a line as long as this is sent.
                    if not end and len(data) == 65536:
                        self.at, self.in_long_line = self.at + 65536, True
                        continue
                    if not end:
                        break
                    self.at += end
                    data = data[:end]
                    if self.in_long_line:
                        data, self.in_long_line = b"\x1e0" + data[data.find(b"\n"):], False
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
        self.budget, self.resend = BURST, []

    def send(self, source):
        self.budget = min(BURST, self.budget + RATE)
        if self.budget < 0 and not ended:
            return
        since = source.line
        first, text = source.read_new(CHUNK)
        if text:
            lines = encrypt(source.header(since, first) + b"\n".join(shorten(l) for l in text.split(b"\n")))
            self.resend = self.resend[-3:] + [lines]
        elif self.resend and self.budget > BURST / 2:
            # Send it again: the kernel may have printed into it.
            lines = self.resend.pop(0)
        else:
            return
        self.budget -= sum(len(l) for l in lines)
        write_console(lines)


# reports returns the reports so far, which come before everything that a step has printed.
def reports():
    try:
        with open(DIR + "/reports", "rb") as f:
            lines = f.read().rpartition(b"\n")[0]
    except (IOError, OSError):
        return b""
    return ("@bakery-reports %s %d\n" % (ID, lines.count(b"\n") + 1)).encode() + lines + b"\n"


class S3:
    pause = 2
    failed = 0

    def __init__(self):
        self.objects = {}

    def send(self, source):
        first, text = source.read_new(WINDOW)
        if not text and not self.failed:
            return
        if first == source.first + source.window.count(b"\n"):
            first, text = source.first, source.window + text
        source.window, source.first = trim(text, first, WINDOW)
        self.objects[source.number] = source.header(1, source.first) + source.window
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb") as f:
            f.write(reports())
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


def all_sources():
    return [Source(0, OUTPUT), Source(1, DIR + "/log")]


def stream(way):
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    sender = Console()
    if way == "s3": sender = S3()  # with staging
    sources = all_sources()
    while True:
        last = bool(ended)
        # When the steps have begun, cloud-init prints nothing more.
        begun = os.path.exists(RUN + "/pid")
        sender.send(sources[0])
        if begun and len(sources) > 1:
            sources.pop(0)
            sender.send(sources[0])
        if last:
            return
        if sender.pause == 2 and sender.failed >= 3: sender, sources = Console(), all_sources()  # with staging
        for _ in range(sender.pause * 10):
            if not ended:
                time.sleep(0.1)


def tail(path, offset):
    with open(path, "rb") as f:
        f.seek(max(int(offset), os.path.getsize(path) - 65536))
        cut = f.tell() > int(offset)
        # No part of a line that is cut here is sent.
        lines = [shorten(l) for l in f.read().replace(b"\0", b"").split(b"\n")[cut:]]
    lines = [l for l in lines if l and not l.startswith(b"@bakery-at ")][-40:]
    text, _ = trim(b"\n".join(lines) + b"\n", 1, CHUNK)
    write_console(2 * encrypt(("@bakery-lines %s 2 1 1\n" % ID).encode() + text))


if sys.argv[1] == "tail":
    tail(*sys.argv[2:])
else:
    stream(sys.argv[1])
