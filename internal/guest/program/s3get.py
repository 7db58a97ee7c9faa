# Downloads the object whose unsigned URL is on standard input, with a request signed by the credentials of the instance
# profile, and prints it. For Python 2.7 and 3.
# Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html (Signature Version 4).
import datetime
import hashlib
import hmac
import json
import os
import re
import shutil
import sys

try:
    from urllib.request import Request, urlopen
    from urllib.parse import urlsplit
except ImportError:
    from urllib2 import Request, urlopen
    from urlparse import urlsplit

IMDS = "http://169.254.169.254/latest/"


def request(url, headers, method="GET"):
    r = Request(url, headers=headers)
    r.get_method = lambda: method
    return urlopen(r, timeout=60)


def metadata(path, headers):
    return request(IMDS + path, headers).read().decode()


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def main():
    url, region = sys.stdin.readline().strip(), os.environ["BAKERY_REGION"]
    try:
        token = request(IMDS + "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "300"}, "PUT").read().decode()
        imds = {"X-aws-ec2-metadata-token": token}
    except Exception:
        imds = {}
    roles = "meta-data/iam/security-credentials/"
    role = json.loads(metadata(roles + metadata(roles, imds).split()[0], imds))
    now = datetime.datetime.utcnow().strftime("%Y%m%dT%H%M%SZ")
    parts = urlsplit(url)
    scope = "/".join((now[:8], region, "s3", "aws4_request"))
    headers = {"host": parts.netloc, "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": now}
    if role.get("Token"):
        headers["x-amz-security-token"] = role["Token"]
    names = ";".join(sorted(headers))
    lines = [n + ":" + headers[n] for n in sorted(headers)]
    canonical = ["GET", parts.path, ""] + lines + ["", names, "UNSIGNED-PAYLOAD"]
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    key = ("AWS4" + role["SecretAccessKey"]).encode()
    for word in scope.split("/"):
        key = sign(key, word)
    signature = hmac.new(key, "\n".join(("AWS4-HMAC-SHA256", now, scope, digest)).encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        role["AccessKeyId"], scope, names, signature)
    del headers["host"]
    shutil.copyfileobj(request(url, headers), getattr(sys.stdout, "buffer", sys.stdout), 1 << 20)


try:
    main()
except Exception as e:
    sys.exit("fetching with the instance profile failed: " + re.sub(r"https?://\S+", "<url>", str(e)))
