"""Credentials of the comparison: tokens of a program, and the session of a user who signs in as a browser does."""

import base64
import http.client
import http.cookiejar
import json
import re
import urllib.parse
import urllib.request

from machine import Failed


class Provider:
    """The OpenID provider, `dev-issuer`."""

    def __init__(self, port):
        self.port = port
        self.issuer = f"http://127.0.0.1:{port}/realms/dev"

    def tokens(self, count):
        """As many access tokens of the program `gateway`, each another."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        form = urllib.parse.urlencode(
            {"grant_type": "client_credentials", "client_id": "gateway", "client_secret": "secret"}
        )
        path = urllib.parse.urlsplit(self.issuer).path + "/protocol/openid-connect/token"
        for _ in range(count):
            connection.request("POST", path, form, {"Content-Type": "application/x-www-form-urlencoded"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise Failed(f"the provider answered {answer.status} to a token request")
            yield json.loads(body)["access_token"]
        connection.close()

    def key_set(self):
        with urllib.request.urlopen(f"{self.issuer}/protocol/openid-connect/certs", timeout=20) as answer:
            return answer.read().decode()

    def public_key(self):
        """The key of the tokens, RS256, as PEM."""
        keys = json.loads(self.key_set())["keys"]
        key = next(key for key in keys if key["kty"] == "RSA" and key.get("use", "sig") == "sig")
        return rsa_pem(*(decoded(key[name]) for name in ("n", "e")))


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def der(tag, *parts):
    """An element of DER: tag, length, content."""
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def rsa_pem(modulus, exponent):
    """A SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) of an RSA key."""
    numbers = [der(0x02, b"\0" + number if number[0] & 0x80 else number) for number in (modulus, exponent)]
    algorithm = der(0x30, bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("0500"))
    info = der(0x30, algorithm, der(0x03, b"\0", der(0x30, *numbers)))
    lines = re.findall(".{1,64}", base64.b64encode(info).decode())
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def sign_in(base, path, cookies="doorward"):
    """The `Cookie` header of alice's session; `cookies` is how the names of the session's cookies begin."""
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    with browser.open(urllib.request.Request(base + path, headers={"Accept": "text/html"}), timeout=20) as page:
        text, address = page.read().decode(), page.url
    form = re.search(r'<form[^>]*action="([^"]*)"', text)
    if not form:
        raise Failed(f"{base} led to a page without a sign-in form")
    fields = dict(re.findall(r'<input[^>]*name="(csrf|[a-z_]*)"[^>]*value="([^"]*)"', text))
    fields.update(username="alice", password="alice")
    target = urllib.parse.urljoin(address, form.group(1).replace("&amp;", "&"))
    browser.open(target, urllib.parse.urlencode(fields).encode(), timeout=20).close()
    found = [f"{cookie.name}={cookie.value}" for cookie in jar if cookie.name.startswith(cookies)]
    if not found:
        raise Failed(f"{base} set no session cookie at the end of a sign-in")
    return "; ".join(found)
