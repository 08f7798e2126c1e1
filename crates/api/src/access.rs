//! Which scope a request needs, by its path and method. Knows no credentials.

use axum::extract::Request;
use skopos_web::Scope;

/// What can change or end the server, wherever the routes are mounted.
const ADMIN: [&str; 3] = ["/api/v1/admin/", "/-/reload", "/-/quit"];

/// The scope that `request` needs.
pub fn needed_scope(request: &Request) -> Scope {
    let path = request.uri().path();
    if ADMIN.iter().any(|part| path.contains(part)) { Scope::Admin } else { Scope::Read }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_change_the_server_needs_more() {
        for (path, scope) in [
            ("/api/v1/query", Scope::Read),
            ("/metrics", Scope::Read),
            ("/prefix/api/v1/admin/tsdb/snapshot", Scope::Admin),
            ("/-/reload", Scope::Admin),
            ("/prefix/-/quit", Scope::Admin),
        ] {
            let request = Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
            assert_eq!(needed_scope(&request), scope, "{path}");
        }
    }
}
