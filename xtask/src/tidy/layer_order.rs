//! Rule: every crate has a place in `layers.toml` and depends on crates of strictly lower layers alone; the
//! pure layers depend on no package that brings async, threads or chance.
//!
//! It reads the `Cargo.toml` files, not the resolved graph: what counts is what a crate says it needs.

use toml::Table;

use super::Tree;
use crate::finding::Finding;
use crate::layers::{LAYERS_FILE, Layers, Place, Unlayered, crate_of};

const PREFIX: &str = "skopos-";
const KINDS: [(&str, Kind); 3] = [
    ("dependencies", Kind::Product),
    ("build-dependencies", Kind::Product),
    ("dev-dependencies", Kind::Tests),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Product,
    Tests,
}

/// A crate of the workspace: its folder's name, its manifest and its place.
struct Crate<'a> {
    name: &'a str,
    path: &'a str,
    text: &'a str,
    place: Place,
}

/// Findings for manifests that break the order of the layers.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| path.ends_with("/Cargo.toml")) {
        let Some(name) = crate_of(path).filter(|name| *path == format!("crates/{name}/Cargo.toml")) else {
            continue;
        };
        let Some(place) = tree.layers.place(name) else {
            let wrong = format!("crate `{name}` has no place");
            findings.push(Finding::new(path, 1, wrong, format!("give it a layer in {LAYERS_FILE}")));
            continue;
        };
        let own = Crate { name, path, text, place };
        match text.parse::<Table>() {
            Ok(manifest) => findings.extend(check_crate(&tree.layers, &own, &manifest)),
            Err(error) => findings.push(Finding::new(path, 1, format!("not valid TOML: {error}"), "mend it")),
        }
    }
    findings
}

fn check_crate(layers: &Layers, own: &Crate<'_>, manifest: &Table) -> Vec<Finding> {
    let mut findings = Vec::new();
    let package =
        manifest.get("package").and_then(|package| package.get("name")).and_then(|name| name.as_str());
    let expected = if own.name == "skopos" { own.name.to_owned() } else { format!("{PREFIX}{}", own.name) };
    if package != Some(expected.as_str()) {
        findings.push(Finding::new(
            own.path,
            1,
            "the package is not named after its folder",
            format!("name it `{expected}`"),
        ));
    }
    let per_target = manifest.get("target").and_then(|targets| targets.as_table());
    let per_target = per_target.into_iter().flat_map(Table::values).filter_map(|target| target.as_table());
    for section in std::iter::once(manifest).chain(per_target) {
        for (key, kind) in KINDS {
            let dependencies = section.get(key).and_then(|dependencies| dependencies.as_table());
            for (alias, value) in dependencies.into_iter().flatten() {
                let renamed = value.get("package").and_then(|package| package.as_str());
                findings.extend(check_dependency(layers, own, renamed.unwrap_or(alias), kind));
            }
        }
    }
    findings
}

fn check_dependency(layers: &Layers, own: &Crate<'_>, package: &str, kind: Kind) -> Option<Finding> {
    let (wrong, remedy) = match package.strip_prefix(PREFIX) {
        Some(other) => crate_breach(layers, own, other, kind)?,
        None if package == "skopos" => crate_breach(layers, own, package, kind)?,
        None => package_breach(layers, own, package)?,
    };
    let line = own.text.lines().position(|line| line.contains(package)).map_or(1, |at| at + 1);
    Some(Finding::new(own.path, line, wrong, remedy))
}

/// What is wrong with using crate `other` of the workspace, if anything.
fn crate_breach(layers: &Layers, own: &Crate<'_>, other: &str, kind: Kind) -> Option<(String, String)> {
    let name = own.name;
    match (layers.place(other), own.place) {
        (None, _) => Some((
            format!("`{name}` uses `{other}`, which has no place"),
            format!("give `{other}` a layer in {LAYERS_FILE}"),
        )),
        (Some(Place::Beside(Unlayered { dev_only: true, .. })), _) if kind == Kind::Product => Some((
            format!("`{name}` uses `{other}`, which is for tests alone"),
            "move it to [dev-dependencies]".to_owned(),
        )),
        (Some(Place::Beside(_)), _) => None,
        (Some(Place::Layer(lower)), Place::Layer(upper))
            if lower == upper && layers.allows_same_layer(name, other) =>
        {
            None
        }
        (Some(Place::Layer(lower)), Place::Layer(upper)) if lower >= upper => Some((
            format!("`{name}` (layer {upper}) uses `{other}` (layer {lower})"),
            "use crates of lower layers alone; move the seam that both need further down".to_owned(),
        )),
        (Some(Place::Layer(layer)), Place::Beside(place)) if layer > place.uses_up_to => Some((
            format!("`{name}` may use layers up to {}, `{other}` is on layer {layer}", place.uses_up_to),
            "use crates of lower layers alone".to_owned(),
        )),
        (Some(Place::Layer(_)), _) => None,
    }
}

