//! `/api/v1/openapi.yaml`: what this API has, for programs. The document stands in `openapi.yaml`, in OpenAPI
//! 3.1; who asks for 3.2 is told of streams what one event of theirs is.

use crate::params::Params;
use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};

pub(crate) const DOCUMENT: &str = include_str!("openapi.yaml");

/// What is written otherwise in version 3.2, and how. Each stands in the document once.
const IN_VERSION_3_2: [(&str, &str); 2] = [
    ("\nopenapi: 3.1.0\n", "\nopenapi: 3.2.0\n"),
    (
        "text/event-stream: {schema: {type: string}}",
        "text/event-stream: {itemSchema: {$ref: '#/components/schemas/Event'}}",
    ),
];

pub(crate) async fn document(params: Params) -> Response {
    let text = match params.get("openapi_version") {
        Some("3.2") => version_3_2().into_response(),
        _ => DOCUMENT.into_response(),
    };
    ([(CONTENT_TYPE, "application/yaml; charset=utf-8")], text).into_response()
}

fn version_3_2() -> String {
    IN_VERSION_3_2.iter().fold(DOCUMENT.to_owned(), |text, (from, to)| text.replacen(from, to, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A path with a method.
    type Route = (String, &'static str);

    const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

    /// The routes that the document has.
    fn documented() -> BTreeSet<Route> {
        let (mut found, mut path) = (BTreeSet::new(), String::new());
        let paths = DOCUMENT.split("\npaths:\n").nth(1).unwrap().split("\ncomponents:\n").next().unwrap();
        for line in paths.lines() {
            if let Some(begins) = line.strip_prefix("  /") {
                path = format!("/{}", begins.trim_end_matches(':'));
            }
            let method = METHODS.into_iter().find(|method| line == format!("    {method}:"));
            found.extend(method.map(|method| (path.clone(), method)));
        }
        found
    }

    /// The routes that `router` mounts when everything is enabled, as the source says them.
    fn mounted() -> BTreeSet<Route> {
        let source = include_str!("lib.rs").replace([' ', '\n'], "");
        let body = |name: &str| {
            let rest = source.split(&format!("fn{name}(")).nth(1).unwrap();
            rest.split("asyncfn")
                .next()
                .unwrap()
                .split("}fn")
                .next()
                .unwrap()
                .split("}///")
                .next()
                .unwrap()
                .to_owned()
        };
        let mut found = BTreeSet::new();
        for (name, prefix) in [
            ("router", ""),
            ("query_routes", "/api/v1"),
            ("search_routes", "/api/v1"),
            ("state_routes", "/api/v1"),
            ("push_routes", "/api/v1"),
            ("push_routes_of_others", ""),
            ("wipe_route", "/api/v1"),
            ("admin_routes", "/api/v1/admin/tsdb"),
            ("lifecycle_routes", ""),
        ] {
            for route in body(name).split(".route(\"").skip(1) {
                let (path, handlers) = route.split_once("\",").unwrap();
                let handlers = handlers.split(".layer(").next().unwrap();
                for method in METHODS.into_iter().filter(|m| handlers.contains(&format!("{m}("))) {
                    found.insert((format!("{prefix}{path}").replace("{*", "{"), method));
                }
            }
        }
        found
    }

    #[test]
    fn each_difference_of_version_3_2_stands_in_the_document_once() {
        for (from, to) in IN_VERSION_3_2 {
            assert_eq!(DOCUMENT.matches(from).count(), 1, "{from}");
            assert_eq!(version_3_2().matches(to).count(), 1, "{to}");
        }
    }

    #[test]
    fn the_document_has_the_routes_that_are_mounted_and_no_others() {
        let (documented, mounted) = (documented(), mounted());
        assert!(mounted.len() > 50, "{mounted:?}");
        let missing: Vec<_> = mounted.difference(&documented).collect();
        let gone: Vec<_> = documented.difference(&mounted).collect();
        assert!(missing.is_empty(), "openapi.yaml lacks {missing:?}");
        assert!(gone.is_empty(), "openapi.yaml has what is not mounted: {gone:?}");
    }
}
