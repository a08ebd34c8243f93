"""The other proxies, each with the same upstreams and, where it checks, the same provider. Their logs are off."""

import json
import secrets

import machine
import setup
from subject import Subject

TRANSFERS = {"get", "download", "upload"}
INLINE = TRANSFERS | {"websocket"}
CHECKED = {"get", "first-seen"}
TLS = {"handshake-full", "handshake-resumed", "http2", "grpc"}


def bare(s):
    """A proxy on hyper without a single check: what this stack can do at most."""
    for name, upstream, cases in (
        ("bare", s.upstream, {"get", "download", "forward-auth", "first-seen"}),
        ("bare-upload", s.sink, {"upload"}),
    ):
        port = machine.free_port()
        process = s.ready(name, [s.tools, "bare", f"127.0.0.1:{port}", f"127.0.0.1:{upstream}"], port)
        yield Subject("bare hyper proxy, one thread", "bare", port, [process], cases=cases)


def nginx(s):
    """nginx without any check, also with TLS."""
    port, tls = machine.free_port(), machine.free_port()
    http = f"""
upstream app {{ server 127.0.0.1:{s.upstream}; keepalive 256; keepalive_requests 1000000000; }}
upstream sink {{ server 127.0.0.1:{s.sink}; keepalive 256; keepalive_requests 1000000000; }}
upstream calls {{ server 127.0.0.1:{s.grpc}; keepalive 256; keepalive_requests 1000000000; }}
proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off; proxy_max_temp_file_size 0;
server {{
  listen 127.0.0.1:{port}; listen 127.0.0.1:{tls} ssl http2;
  ssl_certificate {s.certificate}; ssl_certificate_key {s.key}; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:1m;
  location / {{ proxy_pass http://app; }}
  location /open/upload {{ proxy_pass http://sink; }}
  location /open/ws {{ proxy_pass http://127.0.0.1:{s.echo}; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}
  location /open.Echo/ {{ grpc_pass grpc://calls; }}
}}"""
    process = s.ready("nginx", s.nginx("nginx", http), port, tls)
    reference = {"forward-auth", "first-seen"}
    yield Subject("nginx, no checks", "nginx", port, [process], cases=INLINE | TLS | reference, tls_port=tls)


def haproxy(s):
    """HAProxy without checks, and with its own check of a JWT, as its manual has it."""
    port, checked, tls = (machine.free_port() for _ in range(3))
    key = s.folder / "issuer.pem"
    key.write_text(s.provider.public_key())
    backends = "\n  ".join(
        f"use_backend {name} if {{ path_{how} {path} }}"
        for name, how, path in (("echo", "end", "/ws"), ("sink", "end", "/upload"), ("calls", "beg", "/open.Echo/"))
    )
    conf = s.folder / "haproxy.cfg"
    conf.write_text(f"""
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  http-reuse always
frontend plain
  bind 127.0.0.1:{port}
  bind 127.0.0.1:{tls} ssl crt {s.folder}/both.pem alpn h2,http/1.1
  {backends}
  default_backend app
frontend checked
  bind 127.0.0.1:{checked}
  http-request set-var(txn.alg) http_auth_bearer,jwt_header_query('$.alg')
  http-request set-var(txn.iss) http_auth_bearer,jwt_payload_query('$.iss')
  http-request set-var(txn.aud) http_auth_bearer,jwt_payload_query('$.aud[0]')
  http-request set-var(txn.exp) http_auth_bearer,jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless {{ var(txn.alg) -m str RS256 }}
  http-request deny deny_status 401 unless {{ var(txn.iss) -m str {s.provider.issuer} }}
  http-request deny deny_status 401 unless {{ var(txn.aud) -m str gateway }}
  http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
  http-request deny deny_status 401 unless {{ http_auth_bearer,jwt_verify(txn.alg,"{key}") -m int 1 }}
  {backends}
  default_backend app
backend app
  server one 127.0.0.1:{s.upstream}
backend echo
  server one 127.0.0.1:{s.echo}
backend sink
  server one 127.0.0.1:{s.sink}
backend calls
  server one 127.0.0.1:{s.grpc} proto h2
""")
    program, environment = s.debian("haproxy")
    process = s.ready("haproxy", [program, "-db", "-f", conf], port, checked, tls, environment=environment)
    yield Subject("HAProxy, no checks", "haproxy", port, [process], cases=INLINE | TLS, tls_port=tls)
    yield Subject(
        "HAProxy, JWT check", "haproxy-jwt", checked, [process], "/closed", "bearer", cases=CHECKED
    )


