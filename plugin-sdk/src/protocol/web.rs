//! The first bytes of HTTP, HTTP/2 and TLS on a game's TCP port.
//!
//! Facts: RFC 9112 section 3 (request line), RFC 9113 section 3.4 (`PRI * HTTP/2.0`), RFC 8446 section 5.1 (a
//! record of type 22 and version 3.x), HAProxy "The PROXY protocol".

use super::PROXY_V2;
use crate::{Cursor, Head, Parse, Reason, Stop};

/// What a client begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Web<'a> {
    /// A request line as far as its target goes.
    Request {
        /// `GET`, `POST` and so on.
        method: &'a [u8],
        /// The path.
        target: &'a [u8],
    },
    /// HTTP/2 without TLS.
    Http2,
    /// TLS.
    Tls,
    /// A proxy's header, behind which the client's bytes come.
    Proxy,
}

/// Longest target that is read; a longer one counts as not yet ended.
const TARGET_BYTES_MAX: usize = 8192;

/// The methods of RFC 9110 and PATCH (RFC 5789).
const METHODS: [&[u8]; 9] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"];

/// Reads the beginning of a stream; what is none of these is `bad` with the first byte that shows it.
pub fn web<'a>(head: &Head<'a>, bad: Reason) -> Parse<Web<'a>> {
    head.parse(|cursor| read(cursor, bad))
}

fn read<'a>(cursor: &mut Cursor<'a>, bad: Reason) -> Result<Web<'a>, Stop> {
    match cursor.peek()? {
        0x16 => {
            cursor.tag(&[0x16, 0x03], bad)?;
            Ok(Web::Tls)
        }
        0x0d => {
            cursor.tag(&PROXY_V2, bad)?;
            Ok(Web::Proxy)
        }
        b'P' => read_p(cursor, bad),
        b'A'..=b'Z' => request(cursor, bad),
        _ => Err(Stop::Bad(bad)),
    }
}

/// `P` begins `POST`, `PUT`, `PATCH`, HTTP/2's preface and the PROXY protocol's first version.
fn read_p<'a>(cursor: &mut Cursor<'a>, bad: Reason) -> Result<Web<'a>, Stop> {
    let rest = cursor.rest();
    if rest.starts_with(b"PRI") {
        return cursor.tag(b"PRI * HTTP/2.0\r\n", bad).map(|()| Web::Http2);
    }
    if rest.starts_with(b"PRO") {
        return cursor.tag(b"PROXY ", bad).map(|()| Web::Proxy);
    }
    if rest.len() < 3 && (b"PRI".starts_with(rest) || b"PRO".starts_with(rest)) {
        return Err(Stop::NeedMore);
    }
    request(cursor, bad)
}

fn request<'a>(cursor: &mut Cursor<'a>, bad: Reason) -> Result<Web<'a>, Stop> {
    let rest = cursor.rest();
    let starts = |method: &&[u8]| rest.iter().zip(method.iter()).all(|(seen, wanted)| seen == wanted);
    if !METHODS.iter().any(starts) {
        return Err(Stop::Bad(bad));
    }
    let method = cursor.until(b' ', 7, bad)?;
    if !METHODS.contains(&method) {
        return Err(Stop::Bad(bad));
    }
    let target = cursor.until(b' ', TARGET_BYTES_MAX, bad)?;
    cursor.tag(b"HTTP/1.", bad)?;
    Ok(Web::Request { method, target })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Reason = Reason(1);

    fn check(bytes: &[u8], wanted: Parse<Web<'_>>) {
        assert_eq!(web(&Head::new(bytes, false, false), BAD), wanted, "{:?}", String::from_utf8_lossy(bytes));
        for cut in 0..bytes.len() {
            let seen = web(&Head::new(&bytes[..cut], false, false), BAD);
            assert!(seen == wanted || seen == Parse::NeedMore, "cut at {cut}: {seen:?}");
        }
    }

    #[test]
    fn beginnings() {
        check(b"GET /a HTTP/1.1\r\n", Parse::Ok(Web::Request { method: b"GET", target: b"/a" }));
        check(b"POST /client HTTP/1.1\r\n", Parse::Ok(Web::Request { method: b"POST", target: b"/client" }));
        check(b"PUT / HTTP/1.0\r\n", Parse::Ok(Web::Request { method: b"PUT", target: b"/" }));
        check(b"PRI * HTTP/2.0\r\n", Parse::Ok(Web::Http2));
        check(b"PROXY TCP4 ", Parse::Ok(Web::Proxy));
        check(&PROXY_V2, Parse::Ok(Web::Proxy));
        check(&[0x16, 3, 1, 2, 0], Parse::Ok(Web::Tls));
        check(b"GET /x", Parse::NeedMore);
    }

    #[test]
    fn other_bytes() {
        for bytes in
            [&b"\0\0"[..], b"\x16\x02", b"get /", b"GETS /", b"PRIX", b"STARTFILES", b"\xff", b"GET / FTP"]
        {
            let seen = web(&Head::new(bytes, false, false), BAD);
            assert_eq!(seen, Parse::Bad(BAD), "{bytes:02x?}");
        }
    }
}
