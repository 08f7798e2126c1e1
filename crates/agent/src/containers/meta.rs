//! What runtimes say of a container, out of their JSON: Docker's and Podman's lists, CRI-O's answer for one
//! container, and the description (OCI runtime specification) that containerd and CRI-O keep on disk.

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};
use std::{collections::BTreeMap, fmt};

/// A list with more containers is not taken.
const MAX_LISTED: usize = 2 * super::hierarchy::MAX_GROUPS;
/// A text that is longer is no name; as a label it would stand in each of a container's samples.
const MAX_TEXT_BYTES: usize = 4096;
/// A container's labels together are not longer; what is beyond is left out.
const MAX_LABELS_BYTES: usize = 16 << 10;

/// What is known of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) image: String,
    /// The labels that its user gave it.
    pub(super) labels: BTreeMap<String, String>,
    /// When it was made, in seconds since the Unix epoch.
    pub(super) created_s: Option<f64>,
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
    /// It holds the network of its pod.
    pub(super) is_sandbox: bool,
}

type Texts = BTreeMap<String, String>;

/// The texts under the first of these keys that is there.
fn text(texts: &Texts, keys: &[&str]) -> String {
    short(keys.iter().find_map(|key| texts.get(*key)).cloned().unwrap_or_default())
}

/// The text, unless it is too long to be one.
fn short(text: String) -> String {
    if text.len() <= MAX_TEXT_BYTES { text } else { String::new() }
}

/// The labels that can be shown.
fn shown(mut labels: Texts) -> Texts {
    let mut left = MAX_LABELS_BYTES;
    labels.retain(|name, value| {
        let bytes = name.len() + value.len();
        let is_kept = bytes <= MAX_TEXT_BYTES && bytes <= left;
        left -= if is_kept { bytes } else { 0 };
        is_kept
    });
    labels
}

/// An entry of `GET /containers/json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    labels: Option<Texts>,
    #[serde(default)]
    created: serde_json::Value,
}

/// The containers in a list, by their IDs.
pub(super) fn of_list(body: &[u8]) -> Result<Vec<(String, Meta)>, serde_json::Error> {
    let List(listed) = serde_json::from_slice(body)?;
    Ok(listed)
}

/// A list of no more than `MAX_LISTED` containers.
struct List(Vec<(String, Meta)>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of containers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<List, A::Error> {
        let mut listed = Vec::new();
        while let Some(entry) = entries.next_element::<Listed>()? {
            if listed.len() == MAX_LISTED {
                return Err(A::Error::custom(format_args!("more than {MAX_LISTED} containers")));
            }
            listed.push(entry.into_meta());
        }
        Ok(List(listed))
    }
}

impl Listed {
    fn into_meta(self) -> (String, Meta) {
        let names = self.names.unwrap_or_default();
        // Docker lists the names under which other containers know it, too: `/web/db`.
        let own = names.iter().map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/'));
        let labels = self.labels.unwrap_or_default();
        let meta = Meta {
            name: short(own.unwrap_or(&self.id).to_owned()),
            image: short(self.image.unwrap_or_default()),
            created_s: self.created.as_f64(),
            namespace: text(&labels, &["io.kubernetes.pod.namespace"]),
            pod: text(&labels, &["io.kubernetes.pod.name"]),
            container: text(&labels, &["io.kubernetes.container.name"]),
            is_sandbox: text(&labels, &["io.kubernetes.docker.type"]) == "podsandbox",
            labels: shown(labels),
        };
        (self.id, meta)
    }
}

/// What CRI-O answers to `GET /containers/ID`.
#[derive(Debug, Deserialize)]
struct CriO {
    #[serde(default)]
    name: String,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    labels: Option<Texts>,
    /// In nanoseconds.
    #[serde(default)]
    created_time: Option<f64>,
}

/// The container in an answer of CRI-O.
pub(super) fn of_crio(body: &[u8]) -> Option<Meta> {
    let found: CriO = serde_json::from_slice(body).ok()?;
    let labels = found.labels.unwrap_or_default();
    let container = text(&labels, &["io.kubernetes.container.name"]);
    Some(Meta {
        name: short(found.name),
        image: short(found.image.unwrap_or_default()),
        created_s: found.created_time.map(|nanos| (nanos / super::read::NANOS).floor()),
        namespace: text(&labels, &["io.kubernetes.pod.namespace"]),
        pod: text(&labels, &["io.kubernetes.pod.name"]),
        is_sandbox: container == "POD",
        container,
        labels: Texts::new(),
    })
}

#[derive(Debug, Deserialize)]
struct Bundle {
    #[serde(default)]
    annotations: Option<Texts>,
}

