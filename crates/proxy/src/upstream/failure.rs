//! One-line causes of failed exchanges with an upstream.

use std::{error::Error, io};

use super::pool::READ_AHEAD;

/// The cause of a failed exchange, in words.
pub(crate) fn explain(error: &hyper::Error) -> String {
    if let Some(cause) = cause::<io::Error>(error) {
        if let Some(alert) = cause.get_ref().and_then(|inner| inner.downcast_ref()) {
            return refused_by_tls(alert).unwrap_or_else(|| chain(error));
        }
        return match cause.kind() {
            io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
            io::ErrorKind::BrokenPipe => "connection closed while sending".to_owned(),
            io::ErrorKind::UnexpectedEof => {
                "connection closed in the middle of the response".to_owned()
            }
            io::ErrorKind::ConnectionAborted => "connection aborted".to_owned(),
            _ => chain(error),
        };
    }
    if error.is_incomplete_message() {
        return "connection closed before the response was complete".to_owned();
    }
    if error.is_parse_too_large() {
        return format!("the head of its response is larger than {} KiB", READ_AHEAD / 1024);
    }
    if error.is_parse() {
        return format!("its response is not valid HTTP: {}", chain(error));
    }
    if error.is_canceled() || error.is_closed() {
        return "connection closed before the request was sent".to_owned();
    }
    chain(error)
}

/// A TLS error after the handshake. In TLS 1.3 the upstream judges the gateway's certificate only then.
pub(super) fn refused_by_tls(error: &rustls::Error) -> Option<String> {
    use rustls::AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, UnknownCA, UnsupportedCertificate,
    };
    match error {
        rustls::Error::AlertReceived(CertificateRequired) => Some(
            "TLS: the upstream wants a client certificate; set `upstream_tls.client_certificate`"
                .to_owned(),
        ),
        rustls::Error::AlertReceived(
            alert @ (AccessDenied
            | BadCertificate
            | CertificateExpired
            | CertificateRevoked
            | CertificateUnknown
            | UnknownCA
            | UnsupportedCertificate),
        ) => Some(format!("TLS: the upstream refused the client certificate: {alert:?}")),
        _ => None,
    }
}

/// Whether the other end closed the connection without a response.
pub(crate) fn is_hang_up(error: &hyper::Error) -> bool {
    if error.is_parse() || error.is_user() {
        return false;
    }
    error.is_incomplete_message()
        || error.is_canceled()
        || error.is_closed()
        || cause::<io::Error>(error).is_some_and(|cause| {
            matches!(
                cause.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionAborted
            )
        })
}

fn cause<T: Error + 'static>(error: &hyper::Error) -> Option<&T> {
    let mut next = error.source();
    while let Some(one) = next {
        if let Some(found) = one.downcast_ref::<T>() {
            return Some(found);
        }
        next = one.source();
    }
    None
}

fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(one) = next {
        let more = one.to_string();
        if !words.ends_with(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        next = one.source();
    }
    words
}