/// What is wrong with using `package` from the registry, if anything.
fn package_breach(layers: &Layers, own: &Crate<'_>, package: &str) -> Option<(String, String)> {
    let up_to = layers.pure_up_to();
    let is_pure = matches!(own.place, Place::Layer(layer) if layer <= up_to);
    let banned = layers.pure.banned_packages.iter().any(|one| one == package);
    (is_pure && banned).then(|| {
        (
            format!("`{}` uses package `{package}`, which layers 0 to {up_to} may not", own.name),
            "go through `skopos-base`, or move the code to a crate of the edges".to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::check_files;

    fn manifest(folder: &str, rest: &str) -> (String, String) {
        let package = if folder == "skopos" { folder.to_owned() } else { format!("skopos-{folder}") };
        (format!("crates/{folder}/Cargo.toml"), format!("[package]\nname = \"{package}\"\n{rest}"))
    }

    fn check_manifest(folder: &str, rest: &str, expected: &[&str]) {
        let (path, text) = manifest(folder, rest);
        check_files(check, &[(&path, &text, expected)]);
    }

    #[test]
    fn dependencies_point_strictly_downwards() {
        let cases: [(&str, &str, &[&str]); 8] = [
            ("tsdb", "[dependencies]\nskopos-model.workspace = true\n", &[]),
            (
                "model",
                "[dependencies]\nskopos-tsdb.workspace = true\n",
                &["4: `model` (layer 1) uses `tsdb` (layer 4)"],
            ),
            (
                "model",
                "[dependencies]\nskopos-chunk.workspace = true\n",
                &["4: (layer 1) uses `chunk` (layer 1)"],
            ),
            ("model", "[dev-dependencies]\nskopos-tsdb.workspace = true\n", &["4: uses `tsdb`"]),
            ("model", "[dependencies]\nbricks = { package = \"skopos-tsdb\" }\n", &["4: uses `tsdb`"]),
            (
                "model",
                "[target.'cfg(unix)'.dependencies]\nskopos-tsdb.workspace = true\n",
                &["4: uses `tsdb`"],
            ),
            ("tsdb", "[dependencies]\nskopos-nowhere.workspace = true\n", &["4: no place"]),
            (
                "scrape",
                "[dependencies]\nskopos = { path = \"../skopos\" }\n",
                &["2: uses `skopos` (layer 7)"],
            ),
        ];
        for (folder, rest, expected) in cases {
            check_manifest(folder, rest, expected);
        }
    }

    #[test]
    fn the_test_kit_is_for_tests_and_keeps_to_its_layers() {
        check_manifest("tsdb", "[dev-dependencies]\nskopos-testkit.workspace = true\n", &[]);
        check_manifest("tsdb", "[dependencies]\nskopos-testkit.workspace = true\n", &["4: for tests alone"]);
        check_manifest("testkit", "[dependencies]\nskopos-base.workspace = true\n", &[]);
        check_manifest("testkit", "[dependencies]\nskopos-tsdb.workspace = true\n", &["4: up to 1"]);
    }

    #[test]
    fn the_pure_layers_take_no_async_package() {
        check_manifest("tsdb", "[dependencies]\ntokio.workspace = true\n", &["4: package `tokio`"]);
        check_manifest("tsdb", "[dev-dependencies]\ncriterion.workspace = true\n", &[]);
        check_manifest("scrape", "[dependencies]\ntokio.workspace = true\n", &[]);
    }

    #[test]
    fn a_use_within_a_layer_must_be_listed() {
        check_manifest("exposition", "[dependencies]\nskopos-model.workspace = true\n", &[]);
        check_manifest("model", "[dependencies]\nskopos-exposition.workspace = true\n", &["4: (layer 1)"]);
    }

    #[test]
    fn every_crate_has_a_place_and_its_name() {
        check_manifest("surprise", "", &["1: no place"]);
        check_files(
            check,
            &[("crates/tsdb/Cargo.toml", "[package]\nname = \"tsdb\"\n", &["1: not named after"])],
        );
        check_manifest("skopos", "", &[]);
    }
}
