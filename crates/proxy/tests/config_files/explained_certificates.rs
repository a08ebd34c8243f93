//! `explain --certificate`: the handshake, the caller that a certificate names, and the tokens that are bound to it.

use std::{fs, path::PathBuf, process::Command};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use serde_json::{Value, json};

const ETL: &str = "spiffe://acme.example/run/etl";
const FEATURES: &str = "https://platform.example/features/a";

const CONFIG: &str = "\
listen: 127.0.0.1:8443
public_url: https://platform.example
TLS
issuers:
  main: { url: 'https://id.example', client_id: gateway, client_auth: none, audience: [gateway] }
  strict: { url: 'https://strict.example', client_id: gateway, client_auth: none, audience: [gateway], tokens: { bound: certificate } }
workload_certificates:
  mesh: { ca_file: 'FOLDER/mesh.pem' }
session:
  store: cookie
  key: { file: 'FOLDER/key' }
routes:
  features:
    match: { path: /features }
    upstream: http://features:8080
    sign_in: challenge
    access:
      - { path: /features/people/**, allow: { users: [alice] } }
      - { allow: { subjects: ['spiffe://acme.example/run/*'], issuers: [mesh] } }
";

const ASKED: &str =
    "tls: { certificate: 'FOLDER/tls.pem', key: 'FOLDER/tls.key', client_ca: 'FOLDER/mesh.pem' }";

struct Desk {
    folder: tempfile::TempDir,
    mesh: Issuer<'static, KeyPair>,
}

fn authority() -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let own = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), own)
}

fn named(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "etl");
    params.subject_alt_names =
        uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_after = date_time_ymd(2090, 1, 1);
    params
}

impl Desk {
    fn new(tls: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mesh, own) = authority();
        let desk = Self { folder, mesh };
        desk.write("mesh.pem", own);
        desk.write("key", "0123456789abcdef0123456789abcdef");
        let server = rcgen::generate_simple_self_signed(["platform.example".to_owned()]).unwrap();
        desk.write("tls.pem", server.cert.pem());
        desk.write("tls.key", server.signing_key.serialize_pem());
        let folder = desk.folder.path().display().to_string();
        desk.write("doorward.yaml", CONFIG.replace("TLS", tls).replace("FOLDER", &folder));
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The certificate in `name.pem`; returns its `x5t#S256`.
    fn certify(&self, name: &str, params: &CertificateParams, by: &Issuer<'_, KeyPair>) -> String {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, by).unwrap();
        self.write(&format!("{name}.pem"), certificate.pem());
        self.write(&format!("{name}.key"), key.serialize_pem());
        self.write(&format!("{name}.der"), certificate.der());
        URL_SAFE_NO_PAD.encode(web_sessions::sha256(certificate.der()))
    }

    fn run(&self, url: &str, more: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
            .args(["explain", "--url", url, "--config"])
            .arg(self.path("doorward.yaml"))
            .args(more)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    fn explain(&self, url: &str, file: &str, more: &[&str]) -> (i32, String) {
        let file = self.path(file).display().to_string();
        self.run(url, &[&["--certificate", &file][..], more].concat())
    }
}

/// An unsigned token of this issuer, bound to a certificate if there is one.
fn token(iss: &str, cnf: Option<Value>) -> String {
    let mut claims = json!({
        "iss": iss, "sub": "a1", "aud": "gateway", "exp": 4_000_000_000_u64, "preferred_username": "alice",
    });
    if let (Some(cnf), Some(members)) = (cnf, claims.as_object_mut()) {
        members.insert("cnf".to_owned(), cnf);
    }
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn says(said: &str, lines: &[&str]) {
    for line in lines {
        assert!(said.contains(line), "{line:?} is missing in\n{said}");
    }
}

#[test]
fn a_certificate_is_explained_as_its_caller() {
    let desk = Desk::new(ASKED);
    desk.certify("etl", &named(&[ETL]), &desk.mesh);
    let (code, said) = desk.explain(FEATURES, "etl.pem", &[]);
    assert_eq!(code, 0, "{said}");
    says(
        &said,
        &[
            "caller    workload spiffe://acme.example/run/etl at mesh",
            "presents  a certificate of `CN=etl`, valid until 2090-01-01T00:00:00Z",
            "handshake accepted by `client_ca`",
            "authority mesh: names spiffe://acme.example/run/etl",
            "decision  allowed by rule 2",
            "header    x-forwarded-issuer: certificate:mesh",
        ],
    );
    let (code, said) = desk.explain(FEATURES, "etl.pem", &["--json"]);
    let json: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &json["subject"], &json["workload"]), (0, &json!(ETL), &json!(true)));
    assert_eq!(json["certificate"], json!({ "subject": "`CN=etl`", "seen": true }));
    // Another name of the same authority is known, and not let in.
    desk.certify("other", &named(&["spiffe://acme.example/other"]), &desk.mesh);
    let (code, said) = desk.explain(FEATURES, "other.pem", &[]);
    assert_eq!(code, 3, "{said}");
    says(&said, &["names spiffe://acme.example/other", "decision  refused by rule 2"]);
    // One that names no caller leaves it anonymous.
    for (name, uris, reason) in [
        ("nameless", &[][..], "it has no URI among its alternative names"),
        ("twice", &[ETL, "spiffe://acme.example/b"], "it has several URIs"),
        ("wild", &["spiffe://acme.example/*"], "its URI is empty, longer than 2048 bytes, or has"),
    ] {
        desk.certify(name, &named(uris), &desk.mesh);
        let (code, said) = desk.explain(FEATURES, &format!("{name}.pem"), &[]);
        assert_eq!(code, 4, "{name}: {said}");
        says(&said, &["caller    anonymous", "mesh: names no caller: ", reason]);
    }
}

#[test]
fn a_certificate_that_no_handshake_accepts_is_refused() {
    let desk = Desk::new(ASKED);
    let mut expired = named(&[ETL]);
    expired.not_after = date_time_ymd(2020, 1, 1);
    desk.certify("expired", &expired, &desk.mesh);
    let (code, said) = desk.explain(FEATURES, "expired.pem", &[]);
    assert_eq!(code, 3, "{said}");
    says(
        &said,
        &["which expired at 2020-01-01T00:00:00Z", "decision  refused in the TLS handshake"],
    );
    let (code, said) = desk.explain(FEATURES, "expired.pem", &["--at", "2019-12-31T00:00:00Z"]);
    assert_eq!(code, 0, "{said}");
    let mut early = named(&[ETL]);
    early.not_before = date_time_ymd(2080, 1, 1);
    desk.certify("early", &early, &desk.mesh);
    let (code, said) = desk.explain(FEATURES, "early.pem", &[]);
    assert_eq!(code, 3, "{said}");
    says(&said, &["which is not valid before 2080-01-01T00:00:00Z"]);
    let mut server = named(&[ETL]);
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    desk.certify("server", &server, &desk.mesh);
    desk.certify("foreign", &named(&[ETL]), &authority().0);
    for name in ["server.pem", "foreign.pem"] {
        let (code, said) = desk.explain(FEATURES, name, &[]);
        assert_eq!(code, 3, "{name}: {said}");
        says(
            &said,
            &["caller    anonymous", "decision  refused in the TLS handshake: by `client_ca`"],
        );
        assert!(!said.contains("upstream  "), "{said}");
    }
}

#[test]
fn a_bound_token_is_explained_with_its_certificate() {
    let desk = Desk::new(ASKED);
    let own = desk.certify("etl", &named(&[ETL]), &desk.mesh);
    desk.certify("other", &named(&[ETL]), &desk.mesh);
    let url = "https://platform.example/features/people/a";
    let bound = token("https://id.example", Some(json!({ "x5t#S256": own })));
    let (code, said) = desk.explain(url, "etl.pem", &["--token", &bound]);
    assert_eq!(code, 0, "{said}");
    // The token decides, not the certificate.
    says(
        &said,
        &["caller    alice (a1 at main)", "token     bound to this certificate", "by rule 1"],
    );
    let (code, said) = desk.explain(FEATURES, "etl.pem", &["--token", &bound]);
    assert_eq!(code, 3, "{said}");
    let (code, said) = desk.explain(url, "other.pem", &["--token", &bound]);
    assert_eq!(code, 3, "{said}");
    says(&said, &["decision  refused with 401: the token is bound to another certificate"]);
    let (code, said) = desk.run(url, &["--token", &bound]);
    assert_eq!(code, 3, "{said}");
    says(&said, &["bound to a certificate, and the gateway sees none; write `--certificate FILE`"]);
    let plain = token("https://strict.example", None);
    let (code, said) = desk.explain(url, "etl.pem", &["--token", &plain]);
    assert_eq!(code, 3, "{said}");
    says(
        &said,
        &["the token is not bound, and `issuers.strict.tokens` accepts `bound: certificate` only"],
    );
    let proof = json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" });
    let (code, said) = desk.run(url, &["--token", &token("https://id.example", Some(proof))]);
    assert_eq!(code, 0, "{said}");
    says(&said, &["token     bound to a DPoP key: each request needs `Authorization: DPoP`"]);
    let odd = token("https://id.example", Some(json!({ "kid": "1" })));
    assert_eq!(desk.run(url, &["--token", &odd]).0, 3, "an unknown binding is refused");
}

#[test]
fn a_certificate_counts_where_the_gateway_sees_it() {
    let unasked = Desk::new("client_cert_header: true\ntrusted_proxies: [10.0.0.0/8]");
    unasked.certify("etl", &named(&[ETL]), &unasked.mesh);
    let (code, said) = unasked.explain(FEATURES, "etl.pem", &[]);
    assert_eq!(code, 0, "{said}");
    says(&said, &["handshake by a proxy, which judges the certificate"]);
    let desk = Desk::new(
        "tls: [ { certificate: 'FOLDER/tls.pem', key: 'FOLDER/tls.key' }, { certificate: 'FOLDER/tls.pem', key: 'FOLDER/tls.key', \
         client_ca: 'FOLDER/mesh.pem', client_certificates: require, names: [jobs.example] } ]",
    );
    let own = desk.certify("etl", &named(&[ETL]), &desk.mesh);
    let (code, said) = desk.explain(FEATURES, "etl.pem", &[]);
    assert_eq!(code, 4, "{said}");
    says(&said, &["handshake no certificate is asked for on this host", "caller    anonymous"]);
    let bound = token("https://id.example", Some(json!({ "x5t#S256": own })));
    let (code, said) = desk.explain(FEATURES, "etl.pem", &["--token", &bound]);
    assert_eq!(code, 3, "{said}");
    says(&said, &["bound to a certificate, and the gateway sees none"]);
    let (_, said) = desk.run("https://jobs.example/features/a", &[]);
    says(&said, &["handshake a client without a certificate does not connect to this host"]);
}

#[test]
fn a_revoked_certificate_is_explained_as_refused() {
    let desk = Desk::new(&ASKED.replace(" }", ", client_crl: 'FOLDER/mesh.crl' }"));
    let mut revoked = named(&[ETL]);
    revoked.serial_number = Some(SerialNumber::from(7));
    desk.certify("revoked", &revoked, &desk.mesh);
    desk.certify("etl", &named(&[ETL]), &desk.mesh);
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(2090, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from(7),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    desk.write("mesh.crl", list.signed_by(&desk.mesh).unwrap().pem().unwrap());
    assert_eq!(desk.explain(FEATURES, "etl.pem", &[]).0, 0);
    let (code, said) = desk.explain(FEATURES, "revoked.pem", &[]);
    assert_eq!(code, 3, "{said}");
    says(&said, &["decision  refused in the TLS handshake", "Revoked"]);
    let (code, said) = desk.explain(FEATURES, "etl.pem", &["--at", "2090-01-02T00:00:00Z"]);
    assert_eq!(code, 3, "{said}");
}

#[test]
fn a_file_without_a_certificate_is_named_with_its_remedy() {
    let desk = Desk::new(ASKED);
    desk.certify("etl", &named(&[ETL]), &desk.mesh);
    desk.write("text.pem", "no certificate");
    desk.write("empty.pem", "");
    let request = named(&[]).serialize_request(&KeyPair::generate().unwrap()).unwrap();
    desk.write("request.pem", request.pem().unwrap());
    let pem = fs::read_to_string(desk.path("etl.pem")).unwrap();
    desk.write("cut.pem", &pem[..pem.len() / 2]);
    desk.write("odd.pem", "-----BEGIN CERTIFICATE-----\nMAEH\n-----END CERTIFICATE-----\n");
    for (name, reason) in [
        (
            "etl.key",
            "it holds a private key; name the file of the certificate, which is not secret",
        ),
        ("etl.der", "it is in DER, not PEM; convert it with `openssl x509 -inform der`"),
        ("request.pem", "it holds a request for a certificate; name the certificate that"),
        ("text.pem", "no PEM block `CERTIFICATE`; the client's own certificate comes first"),
        ("empty.pem", "no PEM block `CERTIFICATE`"),
        ("cut.pem", "broken PEM"),
        ("odd.pem", "its first block is no X.509 certificate"),
        ("missing.pem", "No such file"),
    ] {
        let (code, said) = desk.explain(FEATURES, name, &[]);
        assert_eq!(code, 1, "{name}: {said}");
        says(&said, &["--certificate ", name, reason]);
        assert!(!said.contains("PRIVATE"), "{said}");
    }
    // A key beside the certificate is not read.
    let key = fs::read_to_string(desk.path("etl.key")).unwrap();
    desk.write("both.pem", format!("{key}{pem}"));
    assert_eq!(desk.explain(FEATURES, "both.pem", &[]).0, 0);
}
