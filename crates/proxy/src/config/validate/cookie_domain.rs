//! Checks of the domain whose hosts share one session (RFC 6265bis §5.6.3).
//!
//! Every host that the gateway serves must be of the domain: a browser drops a cookie of a domain that its host is not of, and
//! a sign-in there would begin again and again.

use url::Host;

use super::Findings;
use crate::config::problem::KeyPath;
use crate::config::{Config, HostPattern};

pub(super) fn check(here: &KeyPath, config: &Config, found: &mut Findings) {
    let Some(domain) = config.session.dangerous_cookie_domain.as_deref() else { return };
    let public_host = config.public_url.host();
    let message = match public_host {
        _ if !is_domain(domain) => format!(
            "invalid domain {domain:?}: write a name of two labels or more, in lower case and without a leading dot, such as \
             `lab.example`"
        ),
        Some(Host::Domain(host)) if is_of(host, domain) => {
            found.warning(
                here.clone(),
                format!(
                    "browsers send the session cookie to every server of `{domain}`, also to those that are not behind this \
                     gateway, and each of them can set a cookie of its name"
                ),
            );
            return hosts(domain, config, found);
        }
        _ => format!(
            "invalid domain {domain:?}: the host of `public_url` is not of it; write that host or a parent of it, such as \
             `lab.example` for `platform.lab.example`"
        ),
    };
    found.problem(here.clone(), message);
}

fn hosts(domain: &str, config: &Config, found: &mut Findings) {
    for (name, route) in &config.routes {
        let (host, shown) = match &route.matches.host {
            Some(HostPattern::Exact(host)) => (host, host.clone()),
            Some(HostPattern::Below(parent)) => (parent, format!("*.{parent}")),
            None => continue,
        };
        if !is_of(host, domain) {
            let message = format!(
                "invalid host `{shown}`: it is not of `session.dangerous_cookie_domain` ({domain}), so no session could begin \
                 there; serve it by a gateway of its own, or remove that key"
            );
            found.problem(super::at(&["routes", name, "match", "host"]), message);
        }
    }
}

/// Whether a text is a domain that a cookie can have: not an address, and not a single label, which is a public suffix.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253
        && text.contains('.')
        && text.split('.').all(label)
        && matches!(Host::parse(text), Ok(Host::Domain(_)))
}

/// Whether a host is the domain, or is below it.
fn is_of(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::{is_domain, is_of};

    #[test]
    fn a_domain_has_two_labels_and_is_no_address() {
        for good in
            ["lab.example", "a-b.example", "xn--bcher-kva.example", "a.b.c.d", "lab.localhost"]
        {
            assert!(is_domain(good), "{good}");
        }
        for bad in [
            "",
            "example",
            "localhost",
            ".lab.example",
            "lab.example.",
            "lab..example",
            "Lab.example",
            "*.lab.example",
            "127.0.0.1",
            "0x7f.1",
            "[::1]",
            "lab.example:8443",
            "lab.example/x",
            "lab_a.example",
            "-a.example",
            "a b.example",
            "b\u{fc}cher.example",
            "lab.example; Secure",
        ] {
            assert!(!is_domain(bad), "{bad}");
        }
    }

    #[test]
    fn a_host_is_of_its_domain_by_whole_labels() {
        assert!(is_of("lab.example", "lab.example"));
        assert!(is_of("a.lab.example", "lab.example"));
        assert!(is_of("b.a.lab.example", "lab.example"));
        for other in ["example", "evillab.example", "lab.example.evil.example", "lab.examples"] {
            assert!(!is_of(other, "lab.example"), "{other}");
        }
    }
}
