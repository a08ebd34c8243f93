//! Configurations of oauth2-proxy that are run, and the differences that are meant.

use e2e::oauth2_proxy::Form;

/// A file of the corpus, with the names of its world replaced by those of this one.
pub(super) struct Case {
    pub(super) source: &'static str,
    pub(super) form: Form,
    pub(super) client: &'static str,
    pub(super) secret: &'static str,
    pub(super) endpoints: &'static str,
    /// Set when a proxy asks about requests.
    pub(super) asked: bool,
    pub(super) replaced: &'static [(&'static str, &'static str)],
    /// Requests beside the usual ones.
    pub(super) requests: &'static [(&'static str, &'static str)],
}

const USUAL: Case = Case {
    source: "",
    form: Form::File,
    client: "a",
    secret: "s3cr3t",
    endpoints: "/oauth2",
    asked: false,
    replaced: &[],
    requests: &[],
};

pub(super) const CASES: &[Case] = &[
    Case {
        source: "01-keycloak.cfg",
        client: "oauth2-proxy",
        secret: "s3cr3t-client",
        replaced: &[
            ("https://keycloak.corp.example/realms/platform", "$ISSUER"),
            ("http://grafana:3000/", "$UPSTREAM/"),
        ],
        ..USUAL
    },
    Case {
        source: "02-google.cfg",
        client: "123.apps.googleusercontent.com",
        secret: "s3cr3t-google",
        replaced: &[
            ("\"google\"", "\"oidc\"\noidc_issuer_url = \"$ISSUER\""),
            ("http://127.0.0.1:8080/", "$UPSTREAM/"),
            ("http://127.0.0.1:9090/metrics/", "$UPSTREAM/metrics/"),
        ],
        requests: &[("GET", "/metrics/a")],
        ..USUAL
    },
    Case {
        source: "03-everyone.cfg",
        client: "proxy",
        replaced: &[("https://id.corp.example", "$ISSUER"), ("http://app:8080", "$UPSTREAM")],
        ..USUAL
    },
    Case {
        source: "04-flags.txt",
        form: Form::Shell,
        client: "lab",
        secret: "s3cr3t value",
        replaced: &[
            ("https://id.corp.example/realms/lab", "$ISSUER"),
            ("http://notebook:8888/", "$UPSTREAM/"),
        ],
        requests: &[
            ("GET", "/health"),
            ("POST", "/health"),
            ("GET", "/health/x"),
            ("GET", "/static/a.css"),
            ("GET", "/statically"),
        ],
        ..USUAL
    },
    Case {
        source: "05-deployment-args.yaml",
        form: Form::Arguments,
        client: "airflow",
        replaced: &[
            ("https://keycloak.corp.example/realms/platform", "$ISSUER"),
            ("http://airflow-webserver.airflow.svc.cluster.local:8080", "$UPSTREAM"),
        ],
        ..USUAL
    },
    Case {
        source: "06-compose.yaml",
        form: Form::Variables,
        client: "mlflow",
        replaced: &[
            ("https://auth.corp.example/application/o/mlflow/", "$ISSUER"),
            ("http://mlflow:5000/", "$UPSTREAM/"),
        ],
        ..USUAL
    },
    Case {
        source: "07-env-file.env",
        form: Form::Variables,
        client: "abc",
        asked: true,
        replaced: &[
            (
                "PROVIDER=gitlab",
                "PROVIDER=oidc\nOAUTH2_PROXY_OIDC_ISSUER_URL=$ISSUER\nOAUTH2_PROXY_REVERSE_PROXY=true\nOAUTH2_PROXY_SET_XAUTHREQUEST=true",
            ),
            ("OAUTH2_PROXY_COOKIE_DOMAINS=.corp.example", ""),
        ],
        ..USUAL
    },
    Case {
        source: "14-regex.cfg",
        replaced: &[
            ("https://keycloak.corp.example/realms/a", "$ISSUER"),
            ("\"a.example\"", "\"corp.example\""),
            ("http://a:80/", "$UPSTREAM/"),
            ("http://b:80/", "$UPSTREAM/"),
            ("http://c:80/", "$UPSTREAM/"),
            // It opens every other path.
            (", \"!=^/admin/\"", ""),
        ],
        requests: &[
            ("GET", "/public/a"),
            ("GET", "/publicity"),
            ("GET", "/a/health"),
            ("GET", "/a"),
            ("GET", "/favicon.ico"),
            ("GET", "/faviconXico"),
            ("GET", "/docs/a/b"),
            ("POST", "/docs/a/b"),
            ("POST", "/hooks/a"),
            ("POST", "/hooks/a/b"),
            ("GET", "/admin/x"),
            ("GET", "/exact"),
        ],
        ..USUAL
    },
    Case {
        source: "17-jwt-issuers.cfg",
        replaced: &[
            ("https://keycloak.corp.example/realms/a", "$ISSUER"),
            ("extra_jwt_issuers = [\"https://gitlab.corp.example=doorward\"]\n", ""),
            ("\"a.example\"", "\"corp.example\""),
            ("http://a:80/", "$UPSTREAM/"),
            ("\"email groups\"", "\"openid email groups\""),
        ],
        ..USUAL
    },
    Case {
        source: "19-json-args.txt",
        form: Form::Json,
        client: "web",
        replaced: &[
            ("https://dex.corp.example", "$ISSUER"),
            ("http://127.0.0.1:8080", "$UPSTREAM"),
        ],
        ..USUAL
    },
    Case {
        source: "20-prefix.cfg",
        endpoints: "/auth",
        replaced: &[
            ("https://keycloak.corp.example/realms/a", "$ISSUER"),
            ("\"a.example\"", "\"corp.example\""),
            ("http://a:80/", "$UPSTREAM/"),
            ("user_id_claim = \"sub\"\n", ""),
        ],
        requests: &[("OPTIONS", "/")],
        ..USUAL
    },
];

