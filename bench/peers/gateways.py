"""The gateway under comparison: in line, with TLS, and behind nginx. It writes its audit line for every request."""

import secrets

import machine
from peers import CHECKED, INLINE, TLS, asking_nginx
from subject import Subject

RULES = "access: [ { allow: [ { roles: [data-scientist] }, { clients: [gateway] } ] } ]"
ANYONE = "access: [ { allow: anyone } ]"


def configuration(s, name, port, more="", public=None):
    """A configuration with the same routes for every instance; its path. `public` is the address that clients use."""
    own = s.folder / name
    own.mkdir()
    (own / "secret").write_text("secret")
    (own / "key").write_text(secrets.token_hex(32))
    routes = "\n".join(
        f'  {area}-{label}: {{ match: {{ path: {path} }}, upstream: "{upstream}", {rule} }}'
        for area, rule in (("open", ANYONE), ("closed", RULES))
        for label, path, upstream in (
            ("app", f"/{area}", f"http://127.0.0.1:{s.upstream}"),
            ("upload", f"/{area}/upload", f"http://127.0.0.1:{s.sink}"),
            ("ws", f"/{area}/ws", f"http://127.0.0.1:{s.echo}"),
            ("calls", f"/{area}.Echo", f"h2c://127.0.0.1:{s.grpc}"),
        )
    )
    path = own / "doorward.yaml"
    path.write_text(f"""
listen: 127.0.0.1:{port}
public_url: {public or f"http://127.0.0.1:{port}"}
admin: 127.0.0.1:{machine.free_port()}
{more}
issuers:
  main:
    url: {s.provider.issuer}
    client_id: gateway
    client_auth: {{ secret: {{ file: {own}/secret }} }}
    audience: [gateway]
session:
  store: {{ embedded: {{ path: {own}/sessions.redb }} }}
  key: {{ file: {own}/key }}
routes:
{routes}
""")
    return path


def start(s, name, conf, port):
    return s.ready(name, [s.doorward, "serve", "--config", conf], port)


def doorward(s):
    """Doorward as it is configured by default, with one worker because it may use one core."""
    port, tls, front, asked = (machine.free_port() for _ in range(4))
    process = start(s, "doorward", configuration(s, "doorward", port), port)
    session = ("/closed/small", "doorward")
    yield Subject("Doorward, public route", "doorward", port, [process], cases=INLINE)
    yield Subject("Doorward, session cookie", "doorward-cookie", port, [process], "/closed", "cookie", session)
    yield Subject("Doorward, bearer token", "doorward-bearer", port, [process], "/closed", "bearer", cases=INLINE | CHECKED)

    more = f"tls: {{ certificate: {s.certificate}, key: {s.key} }}"
    process = start(s, "doorward-tls", configuration(s, "doorward-tls", tls, more, f"https://127.0.0.1:{tls}"), tls)
    yield Subject("Doorward, public route", "doorward-tls", tls, [process], cases=TLS | {"handshake-hybrid"}, tls_port=tls)
    calls = {"http2", "grpc"}
    yield Subject(
        "Doorward, bearer token", "doorward-tls-bearer", tls, [process], "/closed", "bearer", cases=calls, tls_port=tls
    )

    more = "trusted_proxies: [127.0.0.1/32]"
    conf = configuration(s, "doorward-asked", asked, more, f"http://127.0.0.1:{front}")
    process = start(s, "doorward-asked", conf, asked)
    asking = s.ready("nginx-doorward", s.nginx("nginx-doorward", asking_nginx(s, front, asked)), front)
    yield Subject(
        "nginx asks Doorward, session cookie", "nginx-doorward", front, [asking, process], "/closed", "cookie", session,
        cases={"get", "forward-auth"},
    )  # fmt: skip
    yield Subject(
        "nginx asks Doorward, bearer token", "nginx-doorward-bearer", front, [asking, process], "/closed", "bearer",
        cases={"forward-auth"},
    )  # fmt: skip
