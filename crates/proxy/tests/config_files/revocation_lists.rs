//! `client_crl`: files that hold no usable list are named with their remedy before the gateway starts.

use std::{fs, path::Path, process::Command};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};

use super::expect_each;

const CONFIG: &str = "\
public_url: https://platform.example
tls: { certificate: 'FOLDER/tls.pem', key: 'FOLDER/tls.key', client_ca: 'FOLDER/ca.pem', client_crl: 'FOLDER/clients.crl' }
issuers: { main: { url: 'https://id.example', client_id: gateway, client_auth: none, audience: [gateway] } }
session: { store: cookie, key: { file: 'FOLDER/key' } }
routes: { app: { match: { path: /app }, upstream: 'http://app:8000', access: [ { allow: signed_in } ] } }
";

fn check(folder: &Path) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["check", "--config"])
        .arg(folder.join("doorward.yaml"))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn list(issuer: &Issuer<'_, KeyPair>, until: i32) -> String {
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(issuer).unwrap().pem().unwrap()
}

#[test]
fn each_unusable_list_has_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    write("ca.pem", &ca);
    let server = rcgen::generate_simple_self_signed(["platform.example".to_owned()]).unwrap();
    write("tls.pem", &server.cert.pem());
    write("tls.key", &server.signing_key.serialize_pem());
    write("key", "0123456789abcdef0123456789abcdef");
    write("doorward.yaml", &CONFIG.replace("FOLDER", &folder.path().display().to_string()));
    let good = list(&issuer, 2090);
    for (text, code, expected) in [
        (good.clone(), 0, "is valid"),
        (
            list(&issuer, 2021),
            0,
            "expired revocation list: its `nextUpdate` was 2021-01-01T00:00:00Z",
        ),
        (String::new(), 1, "holds none; write PEM blocks `X509 CRL`, one for each authority"),
        (ca, 1, "holds none"),
        (good.clone() + &good, 1, "holds two of"),
        (good[..good.len() / 2].to_owned(), 1, "is broken PEM"),
        (good.replace("X509 CRL", "CERTIFICATE"), 1, "holds none"),
        (
            "-----BEGIN X509 CRL-----\nMAEH\n-----END X509 CRL-----\n".to_owned(),
            1,
            "has a block that is no list",
        ),
    ] {
        write("clients.crl", &text);
        let (status, said) = check(folder.path());
        assert!(status == code && said.contains(expected), "{expected}: {status} {said}");
        assert!(code == 0 || said.contains("tls.client_crl: "), "{said}");
    }
    fs::remove_file(folder.path().join("clients.crl")).unwrap();
    let (status, said) = check(folder.path());
    assert!(status == 1 && said.contains("tls.client_crl: cannot read"), "{said}");
}

#[test]
fn a_list_without_an_authority_is_refused() {
    expect_each(&[(
        "session:",
        "tls: { certificate: /c, key: /k, client_crl: /crl }\nsession:",
        "tls.client_crl: missing `client_ca`",
    )]);
}