/// A difference that is meant.
pub(super) struct Meant {
    /// The case; none for every one.
    pub(super) source: Option<&'static str>,
    pub(super) request: &'static str,
    pub(super) old: &'static str,
    pub(super) new: &'static str,
    /// As the guide says it.
    pub(super) reason: &'static str,
}

impl Meant {
    pub(super) fn is(&self, case: &Case, request: &str, old: &str, new: &str) -> bool {
        self.source.is_none_or(|source| source == case.source)
            && (self.request, self.old, self.new) == (request, old, new)
    }
}

const fn always(
    request: &'static str,
    old: &'static str,
    new: &'static str,
    reason: &'static str,
) -> Meant {
    Meant { source: None, request, old, new, reason }
}

const fn only(
    source: &'static str,
    request: &'static str,
    old: &'static str,
    new: &'static str,
    reason: &'static str,
) -> Meant {
    Meant { source: Some(source), request, old, new, reason }
}

const PING: &str = "`/ping` is `/oauth2/ping`";
const PATTERN: &str = "An expression that is no path pattern opens fewer paths";
const ID_TOKEN: &str = "ID tokens are no bearer tokens";
const PREFLIGHT: &str = "A preflight is answered on routes with `cors` only";

pub(super) const MEANT: &[Meant] = &[
    always("ping", "Allowed", "Unauthorized", PING),
    always("alice's ID token", "Allowed", "Unauthorized", ID_TOKEN),
    only("14-regex.cfg", "anonymous GET /publicity", "Allowed", "Unauthorized", PATTERN),
    only("14-regex.cfg", "anonymous GET /a/health", "Allowed", "Unauthorized", PATTERN),
    only("14-regex.cfg", "anonymous GET /a", "Allowed", "Unauthorized", PATTERN),
    only("20-prefix.cfg", "anonymous OPTIONS /", "Allowed", "Unauthorized", PREFLIGHT),
];
