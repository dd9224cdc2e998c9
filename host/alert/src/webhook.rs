//! The webhook: JSON by POST, signed.
//!
//! `X-Ftagent-Signature: v1=HEX` is HMAC-SHA256 over the bytes of `X-Ftagent-Timestamp`, a full stop and the body.
//! The timestamp is that of the try, in seconds since 1970, so that a receiver can refuse what is old.

use std::net::IpAddr;
use std::time::Duration;
use std::time::SystemTime;

use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use reqwest::header::HeaderMap;
use reqwest::header::RETRY_AFTER;
use ring::hmac;

use crate::AlertError;
use crate::courier::Outcome;
use crate::limits;
use crate::secret::Secret;
use crate::settings;

/// The receiver.
#[derive(Debug)]
pub(crate) struct Webhook {
    http: reqwest::Client,
    url: reqwest::Url,
    secret: Option<Secret>,
}

impl Webhook {
    /// Checks everything that can be checked without sending.
    pub(crate) fn new(settings: &settings::Webhook, answer_ms: u64) -> Result<Self, AlertError> {
        let url = address(&settings.url)?;
        let secret = settings.secret_file.as_deref().map(Secret::read).transpose()?;
        // The provider may be there already; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_millis(answer_ms))
            // What is signed goes where the operator said, and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("ftagent/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| AlertError::Tls { why: innermost(&error) })?;
        Ok(Self { http, url, secret })
    }

    /// Where it goes, without what may be a token.
    pub(crate) fn shown(&self) -> String {
        format!("{}://{}", self.url.scheme(), self.url.host_str().unwrap_or("?"))
    }

    /// One try. The second value says what went wrong.
    pub(crate) async fn send(&self, id: &str, body: String) -> (Outcome, String) {
        let seconds =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("X-Ftagent-Delivery", id)
            .header("X-Ftagent-Timestamp", seconds);
        if let Some(secret) = &self.secret {
            let signed = signature(secret.bytes(), seconds, body.as_bytes());
            request = request.header("X-Ftagent-Signature", format!("v1={signed}"));
        }
        match request.body(body).send().await {
            Ok(response) => {
                let status = response.status();
                (judge(status, response.headers()), format!("it answered {status}"))
            }
            Err(error) => (Outcome::Failed, innermost(&error.without_url())),
        }
    }
}

/// HMAC-SHA256 of a notice, in lower-case hexadecimal digits.
pub fn signature(secret: &[u8], timestamp_seconds: u64, body: &[u8]) -> String {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    mac.update(format!("{timestamp_seconds}.").as_bytes());
    mac.update(body);
    mac.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an answer means.
fn judge(status: StatusCode, headers: &HeaderMap) -> Outcome {
    match status.as_u16() {
        200..=299 => Outcome::Delivered,
        // "Too many requests" is the one client error that asks for a retry (RFC 6585, section 4).
        429 | 503 => match headers.get(RETRY_AFTER).and_then(|value| retry_after_ms(value.to_str().ok()?)) {
            Some(wait_ms) => Outcome::FailedFor(wait_ms),
            None => Outcome::Failed,
        },
        500..=599 => Outcome::Failed,
        _ => Outcome::Refused,
    }
}

/// Seconds or a date (RFC 9110, section 10.2.3); `None` for nonsense.
fn retry_after_ms(value: &str) -> Option<u64> {
    let value = value.trim();
    let wait_ms = match value.parse::<u64>() {
        Ok(seconds) => seconds.saturating_mul(1_000),
        Err(_) => {
            let at = httpdate::parse_http_date(value).ok()?;
            let wait = at.duration_since(SystemTime::now()).unwrap_or_default();
            u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
        }
    };
    Some(wait_ms.min(limits::RETRY_AFTER_MS))
}

/// Only `https`, and `http` to this machine: a notice must not cross a network in the clear.
fn address(url: &str) -> Result<reqwest::Url, AlertError> {
    let refuse = |why: &str| AlertError::Address { why: why.to_owned() };
    let url = reqwest::Url::parse(url).map_err(|error| refuse(&format!("is none: {error}")))?;
    let host = url.host_str().ok_or_else(|| refuse("names no host"))?;
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if here => Ok(url),
        "http" => Err(refuse("begins with `http:`; only `https:` leaves this machine")),
        _ => Err(refuse("does not begin with `https:`")),
    }
}

/// The innermost cause: the outer ones only say that a request failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_hmac_sha256_over_timestamp_and_body() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let expected = "e4f8e2ecae2295b2ddb2f0b5584c8275e226c0ebe9b3b819e70156bb67122e3e";
        assert_eq!(signature(b"0123456789abcdef", 1_700_000_000, b"{}"), expected);
    }

    #[test]
    fn l09_retry_after_is_seconds_or_a_date_and_nonsense_is_tolerated() {
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        for (value, expected) in [
            ("7", Some(7_000)),
            (" 7 ", Some(7_000)),
            ("0", Some(0)),
            ("99999999999999999999", None),
            ("18446744073709551615", Some(limits::RETRY_AFTER_MS)),
            ("-1", None),
            ("soon", None),
            ("", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
        ] {
            assert_eq!(retry_after_ms(value), expected, "{value:?}");
        }
        let wait_ms = retry_after_ms(&date).expect("a date");
        assert!((98_000..=100_000).contains(&wait_ms), "{wait_ms} ms");
    }

    #[test]
    fn every_status_has_one_meaning() {
        for (status, expected) in [
            (200, Outcome::Delivered),
            (204, Outcome::Delivered),
            (302, Outcome::Refused),
            (400, Outcome::Refused),
            (404, Outcome::Refused),
            (429, Outcome::Failed),
            (500, Outcome::Failed),
            (503, Outcome::Failed),
        ] {
            let code = StatusCode::from_u16(status).expect("a status");
            assert_eq!(judge(code, &HeaderMap::new()), expected, "{status}");
        }
    }

    #[test]
    fn only_https_leaves_the_machine() {
        for (url, fits) in [
            ("https://hooks.example/x", true),
            ("http://127.0.0.1:9/x", true),
            ("http://[::1]:9/x", true),
            ("http://localhost/x", true),
            ("http://hooks.example/x", false),
            ("http://127.0.0.1.evil.example/x", false),
            ("http://127.0.0.1@198.51.100.1/x", false),
            ("ftp://hooks.example/x", false),
            ("hooks.example", false),
            ("", false),
        ] {
            assert_eq!(address(url).is_ok(), fits, "{url}");
        }
    }
}
