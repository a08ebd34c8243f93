//! The client's certificate: whether the handshake accepts it, the caller that it names, and the tokens that are bound to it.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http_canonical::ClientCertificate;
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject as _};
use serde_json::{Value, json};
use web_sessions::sha256;
use x509_parser::{parse_x509_certificate, time::ASN1Time};

use super::caller::Stated;
use crate::{
    assemble,
    config::{BoundTo, ClientCertificates, Config, Tls},
    listen::tls::client_verifier,
};
use access_policy::{Caller, Known};

/// The gateway's knowledge from a client's certificate.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    lines: Vec<(&'static str, String)>,
    caller: Option<Arc<Known>>,
    refused: Option<String>,
    json: Value,
}

impl Evidence {
    /// Judges the certificate of a file as at a handshake for this host, and the binding of the claims.
    pub(super) fn of(
        config: &Config,
        host: Option<&str>,
        file: Option<&Path>,
        claims: Option<&Stated<'_>>,
        now: SystemTime,
    ) -> anyhow::Result<Self> {
        let mut evidence = Self::default();
        let pair = Tls::for_host(config.tls.iter(), host).and_then(|number| config.tls.get(number));
        let certificate = match file {
            Some(file) => evidence.presented(config, pair, file, now)?,
            None => {
                evidence.absent(pair);
                None
            }
        };
        match claims {
            Some(claims) => evidence.bound(claims, certificate.as_ref()),
            None => evidence.named(config, certificate.as_ref(), now)?,
        }
        Ok(evidence)
    }

    /// The caller: that of the claims, else the holder of the certificate.
    pub(super) fn caller(&self, claims: Option<&Stated<'_>>) -> Caller {
        match (claims, &self.caller) {
            (Some(claims), _) => Caller::Known(claims.caller()),
            (None, Some(known)) => Caller::Known(Arc::clone(known)),
            (None, None) => Caller::Anonymous,
        }
    }

