//! Checks of `tls`: one certificate for each host.

use std::collections::BTreeSet;

use super::Findings;
use crate::config::{ClientCertificates, Config, Tls};

pub(super) fn check(config: &Config, found: &mut Findings) {
    let mut taken = BTreeSet::new();
    let mut for_others = false;
    for (here, pair) in Tls::with_places(&config.tls) {
        if pair.names.is_empty() && std::mem::replace(&mut for_others, true) {
            let message = "missing `names`: another certificate without them is for every host already; write such as `names: [a.example]`";
            found.problem(here.clone(), message);
        }
        if pair.client_ca.is_none() && pair.client_certificates == ClientCertificates::Require {
            let message = "missing `client_ca`: without it no client certificate is accepted; name the file with the CA certificates of the clients";
            found.problem(here.key("client_certificates"), message);
        }
        if pair.client_ca.is_none() && pair.client_crl.is_some() {
            let message = "missing `client_ca`: without it no client certificate is asked for; name the file with the CA certificates of the clients, or omit `client_crl`";
            found.problem(here.key("client_crl"), message);
        }
        for (number, name) in pair.names.iter().enumerate() {
            if !taken.insert(name.to_string()) {
                let message = format!(
                    "invalid host `{name}`: another certificate is for it already; remove one of them"
                );
                found.problem(here.key("names").item(number), message);
            }
        }
    }
}
