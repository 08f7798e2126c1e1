//! Which scope a request needs, by its path and method. Knows no credentials. Whatever is not known to change
//! nothing is an administrator's.

use axum::{extract::Request, http::Method};
use skopos_web::Scope;

/// Where the routes of the API begin, wherever they are mounted.
const API: &str = "/api/v1/";
/// What is asked by `POST` and changes nothing, behind `API`.
const ASKED_BY_POST: [&str; 13] = [
    "export",
    "export/csv",
    "query",
    "query_range",
    "query_exemplars",
    "format_query",
    "parse_query",
    "series",
    "labels",
    "read",
    "search/metric_names",
    "search/label_names",
    "search/label_values",
];
/// What is asked by `POST` and brings samples, behind `API`.
const PUSHED: [&str; 5] = ["write", "otlp/v1/metrics", "import", "import/csv", "import/prometheus"];
/// The same, wherever the API is.
const PUSHED_ENDS: [&str; 4] = ["/write", "/api/v2/write", "/query", "/ping"];
/// Groups of the Pushgateway, which are put and deleted too.
const GROUPS: [&str; 2] = ["/metrics/job/", "/metrics/job@base64/"];

/// The scope that `request` needs.
pub fn needed_scope(request: &Request) -> Scope {
    let path = request.uri().path();
    // A prefix may contain anything, also this.
    let route = path.rfind(API).map(|at| &path[at + API.len()..]);
    let only_asks = match *request.method() {
        Method::GET | Method::HEAD | Method::OPTIONS => {
            !route.is_some_and(|route| route.starts_with("admin/"))
                && !["/-/reload", "/-/quit"].iter().any(|end| path.ends_with(end))
        }
        Method::POST => route.is_some_and(|route| ASKED_BY_POST.contains(&route)),
        _ => false,
    };
    let is_admins = route.is_some_and(|route| route.starts_with("admin/"))
        || ["/-/reload", "/-/quit"].iter().any(|end| path.ends_with(end));
    let is_of_group = GROUPS.iter().any(|group| path.contains(group));
    let pushes = match *request.method() {
        _ if is_admins => false,
        Method::PUT | Method::DELETE => is_of_group,
        Method::POST => {
            let is_end = PUSHED_ENDS.iter().any(|end| path.ends_with(end));
            is_of_group || is_end || route.is_some_and(|route| PUSHED.contains(&route))
        }
        _ => false,
    };
    match (only_asks, pushes) {
        (true, _) => Scope::Read,
        (false, true) => Scope::Write,
        (false, false) => Scope::Admin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(method: &str, path: &str) -> Scope {
        let request = Request::builder().method(method).uri(path).body(axum::body::Body::empty()).unwrap();
        needed_scope(&request)
    }

    #[test]
    fn what_can_change_the_server_needs_more() {
        for (method, path, scope) in [
            ("GET", "/api/v1/query", Scope::Read),
            ("POST", "/query", Scope::Write),
            ("POST", "/prefix/influx/query", Scope::Write),
            ("POST", "/ping", Scope::Write),
            ("POST", "/prefix/api/v1/query", Scope::Read),
            ("GET", "/metrics", Scope::Read),
            ("POST", "/prefix/api/v1/admin/tsdb/snapshot", Scope::Admin),
            ("GET", "/api/v1/admin/tsdb/snapshot", Scope::Admin),
            ("PUT", "/-/reload", Scope::Admin),
            ("GET", "/prefix/-/quit", Scope::Admin),
            ("POST", "/prefix/api/v1/write", Scope::Write),
            ("PUT", "/api/v1/write", Scope::Admin),
            ("POST", "/write", Scope::Write),
            ("POST", "/prefix/influx/api/v2/write", Scope::Write),
            ("POST", "/api/v1/import/csv", Scope::Write),
            ("POST", "/api/v1/export", Scope::Read),
            ("PUT", "/prefix/metrics/job/a/x/y", Scope::Write),
            ("DELETE", "/metrics/job@base64/YQ", Scope::Write),
            ("GET", "/metrics/job/a", Scope::Read),
            ("PUT", "/api/v1/admin/wipe", Scope::Admin),
            ("POST", "/metrics/job/x/-/reload", Scope::Admin),
            ("PUT", "/metrics/job/x/api/v1/admin/tsdb/snapshot", Scope::Admin),
            ("POST", "/x/api/v1/write/api/v1/admin/tsdb/snapshot", Scope::Admin),
            // A prefix says nothing of what stands behind it.
            ("GET", "/x/api/v1/admin/api/v1/query", Scope::Read),
            ("POST", "/x/api/v1/query/api/v1/admin/tsdb/snapshot", Scope::Admin),
            // What nobody has thought of yet.
            ("POST", "/api/v1/something", Scope::Admin),
            ("DELETE", "/api/v1/series", Scope::Admin),
            ("PUT", "/api/v1/query", Scope::Admin),
        ] {
            assert_eq!(needed(method, path), scope, "{method} {path}");
        }
    }

    #[test]
    fn all_that_is_described_and_asks_may_be_asked_by_readers() {
        let (mut path, mut seen) = ("", 0);
        for line in crate::openapi::DOCUMENT.lines() {
            if line.starts_with("  /") {
                path = line.trim().trim_end_matches(':');
            }
            let method = match line {
                "    get:" => "GET",
                "    post:" => "POST",
                "    put:" => "PUT",
                "    delete:" => "DELETE",
                _ => continue,
            };
            let changes = ["/admin/", "/-/reload", "/-/quit"].iter().any(|part| path.contains(part));
            let pushes = path.contains("/write")
                || path.contains("/import")
                || path.contains("/otlp/")
                || path.contains("/metrics/{key}")
                || method == "POST"
                    && !path.contains("/api/")
                    && PUSHED_ENDS.iter().any(|e| path.ends_with(e));
            let scope = if changes {
                Scope::Admin
            } else if pushes {
                Scope::Write
            } else {
                Scope::Read
            };
            assert_eq!(
                needed(method, &path.replace("{name}", "x").replace("{key}", "job/x")),
                scope,
                "{method} {path}"
            );
            seen += 1;
        }
        assert!(seen > 30, "{seen} were found in the document");
    }
}
