//! The layer in front of all routes: headers, how often requests may come, and whether this one may.

use crate::{
    config::Scope,
    protection::{Access, Credentials, Protection},
};
use axum::{
    extract::{Request, State},
    http::{
        HeaderValue, StatusCode, Version,
        header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::sync::Arc;

/// How a call of gRPC says what it is.
const GRPC: &str = "application/grpc";

/// What the layer works with.
#[derive(Clone)]
pub struct Guard {
    /// What is in force.
    pub protection: Arc<Protection>,
    /// What a request needs.
    pub needs: fn(&Request) -> Scope,
}

/// Lets a request through, or not.
pub async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let in_force = guard.protection.now();
    let is_call = is_grpc(&request);
    let mut response = match guard.protection.take_request(&in_force) {
        Err(wait) => {
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            let refused =
                (StatusCode::TOO_MANY_REQUESTS, "Too many requests (rate_limit): try again later.\n");
            Err(([(RETRY_AFTER, seconds)], refused).into_response())
        }
        Ok(()) if let Err(why) = check_host(&request) => {
            Err((StatusCode::BAD_REQUEST, format!("400 Bad Request: {why}\n")).into_response())
        }
        Ok(()) => {
            let need = (guard.needs)(&request);
            // The header is the client's: it lives no longer than the question.
            let header = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or("");
            let decoded = Decoded::of(header);
            match guard.protection.access(&in_force, decoded.credentials(), need).await {
                Access::Granted => Ok(next.run(request).await),
                refused => Err(refusal(refused, need)),
            }
        }
    }
    .unwrap_or_else(|refused| if is_call { of_call(&refused) } else { refused });
    for (name, value) in &in_force.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

/// Whether the client speaks gRPC, which knows no statuses of HTTP and needs HTTP/2.
fn is_grpc(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let behind = kind.strip_prefix(GRPC.as_bytes()).map(<[u8]>::first);
    request.version() == Version::HTTP_2 && matches!(behind, Some(None | Some(b'+' | b';')))
}

/// A refusal as a call is answered: its status as a number of the protocol, and no message.
fn of_call(refused: &Response) -> Response {
    let (code, message) = match refused.status() {
        StatusCode::UNAUTHORIZED => (16, "no credentials that are known here"),
        StatusCode::FORBIDDEN => (7, "the token lacks the scope that this needs"),
        StatusCode::TOO_MANY_REQUESTS => (8, "too many requests (rate_limit): try again later"),
        StatusCode::SERVICE_UNAVAILABLE => (14, "too many passwords to check: try again later"),
        StatusCode::BAD_REQUEST => (3, "the request names no sound host"),
        _ => (13, "the password could not be checked"),
    };
    let mut response = Response::default();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    headers.insert("grpc-status", HeaderValue::from(code));
    headers.insert("grpc-message", HeaderValue::from_static(message));
    response
}

/// A request of HTTP/1.1 names one host, in characters that a host may have (RFC 9112, 3.2).
fn check_host(request: &Request) -> Result<(), &'static str> {
    if request.version() != Version::HTTP_11 {
        return Ok(());
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().ok_or("missing required Host header")?;
    if hosts.next().is_some() {
        return Err("too many Host headers");
    }
    let may_stand = |b: &u8| b.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(b);
    if host.as_bytes().iter().all(may_stand) { Ok(()) } else { Err("malformed Host header") }
}

fn refusal(access: Access, need: Scope) -> Response {
    match access {
        Access::Forbidden => {
            let text = format!("Forbidden: the token lacks the scope {:?}.\n", need.as_str());
            (StatusCode::FORBIDDEN, text).into_response()
        }
        Access::Busy => (StatusCode::SERVICE_UNAVAILABLE, "Too many passwords to check: try again later.\n")
            .into_response(),
        Access::Failed => {
            (StatusCode::INTERNAL_SERVER_ERROR, "The password could not be checked.\n").into_response()
        }
        _ => {
            let challenge = HeaderValue::from_static("Basic");
            ([(WWW_AUTHENTICATE, challenge)], (StatusCode::UNAUTHORIZED, "Unauthorized\n")).into_response()
        }
    }
}

/// The header `Authorization`, decoded as far as needed.
enum Decoded<'a> {
    None,
    Basic(String),
    Bearer(&'a str),
}

impl<'a> Decoded<'a> {
    fn of(header: &'a str) -> Self {
        let Some((scheme, rest)) = header.split_once(' ') else { return Self::None };
        if scheme.eq_ignore_ascii_case("bearer") {
            let token = rest.trim();
            return if token.is_empty() { Self::None } else { Self::Bearer(token) };
        }
        let decoded = scheme.eq_ignore_ascii_case("basic").then(|| base64(rest.trim())).flatten();
        decoded.and_then(|bytes| String::from_utf8(bytes).ok()).map_or(Self::None, Self::Basic)
    }

    fn credentials(&self) -> Credentials<'_> {
        match self {
            Self::None => Credentials::None,
            Self::Bearer(token) => Credentials::Token(token),
            Self::Basic(pair) => match pair.split_once(':') {
                Some((user, password)) => Credentials::Password { user, password },
                None => Credentials::None,
            },
        }
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    BASE64_STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_one_sound_host() {
        for (version, hosts, sound) in [
            (Version::HTTP_11, &["localhost:9090"][..], true),
            (Version::HTTP_11, &["[::1]:9090"], true),
            (Version::HTTP_11, &[""], true),
            (Version::HTTP_11, &[], false),
            (Version::HTTP_11, &["a", "a"], false),
            (Version::HTTP_11, &["a b"], false),
            (Version::HTTP_11, &["a/b"], false),
            (Version::HTTP_10, &[], true),
            (Version::HTTP_2, &[], true),
        ] {
            let request = hosts.iter().fold(axum::http::Request::builder(), |r, host| r.header(HOST, *host));
            let request = request.version(version).body(axum::body::Body::empty()).unwrap();
            assert_eq!(check_host(&request).is_ok(), sound, "{version:?} {hosts:?}");
        }
    }

    #[test]
    fn a_call_that_is_refused_is_told_so_in_its_own_words() {
        for (version, kind, is_call) in [
            (Version::HTTP_2, "application/grpc", true),
            (Version::HTTP_2, "application/grpc+proto", true),
            (Version::HTTP_2, "application/grpc-web", false),
            (Version::HTTP_2, "text/plain", false),
            (Version::HTTP_11, "application/grpc", false),
        ] {
            let request = axum::http::Request::builder().version(version).header(CONTENT_TYPE, kind);
            assert_eq!(is_grpc(&request.body(axum::body::Body::empty()).unwrap()), is_call, "{kind}");
        }
        for (access, code) in
            [(Access::Unknown, "16"), (Access::Forbidden, "7"), (Access::Busy, "14"), (Access::Failed, "13")]
        {
            let response = of_call(&refusal(access, Scope::Write));
            let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            assert_eq!((response.status(), header("grpc-status")), (StatusCode::OK, code.to_owned()));
            assert_eq!(header("content-type"), "application/grpc");
            assert!(header("grpc-message").len() > 10);
        }
    }

    #[test]
    fn credentials_are_read_from_the_header() {
        let read = |header: &str| match Decoded::of(header).credentials() {
            Credentials::None => "none".to_owned(),
            Credentials::Password { user, password } => format!("{user}|{password}"),
            Credentials::Token(token) => format!("token {token}"),
        };
        for (header, want) in [
            ("Basic YWxpY2U6b3BlbjpzZXNhbWU=", "alice|open:sesame"),
            ("basic  YWxpY2U6", "alice|"),
            ("Bearer abc", "token abc"),
            // HTTP/2 hands on the blank behind the word.
            ("Bearer ", "none"),
            ("bearer   ", "none"),
            ("Basic YWxpY2U=", "none"),
            ("Basic !", "none"),
            ("Digest x", "none"),
            ("", "none"),
        ] {
            assert_eq!(read(header), want, "{header}");
        }
    }
}
