//! The certificate of a client, as a trusted proxy states it that ended its TLS ([RFC 9440]).
//!
//! The fields are ignored unless the peer is a trusted proxy and the gateway was told that its proxies write them. A value with
//! two readings is refused. Nothing here judges the certificate.
//!
//! [RFC 9440]: https://www.rfc-editor.org/rfc/rfc9440

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};

use crate::{certificate::ClientCertificate, refusal::RequestRefusal};

/// `client-cert`: the certificate of the client, from a trusted proxy (RFC 9440 §2.2).
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
/// `client-cert-chain`: the certificates between it and an authority (RFC 9440 §2.3).
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// The largest certificate that is read, in bytes.
const LARGEST: usize = 16 * 1024;
/// The longest chain that is read.
const LONGEST: usize = 8;

impl ClientCertificate {
    /// Reads the fields of a trusted proxy; `None` if the client has no certificate.
    ///
    /// ```
    /// use http::HeaderMap;
    /// use http_canonical::ClientCertificate;
    ///
    /// let mut headers = HeaderMap::new();
    /// assert_eq!(ClientCertificate::of_proxy(&headers), Ok(None));
    /// headers.insert("client-cert", "not a certificate".parse()?);
    /// assert!(ClientCertificate::of_proxy(&headers).is_err());
    /// # Ok::<(), http::header::InvalidHeaderValue>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`RequestRefusal::ClientCertificate`] for fields that have not exactly one reading (RFC 8941 §3.3.5).
    pub fn of_proxy(headers: &HeaderMap) -> Result<Option<Self>, RequestRefusal> {
        let invalid = RequestRefusal::ClientCertificate;
        let mut own = headers.get_all(CLIENT_CERT).iter();
        let chain = headers.get_all(CLIENT_CERT_CHAIN);
        let Some(first) = own.next() else {
            // RFC 9440 §2.3: the chain is sent only together with the certificate.
            return if chain.iter().next().is_none() { Ok(None) } else { Err(invalid) };
        };
        if own.next().is_some() {
            return Err(invalid);
        }
        let der = bytes(first.as_bytes()).ok_or(RequestRefusal::ClientCertificate)?;
        let members = chain.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let chain: Option<Vec<Vec<u8>>> =
            members.take(LONGEST + 1).map(|member| bytes(trimmed(member))).collect();
        match chain {
            Some(chain) if chain.len() <= LONGEST => Ok(Some(Self::new(der, chain))),
            _ => Err(invalid),
        }
    }
}

/// Optional white space around a member of a list is no part of it (RFC 8941 §4.2.1).
fn trimmed(member: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = member.iter().position(|byte| !blank(byte)).unwrap_or(member.len());
    let end = member.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    member.get(start..end).unwrap_or_default()
}

/// A byte sequence without parameters (RFC 8941 §3.3.5) that holds one DER value and nothing after it.
fn bytes(item: &[u8]) -> Option<Vec<u8>> {
    let encoded = item.strip_prefix(b":")?.strip_suffix(b":")?;
    if encoded.len() > LARGEST.div_ceil(3) * 4 {
        return None;
    }
    let der = STANDARD.decode(encoded).ok()?;
    is_one_sequence(&der).then_some(der)
}

/// Whether the bytes are one SEQUENCE of DER, with its length in the shortest form (X.690 §10.1).
fn is_one_sequence(der: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = der else { return false };
    let (length, content) = match (length, rest) {
        (0..=0x7f, content) => (usize::from(*length), content),
        (0x81, [one, content @ ..]) if *one >= 0x80 => (usize::from(*one), content),
        (0x82, [high, low, content @ ..]) if *high > 0 => {
            (usize::from(u16::from_be_bytes([*high, *low])), content)
        }
        _ => return false,
    };
    content.len() == length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&'static str, &str)]) -> Result<Option<ClientCertificate>, RequestRefusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        ClientCertificate::of_proxy(&headers)
    }

    fn item(der: &[u8]) -> String {
        format!(":{}:", STANDARD.encode(der))
    }

    #[test]
    fn a_certificate_and_its_chain_are_read() {
        let (own, one, two) = ([0x30, 1, 7], [0x30, 1, 8], [0x30, 1, 9]);
        let alone = read(&[("client-cert", &item(&own))]).unwrap().unwrap();
        assert_eq!((alone.der(), alone.chain().count()), (&own[..], 0));
        let list = format!("{}, {}", item(&one), item(&two));
        for chain in [vec![list.as_str()], vec![&item(&one), &item(&two)]] {
            let mut fields = vec![("client-cert", item(&own))];
            fields.extend(chain.iter().map(|line| ("client-cert-chain", (*line).to_owned())));
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
            let read = read(&fields).unwrap().unwrap();
            assert_eq!(read.chain().collect::<Vec<_>>(), [&one[..], &two[..]]);
        }
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(format!("{alone:?}"), "ClientCertificate { bytes: 3, chain: 0 }");
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        let good = item(&[0x30, 1, 7]);
        let long = item(&[&[0x30, 0x82, 0x40, 0x00][..], &[7; 0x4000]].concat());
        let list = format!("{good},{good}");
        let with_parameter = format!("{good};a=1");
        let (chain, many) = (format!("{good},"), [good.as_str(); LONGEST + 1].join(","));
        for fields in [
            &[("client-cert", good.as_str()), ("client-cert", good.as_str())][..],
            &[("client-cert", list.as_str())],
            &[("client-cert", with_parameter.as_str())],
            &[("client-cert", "")],
            &[("client-cert", "::")],
            &[("client-cert", "MAEH")],
            &[("client-cert", ":MAEH")],
            &[("client-cert", ":MAE=:")],
            &[("client-cert", ":MAEHAA==:")],
            &[("client-cert", ":MIEBBw==:")],
            &[("client-cert", ":M AEH:")],
            &[("client-cert", ":MAE_:")],
            &[("client-cert", "-----BEGIN CERTIFICATE-----")],
            &[("client-cert", long.as_str())],
            &[("client-cert-chain", good.as_str())],
            &[("client-cert", good.as_str()), ("client-cert-chain", chain.as_str())],
            &[("client-cert", good.as_str()), ("client-cert-chain", many.as_str())],
            &[("client-cert", good.as_str()), ("client-cert-chain", "")],
        ] {
            assert_eq!(read(fields), Err(RequestRefusal::ClientCertificate), "{fields:?}");
        }
    }
}