    /// The refusal that comes before the rules.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Lines with their names.
    pub(super) fn lines(&self) -> &[(&'static str, String)] {
        &self.lines
    }

    /// The same as an object; null without a certificate.
    pub(super) fn as_json(&self) -> &Value {
        &self.json
    }

    fn line(&mut self, name: &'static str, text: impl Into<String>) {
        self.lines.push((name, text.into()));
    }

    /// The first refusal is the one that the client gets.
    fn refuse(&mut self, why: String) {
        self.refused.get_or_insert(why);
    }

    /// The certificate, if the gateway gets to see it.
    fn presented(
        &mut self,
        config: &Config,
        pair: Option<&Tls>,
        file: &Path,
        now: SystemTime,
    ) -> anyhow::Result<Option<ClientCertificate>> {
        let Read { certificate, subject, valid } = read(file)?;
        self.line("presents", format!("a certificate of {subject}, {}", period(valid, now)?));
        self.json = json!({ "subject": subject, "seen": true });
        let verifier = pair.map(client_verifier).transpose()?.flatten();
        if let Some((verifier, ca)) = verifier.zip(pair.and_then(|pair| pair.client_ca.as_ref())) {
            let own = CertificateDer::from(certificate.der());
            let chain: Vec<_> = certificate.chain().map(CertificateDer::from).collect();
            let time = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            let time = UnixTime::since_unix_epoch(time);
            match verifier.verify_client_cert(&own, &chain, time) {
                Ok(_) => {
                    self.line("handshake", format!("accepted by `client_ca` {}", ca.display()));
                }
                Err(error) => self.refuse(format!(
                    "refused in the TLS handshake: by `client_ca` {} it is no valid client certificate: {error}",
                    ca.display()
                )),
            }
        } else if config.client_cert_header {
            let text = "by a proxy, which judges the certificate and states it in `Client-Cert`";
            self.line("handshake", text);
        } else {
            self.line(
                "handshake",
                "no certificate is asked for on this host, and so none is seen; write `client_ca` in `tls`, or \
                 `client_cert_header: true` behind a proxy that ends TLS",
            );
            self.json = json!({ "subject": subject, "seen": false });
            return Ok(None);
        }
        Ok(Some(certificate))
    }

    fn absent(&mut self, pair: Option<&Tls>) {
        let required = |pair: &&Tls| pair.client_certificates == ClientCertificates::Require;
        if pair.filter(required).is_some() {
            let text = "a client without a certificate does not connect to this host; write `--certificate FILE`";
            self.line("handshake", text);
        }
    }

    /// The caller that the certificate alone names.
    fn named(
        &mut self,
        config: &Config,
        certificate: Option<&ClientCertificate>,
        now: SystemTime,
    ) -> anyhow::Result<()> {
        let Some(certificate) = certificate.filter(|_| self.refused.is_none()) else {
            return Ok(());
        };
        let callers = assemble::certificate_callers(config)?;
        let mut found = Vec::new();
        for (name, caller) in callers.explained(certificate, now) {
            match caller {
                Ok(known) => {
                    self.line("authority", format!("{name}: names {}", known.subject));
                    found.push(known);
                }
                Err(reason) => self.line("authority", format!("{name}: names no caller: {reason}")),
            }
        }
        let count = found.len();
        match (found.pop(), count) {
            (Some(known), 1) => self.caller = Some(known),
            (Some(_), _) => self.line(
                "authority",
                "a certificate of several authorities names no caller; keep one of them in `workload_certificates`",
            ),
            (None, _) if config.workload_certificates.is_empty() => self.line(
                "authority",
                "no certificate alone names a caller; write its authority in `workload_certificates`",
            ),
            (None, _) => {}
        }
        Ok(())
    }

    /// The key that the token of the claims is bound to.
    fn bound(&mut self, stated: &Stated<'_>, certificate: Option<&ClientCertificate>) {
        let bound = match stated.claims.confirmation() {
            Ok(bound) => bound,
            Err(error) => return self.refuse(format!("refused with 401: {error}")),
        };
        let (x5t, jkt) = match &bound {
            Some(bound) => (bound.x5t_s256(), bound.jkt()),
            None => (None, None),
        };
        let wanted = stated.issuer.tokens.bound.filter(|_| stated.in_token);
        let missing = match wanted {
            Some(BoundTo::Certificate) if x5t.is_none() => Some("certificate"),
            Some(BoundTo::Dpop) if jkt.is_none() => Some("dpop"),
            _ => None,
        };
        if let Some(kind) = missing {
            let name = stated.name;
            self.refuse(format!(
                "refused with 401: the token is not bound, and `issuers.{name}.tokens` accepts `bound: {kind}` only"
            ));
        }
        if jkt.is_some() {
            let text = "bound to a DPoP key: each request needs `Authorization: DPoP` and a proof of that key";
            self.line("token", text);
        }
        let Some(x5t) = x5t else { return };
        match certificate {
            Some(own) if URL_SAFE_NO_PAD.encode(sha256(own.der())) == x5t => {
                self.line("token", "bound to this certificate");
            }
            Some(_) => {
                self.refuse("refused with 401: the token is bound to another certificate".to_owned());
            }
            None => self.refuse(
                "refused with 401: the token is bound to a certificate, and the gateway sees none; write `--certificate FILE`"
                    .to_owned(),
            ),
        }
    }
}

/// A certificate from a file.
struct Read {
    certificate: ClientCertificate,
    subject: String,
    /// First and last moment.
    valid: (ASN1Time, ASN1Time),
}

fn read(file: &Path) -> anyhow::Result<Read> {
    let shown = file.display();
    let bytes = std::fs::read(file).with_context(|| format!("--certificate {shown}"))?;
    let all = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let all = all.with_context(|| format!("invalid --certificate {shown}: broken PEM"))?;
    let Some((own, chain)) = all.split_first() else {
        bail!("invalid --certificate {shown}: {}", instead(&bytes));
    };
    let parsed = parse_x509_certificate(own).ok().filter(|(rest, _)| rest.is_empty());
    let Some((_, parsed)) = parsed else {
        bail!("invalid --certificate {shown}: its first block is no X.509 certificate");
    };
    let subject = match parsed.subject().to_string() {
        empty if empty.is_empty() => "an empty subject".to_owned(),
        subject => format!("`{subject}`"),
    };
    let valid = (parsed.validity().not_before, parsed.validity().not_after);
    let chain = chain.iter().map(|one| one.to_vec()).collect();
    let certificate = ClientCertificate::new(own.to_vec(), chain);
    Ok(Read { certificate, subject, valid })
}

/// The contents of a file that has no block `CERTIFICATE`, and the remedy.
fn instead(bytes: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(bytes);
    if text.contains("PRIVATE KEY-----") {
        "it holds a private key; name the file of the certificate, which is not secret"
    } else if text.contains("CERTIFICATE REQUEST-----") {
        "it holds a request for a certificate; name the certificate that the authority issued"
    } else if bytes.first() == Some(&0x30) {
        "it is in DER, not PEM; convert it with `openssl x509 -inform der`"
    } else {
        "no PEM block `CERTIFICATE`; the client's own certificate comes first, then those between it and its authority"
    }
}

/// The time of validity, and whether it is now.
fn period((from, until): (ASN1Time, ASN1Time), now: SystemTime) -> anyhow::Result<String> {
    let moment = |time: ASN1Time| {
        let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).context("--certificate: its validity")
    };
    let (from, until) = (moment(from)?, moment(until)?);
    let text = |time| humantime::format_rfc3339_seconds(time);
    Ok(if now < from {
        format!("which is not valid before {}", text(from))
    } else if now > until {
        format!("which expired at {}", text(until))
    } else {
        format!("valid until {}", text(until))
    })
}
