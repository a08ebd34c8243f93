//! `Issuer`: an OpenID provider that is trusted.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use m2m::ClientCredentials;
use oidc_core::provider::{IssuerTemplate, PlainHttpHosts};
use py_values::{Span, Texts, refuse_pickling};
use pyo3::exceptions::PyRuntimeWarning;
use pyo3::prelude::*;
use pyo3::types::PyMapping;

use crate::arguments::CertificateFiles;
use crate::credentials::{Authentication, Recipe, TokenSource};
use crate::errors;
use crate::rules::{self, Exceptions, Rules};
use crate::trusted::{Settings, Trusted};
use crate::verifier::{Kind, Verifier};

/// An OpenID provider that is trusted, called by its issuer identifier.
///
/// Making one opens no connection: metadata and keys are fetched when first needed and kept fresh, so a program starts while its
/// issuer is down. Share one between threads, tasks and forked workers.
///
/// Args:
///     url: the issuer exactly as its tokens name it in ``iss``; ``https``, or ``http`` on loopback only. With ``{tenantid}`` in it, the
///         issuer of each tenant.
///     discovery_url: another address of the same issuer, for a provider that this program reaches by another name than browsers do.
///         Its metadata is read there, and must still name ``url`` as the issuer; its endpoints are used as it announces them.
///     dangerous_allow_http: hosts off loopback with which plain ``http`` is accepted, such as ``["keycloak"]`` in a Compose project.
///         Tokens and secrets can be read and changed on the way to them.
///     tenants: the tenants that take the place of ``{tenantid}``, as Microsoft Entra has them; tokens of others are refused.
///     profile: the form of its access tokens, for verifiers that name none; see :meth:`verifier`.
///     claims: paths of names in its tokens, for verifiers that name none; see :meth:`verifier`.
///     ca_file: PEM file with the only certificates to trust; else what ``SSL_CERT_FILE`` or ``REQUESTS_CA_BUNDLE`` name; else what
///         the platform trusts. ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` are honoured; loopback is reached
///         without a proxy.
///     timeout: how long one exchange with the issuer may take, in seconds or as a ``timedelta``.
///
/// Raises:
///     ConfigurationError: if the URL is not an issuer identifier, or the certificates cannot be used.
#[pyclass(frozen, weakref, module = "doorward")]
pub(crate) struct Issuer {
    pub(crate) trusted: Arc<Trusted>,
    pub(crate) rules: Rules,
}

