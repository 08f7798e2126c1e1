//! Signatures of requests to AWS (Signature Version 4). Finds no keys and sends nothing.
//!
//! Source: "Create a signed AWS API request", docs.aws.amazon.com/IAM/latest/UserGuide.

use jiff::Timestamp;
use reqwest::Url;
use ring::{
    digest::{SHA256, digest},
    hmac,
};
use skopos_base::secret::Secret;
use std::fmt::Write as _;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: Secret<String>,
    /// That of keys that end.
    pub(crate) token: Option<Secret<String>>,
    pub(crate) until: Option<Timestamp>,
}

/// Where the keys are used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a Url,
    /// Headers that are signed beside the host and those that the signature needs; their names in lower case.
    pub(crate) headers: &'a [(&'static str, String)],
    pub(crate) body: &'a str,
}

/// The headers that a request has beside its own: when, who, and the proof.
pub(crate) fn sign(
    keys: &Keys,
    scope: Scope<'_>,
    now: Timestamp,
    asked: Asked<'_>,
) -> Vec<(&'static str, String)> {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut added = vec![("x-amz-date", time.clone())];
    added.extend(keys.token.iter().map(|token| ("x-amz-security-token", token.expose().clone())));
    let host = asked.url.host_str().unwrap_or_default();
    let host = asked.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut signed: Vec<_> = asked.headers.iter().chain(&added).cloned().collect();
    signed.push(("host", host));
    signed.sort_unstable();
    let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let headers: String = signed.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{names}\n{}",
        asked.method,
        path_of(asked.url),
        query_of(asked.url),
        hex(digest(&SHA256, asked.body.as_bytes()).as_ref()),
    );
    let day = &time[..8];
    let place = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let hash = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{place}\n{hash}");
    let first = format!("AWS4{}", keys.secret.expose()).into_bytes();
    let parts = [day, scope.region, scope.service, "aws4_request", &text];
    let proof = parts.iter().fold(first, |key, part| mac(&key, part));
    let credential = format!("{}/{place}", keys.id);
    let value =
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={}", hex(&proof));
    added.push(("authorization", value));
    added
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// The path, encoded once more: what is encoded in it is part of a name.
fn path_of(url: &Url) -> String {
    url.path().split('/').map(encoded).collect::<Vec<_>>().join("/")
}

fn query_of(url: &Url) -> String {
    let mut pairs: Vec<_> = url.query_pairs().map(|(key, value)| (encoded(&key), encoded(&value))).collect();
    pairs.sort_unstable();
    pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
}

/// A text with all but letters, digits and `-._~` encoded.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the documentation.
    #[test]
    fn the_documented_request_has_the_documented_signature() {
        let keys = Keys {
            id: "AKIDEXAMPLE".to_owned(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            token: None,
            until: None,
        };
        let url = Url::parse("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08").unwrap();
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8".to_owned())];
        let asked = Asked { method: "GET", url: &url, headers: &headers, body: "" };
        let now = "2015-08-30T12:36:00Z".parse().unwrap();
        let signed = sign(&keys, Scope { region: "us-east-1", service: "iam" }, now, asked);
        assert_eq!(signed[0], ("x-amz-date", "20150830T123600Z".to_owned()));
        let expected = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
            SignedHeaders=content-type;host;x-amz-date, \
            Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        assert_eq!(signed[1], ("authorization", expected.to_owned()));
    }

    #[test]
    fn what_is_encoded_in_a_path_is_encoded_again() {
        let url = Url::parse("http://h:1/v1/a%3Ab%2Fc?b=x+y&a=%2F").unwrap();
        assert_eq!(path_of(&url), "/v1/a%253Ab%252Fc");
        assert_eq!(query_of(&url), "a=%2F&b=x%20y");
    }
}
