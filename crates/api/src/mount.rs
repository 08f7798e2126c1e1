//! `Mount`: where the routes stand, and for which pages of other hosts browsers may call them.

use crate::ui;
use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ORIGIN, VARY,
        },
    },
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use skopos_model::re2::WholeText;
use std::sync::Arc;

/// What a compiled expression may take, in bytes.
const COMPILED_MAX_BYTES: usize = 1 << 20;

/// Where the routes stand, and which of them there are.
#[derive(Clone, Debug)]
pub struct Mount {
    /// The address under which clients reach the server, without a slash at its end; none where nobody said
    /// it.
    pub external_url: String,
    /// The machine's name, under which targets of this machine are reached where no such address is said.
    pub own_name: String,
    /// The port on which it listens.
    pub own_port: Option<u16>,
    /// What all paths begin with: empty, or a slash and a path without a slash at its end.
    pub prefix: String,
    /// Pages of these origins may call the API.
    pub cors_origin: CorsOrigin,
    /// Whether there is `/api/v1/admin`.
    pub admin_api: bool,
    /// Whether there are `/-/reload` and `/-/quit`.
    pub lifecycle: bool,
}

impl Default for Mount {
    fn default() -> Self {
        let cors_origin = CorsOrigin::new(".*").expect("invariant: the pattern is one");
        let (external_url, own_name, prefix) = (String::new(), String::new(), String::new());
        let (admin_api, lifecycle) = (false, false);
        Self { external_url, own_name, own_port: None, prefix, cors_origin, admin_api, lifecycle }
    }
}

/// Where the routes stand, for those who say which path was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prefix(pub(crate) Arc<str>);

impl Mount {
    /// The routes below the prefix; the root leads there.
    pub(crate) fn mounted(&self, routes: Router) -> Router {
        if self.prefix.is_empty() {
            return routes;
        }
        let home = format!("{}/", self.prefix);
        let location = home.clone();
        let to_home = move || async move { Redirect::to(&location) };
        let here = to_home.clone();
        Router::new()
            .route("/", get(to_home))
            .route(&self.prefix, get(here))
            // What is nested does not have its own root with the slash.
            .route(&home, get(ui::home))
            .nest(&self.prefix, routes)
    }
}

/// The addresses of targets for whoever is not on this machine: its own name for itself is replaced by that
/// of the external address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GlobalUrls {
    scheme: String,
    /// With the port, where there is one.
    authority: String,
    own_port: Option<u16>,
}

impl GlobalUrls {
    pub(crate) fn new(mount: &Mount) -> Self {
        let own_port = mount.own_port.map_or_else(String::new, |port| format!(":{port}"));
        let unsaid = if mount.own_name.is_empty() {
            String::new()
        } else {
            format!("http://{}{own_port}", mount.own_name)
        };
        let url = if mount.external_url.is_empty() { &unsaid } else { &mount.external_url };
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let authority = rest.split('/').next().unwrap_or_default();
        Self { scheme: scheme.to_owned(), authority: authority.to_owned(), own_port: mount.own_port }
    }

    /// What stands for `url`.
    pub(crate) fn of(&self, url: &str) -> String {
        self.replaced(url).unwrap_or_else(|| url.to_owned())
    }

    fn replaced(&self, url: &str) -> Option<String> {
        let (_, rest) = url.split_once("://").filter(|_| !self.authority.is_empty())?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = authority.rsplit_once(':')?;
        if !matches!(host, "localhost" | "127.0.0.1") {
            return None;
        }
        if self.own_port.is_some_and(|own| port == own.to_string()) {
            return Some(format!("{}://{}{path}", self.scheme, self.authority));
        }
        let scheme = &url[..url.len() - rest.len()];
        let is_port = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let host = match self.authority.rsplit_once(':') {
            Some((host, port)) if is_port(port) => host,
            _ => &self.authority,
        };
        Some(format!("{scheme}{host}:{port}{path}"))
    }
}

/// The origins whose pages may call the API.
#[derive(Clone, Debug)]
pub struct CorsOrigin {
    pattern: WholeText,
    any: bool,
}

impl CorsOrigin {
    /// Those that `pattern` matches as a whole.
    pub fn new(pattern: &str) -> Result<Self, String> {
        Ok(Self { pattern: WholeText::new(pattern, COMPILED_MAX_BYTES)?, any: pattern == ".*" })
    }

    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        origin.to_str().ok().filter(|o| self.pattern.is_match(o)).map(|_| origin.clone())
    }
}

/// Says which pages may call, and answers a browser that asks before it does.
pub(crate) async fn cors(State(origins): State<CorsOrigin>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    set_headers(response.headers_mut(), &origins, origin.as_ref());
    response
}

fn set_headers(headers: &mut HeaderMap, origins: &CorsOrigin, origin: Option<&HeaderValue>) {
    headers.append(VARY, HeaderValue::from_name(ORIGIN));
    let Some(allowed) = origin.and_then(|o| origins.allowed(o)) else { return };
    let fixed: [(HeaderName, &'static str); 3] = [
        (ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_names_are_not_for_others() {
        let of = |external: &str, url: &str| {
            let mount = Mount { external_url: external.to_owned(), own_port: Some(9090), ..Mount::default() };
            GlobalUrls::new(&mount).of(url)
        };
        for (external, url, global) in [
            (
                "http://mon.example.org",
                "http://localhost:9100/metrics",
                "http://mon.example.org:9100/metrics",
            ),
            (
                "https://mon.example.org:444/x",
                "http://127.0.0.1:9100/m?a=b",
                "http://mon.example.org:9100/m?a=b",
            ),
            (
                "https://mon.example.org:444/x",
                "http://localhost:9090/x/metrics",
                "https://mon.example.org:444/x/metrics",
            ),
            ("https://[::2]", "http://localhost:1/", "http://[::2]:1/"),
            ("http://mon.example.org", "http://other:9100/metrics", "http://other:9100/metrics"),
            ("", "http://localhost:9100/metrics", "http://localhost:9100/metrics"),
            ("/only/a/path", "http://localhost:9100/metrics", "http://localhost:9100/metrics"),
            ("http://mon.example.org", "in-process://node", "in-process://node"),
        ] {
            assert_eq!(of(external, url), global, "{external} {url}");
        }
        let unsaid = Mount { own_name: "vm".to_owned(), own_port: Some(9090), ..Mount::default() };
        for (url, global) in [
            ("http://localhost:9100/metrics", "http://vm:9100/metrics"),
            ("http://localhost:9090/metrics", "http://vm:9090/metrics"),
            ("http://other:9100/metrics", "http://other:9100/metrics"),
        ] {
            assert_eq!(GlobalUrls::new(&unsaid).of(url), global, "{url}");
        }
    }
}