def envoy(s):
    """Envoy without checks, with `jwt_authn`, and with the cache of `jwt_authn`, which is off by default."""
    plain, checked, cached, tls = (machine.free_port() for _ in range(4))

    def address(port):
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    def typed(name, **fields):
        return {"@type": f"type.googleapis.com/envoy.{name}", **fields}

    def cluster(name, port, http2=False):
        options = {"explicit_http_config": {"http2_protocol_options" if http2 else "http_protocol_options": {}}}
        return {
            "name": name,
            "type": "STATIC",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
                    "extensions.upstreams.http.v3.HttpProtocolOptions", **options
                )
            },
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}],
            },
        }

    def listener(name, port, cache=None, with_tls=False):
        filters = []
        if cache is not None:
            issuer = {
                "issuer": s.provider.issuer,
                "audiences": ["gateway"],
                "forward": True,
                "local_jwks": {"inline_string": s.provider.key_set()},
            }
            if cache:
                issuer["jwt_cache_config"] = {"jwt_cache_size": 1000}
            rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "main"}}
            config = typed("extensions.filters.http.jwt_authn.v3.JwtAuthentication", providers={"main": issuer}, rules=[rule])
            filters.append({"name": "jwt", "typed_config": config})
        filters.append({"name": "router", "typed_config": typed("extensions.filters.http.router.v3.Router")})
        routes = [
            {"match": {"safe_regex": {"regex": ".*/ws"}}, "route": {"cluster": "echo", "timeout": "0s"}},
            {"match": {"safe_regex": {"regex": ".*/upload"}}, "route": {"cluster": "sink"}},
            {"match": {"prefix": "/open.Echo/"}, "route": {"cluster": "calls"}},
            {"match": {"prefix": "/"}, "route": {"cluster": "app"}},
        ]
        manager = typed(
            "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix=name,
            http_filters=filters,
            upgrade_configs=[{"upgrade_type": "websocket"}],
            route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        )
        chain = {"filters": [{"name": "http", "typed_config": manager}]}
        if with_tls:
            files = {"certificate_chain": {"filename": str(s.certificate)}, "private_key": {"filename": str(s.key)}}
            common = {"tls_certificates": [files], "alpn_protocols": ["h2", "http/1.1"]}
            context = typed("extensions.transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context=common)
            chain["transport_socket"] = {"name": "tls", "typed_config": context}
        return {"name": name, "address": address(port), "filter_chains": [chain]}

    conf = s.folder / "envoy.json"
    conf.write_text(
        json.dumps(
            {
                "static_resources": {
                    "listeners": [
                        listener("plain", plain),
                        listener("checked", checked, cache=False),
                        listener("cached", cached, cache=True),
                        listener("tls", tls, with_tls=True),
                    ],
                    "clusters": [
                        cluster("app", s.upstream),
                        cluster("echo", s.echo),
                        cluster("sink", s.sink),
                        cluster("calls", s.grpc, http2=True),
                    ],
                }
            }
        )
    )
    words = [s.fetched("envoy", "envoy"), "-c", conf, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    process = s.ready("envoy", words, plain, checked, cached, tls)
    yield Subject("Envoy, no checks", "envoy", plain, [process], cases=INLINE | TLS, tls_port=tls)
    yield Subject("Envoy, jwt_authn", "envoy-jwt", checked, [process], "/closed", "bearer", cases=CHECKED)
    yield Subject("Envoy, jwt_authn with its cache", "envoy-jwt-cached", cached, [process], "/closed", "bearer", cases=CHECKED)


def oauth2_proxy(s):
    """oauth2-proxy in line, and behind nginx, which asks it about each request."""
    port, front = machine.free_port(), machine.free_port()
    shared = [
        s.fetched("oauth2-proxy", "oauth2-proxy"), "--provider", "oidc", "--oidc-issuer-url", s.provider.issuer,
        "--client-id", "gateway", "--client-secret", "secret", "--cookie-secure=false", "--email-domain", "*",
        "--cookie-secret", secrets.token_hex(16), "--code-challenge-method", "S256", "--skip-provider-button",
        "--skip-jwt-bearer-tokens", "--insecure-oidc-allow-unverified-email", "--oidc-email-claim", "sub",
        "--request-logging=false", "--auth-logging=false", "--standard-logging=false",
    ]  # fmt: skip
    upstreams = [
        "--upstream", f"http://127.0.0.1:{s.upstream}/",
        "--upstream", f"http://127.0.0.1:{s.sink}/closed/upload",
        "--upstream", f"http://127.0.0.1:{s.echo}/closed/ws",
    ]  # fmt: skip

    def listening(at, seen):
        return ["--http-address", f"127.0.0.1:{at}", "--redirect-url", f"http://127.0.0.1:{seen}/oauth2/callback"]

    process = s.ready("oauth2-proxy", [*shared, *upstreams, *listening(port, port)], port)
    session = ("/closed/small", "_oauth2_proxy")
    yield Subject("oauth2-proxy, session cookie", "oauth2-proxy", port, [process], "/closed", "cookie", session)
    yield Subject(
        "oauth2-proxy, bearer token", "oauth2-proxy-jwt", port, [process], "/closed", "bearer", cases=INLINE | CHECKED
    )
    asked = machine.free_port()
    words = [*shared, "--upstream", "static://202", "--reverse-proxy", *listening(asked, front)]
    behind = s.ready("oauth2-proxy-asked", words, asked)
    asking = s.ready("nginx-oauth2-proxy", s.nginx("nginx-oauth2-proxy", asking_nginx(s, front, asked)), front)
    yield Subject(
        "nginx asks oauth2-proxy, session cookie", "nginx-oauth2-proxy", front, [asking, behind], "/closed", "cookie", session,
        cases={"get", "forward-auth"},
    )  # fmt: skip
    yield Subject(
        "nginx asks oauth2-proxy, bearer token", "nginx-oauth2-proxy-jwt", front, [asking, behind], "/closed", "bearer",
        cases={"forward-auth"},
    )  # fmt: skip


def asking_nginx(s, port, gateway):
    """nginx that asks a gateway about each request (`auth_request`) and forwards the request itself."""
    asked = """proxy_pass http://gateway; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-For $remote_addr;"""
    return f"""
proxy_http_version 1.1; proxy_set_header Connection "";
upstream app {{ server 127.0.0.1:{s.upstream}; keepalive 256; keepalive_requests 1000000000; }}
upstream gateway {{ server 127.0.0.1:{gateway}; keepalive 256; keepalive_requests 1000000000; }}
proxy_buffer_size 16k; proxy_buffers 8 16k;
server {{
  listen 127.0.0.1:{port};
  location /oauth2/ {{ proxy_set_header Connection ""; {asked} }}
  location = /oauth2/auth {{
    internal; proxy_set_header Connection ""; {asked}
    proxy_pass_request_body off; proxy_set_header Content-Length "";
    proxy_set_header X-Forwarded-Uri $request_uri; proxy_set_header X-Forwarded-Method $request_method;
  }}
  location / {{
    auth_request /oauth2/auth;
    error_page 401 = @sign_in;
    proxy_pass http://app;
  }}
  location @sign_in {{ return 302 /oauth2/start?rd=$request_uri; }}
}}"""


def apache(s):
    """Apache with mod_auth_openidc: sessions, and access tokens."""
    port = machine.free_port()
    program, environment = s.debian("apache2")
    modules = next(
        (folder for folder in (setup.PEERS / "debian/usr/lib/apache2/modules", setup.pathlib.Path("/usr/lib/apache2/modules"))
         if (folder / "mod_auth_openidc.so").exists()),
        None,
    )  # fmt: skip
    if modules is None:
        raise machine.Unavailable("mod_auth_openidc is not installed")
    own = s.folder / "apache"
    own.mkdir()
    # It takes the address of keys by https only.
    keys = machine.free_port()
    (own / "keys").write_text(s.provider.key_set())
    tls = f"listen 127.0.0.1:{keys} ssl; ssl_certificate {s.certificate}; ssl_certificate_key {s.key};"
    serving = s.start("keys", s.nginx("serving-keys", f"server {{ {tls} root {own}; }}"), core=s.load_core)
    machine.wait_for(keys, serving)
    names = ["mpm_event", "authn_core", "authz_core", "authz_user", "proxy", "proxy_http", "auth_openidc"]
    loaded = "\n".join(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in names)
    conf = own / "apache.conf"
    conf.write_text(f"""
ServerRoot {own}
ServerName 127.0.0.1
DefaultRuntimeDir {own}
PidFile {own}/pid
ErrorLog /dev/stderr
LogLevel crit
{loaded}
User www-data
Group www-data
Listen 127.0.0.1:{port}
StartServers 1
ServerLimit 1
ThreadLimit 128
ThreadsPerChild 128
MaxRequestWorkers 128
KeepAlive On
MaxKeepAliveRequests 0
OIDCProviderMetadataURL {s.provider.issuer}/.well-known/openid-configuration
OIDCClientID gateway
OIDCClientSecret secret
OIDCRedirectURI http://127.0.0.1:{port}/oauth2/callback
OIDCCryptoPassphrase {secrets.token_hex(16)}
OIDCScope "openid profile email"
OIDCPKCEMethod S256
OIDCOAuthVerifyJwksUri https://127.0.0.1:{keys}/keys
OIDCOAuthSSLValidateServer Off
OIDCOAuthRemoteUserClaim sub
ProxyPass /oauth2/ !
ProxyPass /closed/tokens/upload http://127.0.0.1:{s.sink}/ keepalive=On
ProxyPass / http://127.0.0.1:{s.upstream}/ keepalive=On
<Location /oauth2>
AuthType openid-connect
Require valid-user
</Location>
<Location /closed>
AuthType openid-connect
Require valid-user
</Location>
<Location /closed/tokens>
AuthType oauth20
Require valid-user
</Location>
""")
    words = [program, "-f", conf, "-D", "FOREGROUND"]
    process = s.ready("apache", words, port, environment=environment)
    session = ("/closed/small", "mod_auth_openidc")
    yield Subject("Apache mod_auth_openidc, session cookie", "apache", port, [process], "/closed", "cookie", session)
    yield Subject(
        "Apache mod_auth_openidc, bearer token", "apache-jwt", port, [process], "/closed/tokens", "bearer",
        cases=TRANSFERS | CHECKED,
    )  # fmt: skip
