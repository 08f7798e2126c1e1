//! Addresses as clients put them together (`//api/v1/query`, `/metrics/`): where there is nothing at such a
//! path, its client is sent to the path without empty parts, dots and a slash at its end.

use axum::{
    extract::Request,
    http::{Method, StatusCode, header::LOCATION},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Answers in the place of 404 where there is a cleaner path.
pub(crate) async fn redirect(request: Request, next: Next) -> Response {
    let elsewhere = cleaned(request.uri().path()).map(|path| match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    });
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let response = next.run(request).await;
    match elsewhere {
        Some(location) if response.status() == StatusCode::NOT_FOUND => {
            // Behind the older status a client would ask by GET, without its form.
            let status = if is_read { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT };
            (status, [(LOCATION, location)]).into_response()
        }
        _ => response,
    }
}

/// The path as it should have been, if it is another one.
fn cleaned(path: &str) -> Option<String> {
    // Browsers take a backslash for a slash, and two of them for another host's address.
    if path.contains('\\') {
        return None;
    }
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    // Below the API Prometheus has no path with such an end either.
    let end = if path.ends_with('/') && parts.first() == Some(&"api") { "/" } else { "" };
    let clean = format!("/{}{end}", parts.join("/"));
    (clean != path).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (path, clean) in [
            ("/", None),
            ("/api/v1/query", None),
            ("//api/v1/query", Some("/api/v1/query")),
            ("/api//v1/query/", Some("/api/v1/query/")),
            ("/api/v1/", None),
            ("/metrics/", Some("/metrics")),
            ("/a/../b/./c", Some("/b/c")),
            ("/../..//x", Some("/x")),
            ("//example.org", Some("/example.org")),
            ("/./\\example.org", None),
            ("//", Some("/")),
            ("/a/%2e%2e/b", None),
        ] {
            assert_eq!(cleaned(path).as_deref(), clean, "{path}");
        }
    }
}
