//! The web interface, embedded in the binary.

use axum::{
    http::{
        HeaderName, HeaderValue, Method, StatusCode, Uri,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LOCATION, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};
use std::fmt::Write;

#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
struct Files;

/// The page of the root; a path that names no file leads nowhere.
const INDEX: &str = "index.html";
/// The page for queries of Prometheus, and where it was in old releases: links to them stand in alerts and
/// dashboards.
const QUERY: &str = "query";
const GRAPH: &str = "graph";

/// Nothing is loaded from anywhere else; styles may be set by script, since the charts do so.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    frame-ancestors 'self'; base-uri 'self'; form-action 'self'";

/// The page that stands at the server's root.
pub(crate) async fn home() -> Response {
    file(Uri::from_static("/")).await
}

/// The same to whoever asks by another method: that there is nothing is said first.
pub(crate) async fn file_by_any_method(method: Method, uri: Uri) -> Response {
    let found = file(uri).await;
    if matches!(method, Method::GET | Method::HEAD) || found.status() == StatusCode::NOT_FOUND {
        return found;
    }
    (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n").into_response()
}

/// Answers for everything that is not the API.
pub(crate) async fn file(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path == GRAPH {
        // Beside it, whatever prefixes stand before both.
        let location = format!("{QUERY}?{}", uri.query().unwrap_or_default());
        return (StatusCode::FOUND, [(LOCATION, location)]).into_response();
    }
    let path = if path.is_empty() || path == QUERY { INDEX } else { path };
    match Files::get(path) {
        Some(found) => answer(path, found),
        // Clients ask for this page to see whether a server is there.
        None if path == INDEX => {
            "This binary was built without the web interface: run `make ui`, then build again.\n"
                .into_response()
        }
        None => (StatusCode::NOT_FOUND, format!("There is nothing at /{path}.\n")).into_response(),
    }
}

fn answer(path: &str, found: EmbeddedFile) -> Response {
    let mut response = found.data.into_response();
    let headers = response.headers_mut();
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let mut set = |name: HeaderName, value: &str| {
        headers
            .insert(name, HeaderValue::from_str(value).expect("invariant: our own values are plain ASCII"));
    };
    set(CONTENT_TYPE, kind.as_ref());
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(REFERRER_POLICY, "no-referrer");
    set(CONTENT_SECURITY_POLICY, POLICY);
    // Names below assets/ contain a hash of the contents, so what is there never changes.
    set(
        CACHE_CONTROL,
        if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" },
    );
    set(ETAG, &etag(&found.metadata.sha256_hash()));
    response
}

fn etag(hash: &[u8; 32]) -> String {
    let mut out = String::from("\"");
    for byte in &hash[..16] {
        write!(out, "{byte:02x}").expect("invariant: writing to a String cannot fail");
    }
    out.push('"');
    out
}