#[pymethods]
impl Issuer {
    #[new]
    #[pyo3(signature = (url, *, discovery_url = None, dangerous_allow_http = None, tenants = None, profile = "keycloak", claims = None, ca_file = None, timeout = Span(Duration::from_secs(10))), text_signature = "(url, *, discovery_url=None, dangerous_allow_http=None, tenants=None, profile='keycloak', claims=None, ca_file=None, timeout=10)")]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        url: &str,
        discovery_url: Option<&str>,
        dangerous_allow_http: Option<Texts>,
        tenants: Option<Texts>,
        profile: &str,
        claims: Option<&Bound<'_, PyMapping>>,
        ca_file: Option<PathBuf>,
        timeout: Span,
    ) -> PyResult<Self> {
        let invalid = |error| errors::invalid_issuer(py, &error);
        let hosts = dangerous_allow_http.map(|Texts(hosts)| hosts).unwrap_or_default();
        let plain_http = PlainHttpHosts::dangerous(hosts)
            .map_err(|error| errors::invalid_http_host(py, &error))?;
        let mut rules = Rules::default().with(py, Some(profile), claims)?;
        rules.tenants = match tenants {
            Some(Texts(tenants)) => Some(IssuerTemplate::new(url, tenants).map_err(invalid)?),
            None if IssuerTemplate::is_template(url) => {
                let message = "the URL holds {tenantid}, and tenants is missing".to_owned();
                let remedy = "pass tenants=[…]: the ids of the tenants whose tokens are accepted";
                return Err(errors::configuration(py, "tenants", message, remedy.to_owned()));
            }
            None => None,
        };
        let issuer = oidc_core::Issuer::dangerous_allow_http(url, &plain_http).map_err(invalid)?;
        let discovery_url = discovery_url.map(|url| {
            url.parse().map_err(|error: url::ParseError| errors::invalid_discovery_url(py, &error))
        });
        let settings = Settings {
            issuer,
            discovery_url: discovery_url.transpose()?,
            plain_http,
            metadata: None,
            ca_file,
            timeout: timeout.0,
            certificate: None,
        };
        Ok(Self { trusted: Trusted::new(py, settings)?, rules })
    }

    /// The issuer identifier, as it was given.
    #[getter]
    fn url(&self) -> &str {
        self.trusted.issuer().as_str()
    }

    /// A verifier for this issuer's access tokens.
    ///
    /// Args:
    ///     audience: the name, or names, by which tokens call this service (``aud``); one of them is enough.
    ///     profile: ``keycloak`` takes access tokens as Keycloak writes them (and RFC 9068's), ``rfc9068`` the standard's only,
    ///         ``generic`` any provider's, ``workload`` those that a platform gives its jobs (GitLab CI, GitHub Actions, Kubernetes,
    ///         SPIFFE). The issuer's unless set. ID, refresh and logout tokens are refused by all.
    ///     claims: paths of names in the tokens, by ``subject``, ``user_name``, ``email``, ``name``, ``roles``, ``client_roles``,
    ///         ``groups`` and ``scopes``: ``{"roles": '"https://acme.example/app".roles'}``. A path is the exact name of a claim, or
    ///         names joined by dots, those that hold dots in quotation marks. The others stay those of the profile.
    ///     audience_claim: ``client_id`` takes the client that a token was issued to for its audience and requires
    ///         ``token_use: access``: Amazon Cognito writes no ``aud``.
    ///     access_token_issuer: the ``iss`` of access tokens, where it is another than the issuer's own, as with AD FS.
    ///     trust_domain: the SPIFFE trust domain of the tokens, which may then lack ``iss``.
    ///     dangerous_accept_id_tokens: accept ID tokens too, for Dex, which issues no others.
    ///     dangerous_ignore_header_keys: ignore header members that name keys (``jku``, ``jwk``, ``x5u``, ``x5c``) instead of refusing
    ///         the token. They are never used.
    ///     leeway: how far clocks may differ, in seconds or as a ``timedelta``; 30 s unless set, 300 s at most.
    ///     algorithms: accept only these, like ``["RS256", "ES256"]``. What the issuer announces for ID tokens unless set, or every asymmetric one if it announces none; ``none`` and HMAC never.
    ///
    /// Raises:
    ///     ConfigurationError: if an argument has no such value.
    #[pyo3(signature = (audience, *, profile = None, claims = None, audience_claim = "aud", access_token_issuer = None, trust_domain = None, dangerous_accept_id_tokens = false, dangerous_ignore_header_keys = false, leeway = Span(Duration::from_secs(30)), algorithms = None), text_signature = "($self, audience, *, profile=None, claims=None, audience_claim='aud', access_token_issuer=None, trust_domain=None, dangerous_accept_id_tokens=False, dangerous_ignore_header_keys=False, leeway=30, algorithms=None)")]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn verifier(
        &self,
        py: Python<'_>,
        audience: Texts,
        profile: Option<&str>,
        claims: Option<&Bound<'_, PyMapping>>,
        audience_claim: &str,
        access_token_issuer: Option<String>,
        trust_domain: Option<String>,
        dangerous_accept_id_tokens: bool,
        dangerous_ignore_header_keys: bool,
        leeway: Span,
        algorithms: Option<Texts>,
    ) -> PyResult<Verifier> {
        let rules = self.rules.with(py, profile, claims)?;
        let exceptions = Exceptions {
            client_is_audience: rules::client_is_audience(py, audience_claim)?,
            access_token_issuer,
            trust_domain,
            id_tokens: dangerous_accept_id_tokens,
            header_keys: dangerous_ignore_header_keys,
        };
        exceptions.check(py, rules.profile)?;
        let (trusted, kind) = (Arc::clone(&self.trusted), Kind::AccessToken);
        Verifier::new(py, trusted, kind, audience.0, leeway.0, algorithms, |validation| {
            exceptions.apply(rules.apply(validation))
        })
    }

    /// A program's own access tokens (RFC 6749 §4.4). Nothing is requested before a token is wanted.
    ///
    /// Args:
    ///     client_id: the client's id at the issuer.
    ///     secret_file: file with the client's secret; read again at each request, so it may be rotated.
    ///     secret: the secret itself, where there is no file.
    ///     private_key_file: private key in PEM, or a private JWK, that signs an assertion for each request (``private_key_jwt``, RFC
    ///         7523 §2.2). Nothing secret is sent.
    ///     key_id: its ``kid`` at the issuer, if it has one (PEM only).
    ///     key_algorithm: the algorithm, where the key's kind does not say it (PEM only).
    ///     assertion_file: file with an assertion that is kept fresh, like a projected Kubernetes service-account token.
    ///     certificate: a client certificate (RFC 8705 §2): a PEM file that also holds the key, or one for each.
    ///     method: how a secret is used; ``client_secret_basic`` unless set.
    ///     scope: scopes to ask for, as words or one text.
    ///     audience: the service the token is for, where the issuer takes the parameter.
    ///     resource: absolute URIs the token is for (RFC 8707 §2).
    ///     cache_dir: a directory of this user alone, in which processes share the token: 1,000 short jobs make one request. Made with
    ///         mode 0700 if absent; one that others may write to is not used, with a ``RuntimeWarning``. Best in memory, like
    ///         ``$XDG_RUNTIME_DIR/doorward``.
    ///
    /// Raises:
    ///     ConfigurationError: if not exactly one credential is given, or the key cannot be used.
    #[pyo3(signature = (client_id, *, secret = None, secret_file = None, private_key_file = None, key_id = None, key_algorithm = None, assertion_file = None, certificate = None, method = None, scope = None, audience = None, resource = None, cache_dir = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn client_credentials(
        &self,
        py: Python<'_>,
        client_id: String,
        secret: Option<String>,
        secret_file: Option<PathBuf>,
        private_key_file: Option<PathBuf>,
        key_id: Option<String>,
        key_algorithm: Option<String>,
        assertion_file: Option<PathBuf>,
        certificate: Option<CertificateFiles>,
        method: Option<String>,
        scope: Option<Texts>,
        audience: Option<String>,
        resource: Option<Texts>,
        cache_dir: Option<PathBuf>,
    ) -> PyResult<TokenSource> {
        let given = Authentication {
            secret,
            secret_file,
            private_key_file,
            key_id,
            key_algorithm,
            assertion_file,
            certificate: certificate.is_some(),
            method,
        };
        if client_id.is_empty() {
            let remedy = "pass the client's name at the issuer".to_owned();
            let message = "client_id is empty".to_owned();
            return Err(errors::configuration(py, "client_id", message, remedy));
        }
        let authentication = given.method(py)?;
        if let Some(directory) = &cache_dir {
            warn_of_folder(py, directory)?;
        }
        let mut grant = ClientCredentials::new();
        if let Some(Texts(words)) = scope {
            grant = grant.with_scope(&words.join(" "));
        }
        if let Some(audience) = audience {
            grant = grant.with_audience(audience);
        }
        for uri in resource.map(|Texts(uris)| uris).unwrap_or_default() {
            grant = grant.with_resource(uri);
        }
        let recipe = Recipe { client_id, authentication, grant, cache_dir };
        let trusted = match certificate {
            Some(CertificateFiles(certificate, key)) => {
                self.trusted.with_certificate(py, (certificate, key))?
            }
            None => Arc::clone(&self.trusted),
        };
        TokenSource::new(py, trusted, recipe)
    }

    fn __repr__(&self) -> String {
        format!("doorward.Issuer({:?})", self.url())
    }

    fn __copy__(this: Py<Self>) -> Py<Self> {
        this
    }

    /// The object is immutable, so a copy is the object itself; only pickling would make another.
    #[pyo3(signature = (memo, /))]
    fn __deepcopy__(this: Py<Self>, memo: &Bound<'_, PyAny>) -> Py<Self> {
        let _ = memo;
        this
    }

    fn __reduce__(&self) -> PyResult<()> {
        refuse_pickling(
            "an Issuer",
            "make one in each process that needs it, or let the worker be forked",
        )
    }
}

/// Warns if the folder cannot be used. Each process then fetches its own tokens.
fn warn_of_folder(py: Python<'_>, directory: &Path) -> PyResult<()> {
    let Err(error) = m2m::private_file::make_folder(directory) else { return Ok(()) };
    let message =
        format!("tokens are not shared between processes: {}", py_values::with_causes(&error));
    let message = CString::new(message.replace('\0', " "))?;
    PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &message, 1)
}
