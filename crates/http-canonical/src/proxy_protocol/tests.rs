use super::*;

/// A header with this command and family.
fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

fn read(bytes: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderRefusal> {
    let (start, rest) = bytes.split_first_chunk::<START>().unwrap();
    let start = Start::read(*start)?;
    start.source(&rest[..start.rest().min(rest.len())])
}

fn ipv4(fields: &[u8]) -> Vec<u8> {
    let addresses = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 0x01, 0xBB];
    header(0x21, 0x11, &[&addresses[..], fields].concat())
}

#[test]
fn the_source_is_the_client() {
    assert_eq!(read(&ipv4(&[])), Ok(Some("203.0.113.7:4711".parse().unwrap())));
    let mut addresses = [0u8; 36];
    addresses[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
    addresses[32..34].copy_from_slice(&4711u16.to_be_bytes());
    let told = read(&header(0x21, 0x21, &addresses));
    assert_eq!(told, Ok(Some("[2001:db8::7]:4711".parse().unwrap())));
    // One address has one form, whichever family it came in.
    addresses[..16].copy_from_slice(&"::ffff:203.0.113.7".parse::<Ipv6Addr>().unwrap().octets());
    let told = read(&header(0x21, 0x21, &addresses));
    assert_eq!(told, Ok(Some("203.0.113.7:4711".parse().unwrap())));
}

#[test]
fn a_connection_of_the_proxys_own_tells_no_client() {
    assert_eq!(read(&header(0x20, 0x00, &[])), Ok(None));
    assert_eq!(read(&header(0x20, 0x11, &[1; 12])), Ok(None));
    assert_eq!(read(&header(0x20, 0xFF, &[1; 40])), Ok(None));
}

#[test]
fn other_headers_are_refused() {
    use ProxyHeaderRefusal as Refused;
    let mut http = *b"GET / HTTP/1.1\r\n";
    assert_eq!(Start::read(http), Err(Refused::Signature));
    http = *b"PROXY TCP4 1.1.1";
    assert_eq!(Start::read(http), Err(Refused::Signature), "version 1");
    for command in [0x11, 0x31, 0x01, 0xF1] {
        assert_eq!(read(&header(command, 0x11, &[0; 12])), Err(Refused::Version));
    }
    assert_eq!(read(&header(0x22, 0x11, &[0; 12])), Err(Refused::Command));
    for family in [0x00, 0x01, 0x10, 0x12, 0x22, 0x31, 0x32, 0x41, 0xFF] {
        assert_eq!(read(&header(0x21, family, &[0; 216])), Err(Refused::Family), "{family:x}");
    }
    for source in [[0, 0, 0, 0], [224, 0, 0, 1], [239, 1, 2, 3]] {
        let addresses = [&source[..], &[10, 0, 0, 1, 1, 1, 1, 1]].concat();
        assert_eq!(read(&header(0x21, 0x11, &addresses)), Err(Refused::Source));
    }
}

#[test]
fn fields_must_fill_the_header() {
    use ProxyHeaderRefusal as Refused;
    for fields in [&[][..], &[0x04, 0, 0], &[0x02, 0, 1, b'a', 0x20, 0, 2, 0, 0], &[0xEE, 0, 0]] {
        assert!(read(&ipv4(fields)).is_ok(), "{fields:?}");
    }
    for fields in [&[0x04][..], &[0x04, 0], &[0x04, 0, 1], &[0x02, 0xFF, 0xFF, 1], &[3, 0, 1, 0]] {
        assert_eq!(read(&ipv4(fields)), Err(Refused::Length), "{fields:?}");
    }
    for short in 0..12 {
        assert_eq!(read(&header(0x21, 0x11, &vec![1; short])), Err(Refused::Length));
    }
    for short in [0, 12, 35] {
        assert_eq!(read(&header(0x21, 0x21, &vec![1; short])), Err(Refused::Length));
    }
    assert_eq!(read(&header(0x21, 0x11, &vec![0; LONGEST + 1])), Err(Refused::TooLong));
}

#[test]
fn a_checksum_that_does_not_fit_is_refused() {
    use ProxyHeaderRefusal as Refused;
    // RFC 3720 §B.4
    assert_eq!(crc32c((0..32).map(|_| 0)), 0x8A91_36AA);
    let fields = |sum: u32| [&[CRC32C, 0, 4][..], &sum.to_be_bytes(), &[0x04, 0, 0]].concat();
    let sum = crc32c(ipv4(&fields(0)).into_iter());
    assert!(read(&ipv4(&fields(sum))).is_ok());
    assert_eq!(read(&ipv4(&fields(sum ^ 1))), Err(Refused::Checksum));
    let twice = [fields(sum), fields(sum)].concat();
    assert_eq!(read(&ipv4(&twice)), Err(Refused::Checksum));
}
