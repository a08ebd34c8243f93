//! The header of the PROXY protocol, version 2, by which a proxy tells the client's address before the first byte of a connection
//! ([specification] §2.2).
//!
//! Version 1 is refused: its end is found by searching, and so by reading bytes of the client. So are families without an IP
//! address and datagrams: the gateway would take the proxy for the client. Nothing here reads a socket.
//!
//! [specification]: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes by which the header begins: the signature, version and command, family, length.
pub const START: usize = 16;

/// Most bytes after the start: addresses and fields about the connection.
pub const LONGEST: usize = 2048;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The type of the field that holds a checksum of the header.
const CRC32C: u8 = 0x03;

/// Reasons a header is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyHeaderRefusal {
    /// The connection begins with other bytes.
    #[error("the connection does not begin with a header of the PROXY protocol, version 2")]
    Signature,
    /// Another version.
    #[error("unsupported version of the PROXY protocol; send version 2")]
    Version,
    /// A command other than `LOCAL` and `PROXY`.
    #[error("unknown command")]
    Command,
    /// No TCP connection of an IP address.
    #[error("unsupported family: not TCP over IPv4 or IPv6")]
    Family,
    /// Longer than [`LONGEST`].
    #[error("the header is longer than {LONGEST} bytes")]
    TooLong,
    /// Fields that do not end where the header does.
    #[error("the fields do not fit the length of the header")]
    Length,
    /// A checksum that does not fit.
    #[error("the checksum does not fit the header")]
    Checksum,
    /// An address that no client has.
    #[error("the source is no address of a client")]
    Source,
}

/// The start of a header that is acceptable so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    bytes: [u8; START],
    command: Command,
    length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Local,
    Ipv4,
    Ipv6,
}

impl Start {
    /// Reads the first bytes of a connection.
    ///
    /// # Errors
    ///
    /// See [`ProxyHeaderRefusal`].
    pub fn read(bytes: [u8; START]) -> Result<Self, ProxyHeaderRefusal> {
        let [signature @ .., version_and_command, family, high, low] = bytes;
        if signature != SIGNATURE {
            return Err(ProxyHeaderRefusal::Signature);
        }
        if version_and_command >> 4 != 2 {
            return Err(ProxyHeaderRefusal::Version);
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > LONGEST {
            return Err(ProxyHeaderRefusal::TooLong);
        }
        let command = match (version_and_command & 15, family) {
            // The family of a connection of the proxy's own means nothing.
            (0, _) => Command::Local,
            (1, 0x11) => Command::Ipv4,
            (1, 0x21) => Command::Ipv6,
            (1, _) => return Err(ProxyHeaderRefusal::Family),
            _ => return Err(ProxyHeaderRefusal::Command),
        };
        Ok(Self { bytes, command, length })
    }

    /// Bytes of the header that follow.
    pub fn rest(&self) -> usize {
        self.length
    }

    /// The client's address; `None` for a connection of the proxy's own, such as a health check.
    ///
    /// # Errors
    ///
    /// See [`ProxyHeaderRefusal`]. `rest` must have the length that [`Start::rest`] announces.
    pub fn source(&self, rest: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderRefusal> {
        if rest.len() != self.length {
            return Err(ProxyHeaderRefusal::Length);
        }
        let (source, fields) = match self.command {
            // Its addresses and fields mean nothing.
            Command::Local => return Ok(None),
            Command::Ipv4 => {
                let (addresses, fields) =
                    rest.split_first_chunk::<12>().ok_or(ProxyHeaderRefusal::Length)?;
                let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
                let address = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
                (SocketAddr::new(address, u16::from_be_bytes([high, low])), fields)
            }
            Command::Ipv6 => {
                let (address, more) =
                    rest.split_first_chunk::<16>().ok_or(ProxyHeaderRefusal::Length)?;
                let (_, more) = more.split_first_chunk::<16>().ok_or(ProxyHeaderRefusal::Length)?;
                let (ports, fields) =
                    more.split_first_chunk::<4>().ok_or(ProxyHeaderRefusal::Length)?;
                let [high, low, _, _] = *ports;
                let address = IpAddr::V6(Ipv6Addr::from(*address)).to_canonical();
                (SocketAddr::new(address, u16::from_be_bytes([high, low])), fields)
            }
        };
        self.check(rest, fields)?;
        let address = source.ip();
        if address.is_unspecified() || address.is_multicast() {
            return Err(ProxyHeaderRefusal::Source);
        }
        Ok(Some(source))
    }

    /// Checks that the fields fill the header, and its checksum where there is one. Their contents decide nothing.
    fn check(&self, rest: &[u8], mut fields: &[u8]) -> Result<(), ProxyHeaderRefusal> {
        let mut checksum = None;
        while let Some(([kind, high, low], after)) = fields.split_first_chunk::<3>() {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (value, next) = after.split_at_checked(length).ok_or(ProxyHeaderRefusal::Length)?;
            if *kind == CRC32C {
                let value: [u8; 4] = value.try_into().map_err(|_| ProxyHeaderRefusal::Length)?;
                let at = rest.len() - after.len();
                if checksum.replace((at, u32::from_be_bytes(value))).is_some() {
                    return Err(ProxyHeaderRefusal::Checksum);
                }
            }
            fields = next;
        }
        if !fields.is_empty() {
            return Err(ProxyHeaderRefusal::Length);
        }
        let Some((at, stated)) = checksum else { return Ok(()) };
        let zeroed = |index: usize, byte: u8| if (at..at + 4).contains(&index) { 0 } else { byte };
        let bytes = rest.iter().enumerate().map(|(index, byte)| zeroed(index, *byte));
        match crc32c(self.bytes.into_iter().chain(bytes)) == stated {
            true => Ok(()),
            false => Err(ProxyHeaderRefusal::Checksum),
        }
    }
}

/// The checksum of RFC 3720 §12.1, bit by bit: a header is short, and few have one.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let mut remainder = !0u32;
    for byte in bytes {
        remainder ^= u32::from(byte);
        for _ in 0..8 {
            let odd = remainder & 1;
            remainder >>= 1;
            if odd == 1 {
                remainder ^= 0x82F6_3B78;
            }
        }
    }
    !remainder
}

#[cfg(test)]
mod tests;