/// The container of a description on disk. One without annotations is known by its ID alone.
pub(super) fn of_bundle(id: &str, content: &[u8]) -> Option<Meta> {
    let bundle: Bundle = serde_json::from_slice(content).ok()?;
    let notes = bundle.annotations.unwrap_or_default();
    let name = text(&notes, &["io.kubernetes.cri-o.Name", "nerdctl/name"]);
    let kind = text(&notes, &["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]);
    Some(Meta {
        name: if name.is_empty() { id.to_owned() } else { name },
        image: text(&notes, &["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]),
        created_s: None,
        namespace: text(&notes, &["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
        pod: text(&notes, &["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        container: text(&notes, &["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]),
        is_sandbox: kind == "sandbox",
        labels: Texts::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_of_docker_and_podman() {
        let list = br#"[
            {"Id": "aa", "Names": ["/web/db", "/db"], "Image": "postgres:16", "Created": 1700000000,
             "Labels": {"app": "shop"}, "State": "running"},
            {"Id": "bb", "Names": null, "Labels": null, "Created": "2023-11-14T22:13:20Z"},
            {"Id": "cc", "Names": ["k8s_a"], "Labels": {"io.kubernetes.pod.name": "p",
             "io.kubernetes.pod.namespace": "n", "io.kubernetes.container.name": "POD",
             "io.kubernetes.docker.type": "podsandbox"}}]"#;
        let found = of_list(list).unwrap();
        let (id, db) = &found[0];
        assert_eq!((id.as_str(), db.name.as_str(), db.image.as_str()), ("aa", "db", "postgres:16"));
        assert_eq!((db.labels["app"].as_str(), db.created_s), ("shop", Some(1.7e9)));
        assert_eq!((found[1].1.name.as_str(), found[1].1.created_s), ("bb", None));
        let sandbox = &found[2].1;
        let labels = (sandbox.pod.as_str(), sandbox.namespace.as_str(), sandbox.container.as_str());
        assert_eq!((labels, sandbox.is_sandbox), (("p", "n", "POD"), true));
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let (long, value) = ("x".repeat(MAX_TEXT_BYTES + 1), "y".repeat(1000));
        let labels: Vec<String> = (0..100).map(|at| format!("\"l{at:02}\": \"{value}\"")).collect();
        let labels = labels.join(",");
        let list = format!(
            r#"[{{"Id":"a", "Names":["/{long}"], "Image": "{long}", "Labels": {{"a": "{long}",{labels}}}}}]"#
        );
        let (_, meta) = of_list(list.as_bytes()).unwrap().remove(0);
        assert_eq!((meta.name.as_str(), meta.image.as_str()), ("", ""));
        assert_eq!(meta.labels.len(), MAX_LABELS_BYTES / 1003);
        assert!(meta.labels.values().all(|kept| *kept == value));
        let list = |len: usize| format!("[{}]", vec![r#"{"Id": "a"}"#; len].join(","));
        assert_eq!(of_list(list(MAX_LISTED).as_bytes()).unwrap().len(), MAX_LISTED);
        assert!(of_list(list(MAX_LISTED + 1).as_bytes()).is_err());
    }

    #[test]
    fn descriptions_on_disk() {
        let containerd = br#"{"ociVersion": "1.1.0", "annotations": {
            "io.kubernetes.cri.container-name": "app", "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.image-name": "docker.io/library/nginx:1",
            "io.kubernetes.cri.sandbox-name": "web-0", "io.kubernetes.cri.sandbox-namespace": "shop"}}"#;
        let found = of_bundle("id", containerd).unwrap();
        assert_eq!((found.name.as_str(), found.image.as_str()), ("id", "docker.io/library/nginx:1"));
        assert_eq!((found.pod.as_str(), found.container.as_str()), ("web-0", "app"));
        let sandbox = br#"{"annotations": {"io.kubernetes.cri.container-type": "sandbox"}}"#;
        assert!(of_bundle("id", sandbox).unwrap().is_sandbox);
        let nerdctl = of_bundle("id", br#"{"annotations": {"nerdctl/name": "box"}}"#).unwrap();
        assert_eq!((nerdctl.name.as_str(), nerdctl.image.as_str()), ("box", ""));
        assert_eq!(of_bundle("id", b"{}").unwrap().name, "id");
        assert!(of_bundle("id", b"{").is_none());
    }

    #[test]
    fn answers_of_cri_o() {
        let answer = br#"{"name": "k8s_a_b_c", "pid": 1, "image": "quay.io/x/y:1",
            "created_time": 1700000000500000000, "labels": {"io.kubernetes.pod.name": "b",
            "io.kubernetes.pod.namespace": "c", "io.kubernetes.container.name": "a"}}"#;
        let found = of_crio(answer).unwrap();
        assert_eq!((found.name.as_str(), found.container.as_str()), ("k8s_a_b_c", "a"));
        assert_eq!((found.created_s, found.is_sandbox), (Some(1.7e9), false));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = of_list(&bytes);
            of_crio(&bytes);
            of_bundle("id", &bytes);
        }
    }
}
