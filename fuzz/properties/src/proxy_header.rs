//! Headers of the PROXY protocol: exactly the announced bytes are read, and one client is told or none.

use http_canonical::proxy_protocol::{LONGEST, START, Start};

/// The first bytes of a connection.
pub fn proxy_header(data: &[u8]) {
    let Some((start, after)) = data.split_first_chunk::<START>() else { return };
    let Ok(read) = Start::read(*start) else { return };
    assert!(read.rest() <= LONGEST);
    let Some(rest) = after.get(..read.rest()) else {
        // A part of the header tells nothing.
        assert!(after.len() == read.rest() || read.source(after).is_err());
        return;
    };
    let told = read.source(rest);
    if after.len() > rest.len() {
        // Bytes of the client change nothing, and are not taken for the header.
        assert!(read.source(after).is_err());
    }
    if let Ok(Some(source)) = told {
        let address = source.ip();
        assert_eq!(address, address.to_canonical());
        assert!(!address.is_unspecified() && !address.is_multicast());
        // The address is in the header, where its family has it.
        let (length, port) = if start[13] == 0x11 { (4, 8) } else { (16, 32) };
        let bytes = &rest[..length];
        let told: Vec<u8> = match (address, length) {
            (std::net::IpAddr::V4(address), 4) => address.octets().to_vec(),
            (std::net::IpAddr::V4(address), _) => address.to_ipv6_mapped().octets().to_vec(),
            (std::net::IpAddr::V6(address), _) => address.octets().to_vec(),
        };
        assert_eq!(told, bytes);
        assert_eq!(source.port().to_be_bytes(), rest[port..port + 2]);
    }
}
