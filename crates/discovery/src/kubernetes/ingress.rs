//! The role `ingress`: a target for each path of each host.

use super::{
    objects::{Object, PREFIX, set_about},
    world::Known,
};
use crate::meta::Meta;
use skopos_model::Labels;

/// The labels of the group, and its targets.
pub(super) fn group(ingress: &Object, known: &Known) -> (Labels, Vec<Labels>) {
    let (mut meta, spec) = (Meta::new(PREFIX), ingress.json().get("spec"));
    meta.set("namespace", ingress.namespace());
    meta.set("ingress_class_name", spec.text("ingressClassName"));
    set_about(&mut meta, "ingress", ingress.about());
    known.set_namespace(&mut meta, ingress.namespace());
    let mut targets = Vec::new();
    for rule in spec.list("rules") {
        let host = rule.text("host");
        let is_secured = spec.list("tls").any(|tls| tls.texts("hosts").any(|pattern| fits(pattern, host)));
        let target = |path: &str| {
            let mut target = Meta::new(PREFIX);
            target
                .address(host)
                .set("ingress_scheme", if is_secured { "https" } else { "http" })
                .set("ingress_host", host)
                .set("ingress_path", if path.is_empty() { "/" } else { path })
                .build()
        };
        let paths = rule.get("http");
        if paths.is_there() {
            targets.extend(paths.list("paths").map(|path| target(path.text("path"))));
        } else {
            targets.push(target("/"));
        }
    }
    (meta.build(), targets)
}

/// Whether a host is one of those that a pattern stands for: `*` is one whole first part of a name.
fn fits(pattern: &str, host: &str) -> bool {
    let behind = |name: &str| name.split_once('.').map(|(_, rest)| rest.to_owned());
    pattern == host || (pattern.starts_with("*.") && behind(pattern) == behind(host))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_is_one_part_of_a_name() {
        for (pattern, host, expected) in [
            ("a.b", "a.b", true),
            ("*.b", "a.b", true),
            ("*.b.c", "a.b.c", true),
            ("*.b", "a.c.b", false),
            ("*.b", "b", false),
            ("*", "a", false),
            ("", "", true),
            ("a.b", "", false),
        ] {
            assert_eq!(fits(pattern, host), expected, "{pattern} {host}");
        }
    }
}
