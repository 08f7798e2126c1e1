//! `World`: all objects that are known, and the groups of targets that follow from them. Each change makes
//! anew the groups that it concerns, and no others.

use super::{
    AttachMetadata, KubernetesConfig, ObjectKind, Role, endpoints, ingress, node,
    objects::{Object, key, set_about},
    pod, service, slice,
    watch::Change,
};
use crate::{group::TargetGroup, json::Json, meta::Meta, source::Sink, stats::Family};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tokio::sync::mpsc::Receiver;

/// So many changes are worked off at a time.
const BATCH: usize = 256;

type Objects = BTreeMap<String, Object>;

/// What groups are made of.
#[derive(Debug, Default)]
pub(crate) struct Known {
    all: HashMap<ObjectKind, Objects>,
    pub(super) attach: AttachMetadata,
}

impl Known {
    pub(super) fn get(&self, kind: ObjectKind, key: &str) -> Option<&Object> {
        self.all.get(&kind)?.get(key)
    }

    fn of(&self, kind: ObjectKind) -> impl Iterator<Item = (&String, &Object)> {
        self.all.get(&kind).into_iter().flatten()
    }

    /// The labels of a node, where they are wanted.
    pub(super) fn set_node(&self, meta: &mut Meta, name: &str) {
        if !self.attach.node {
            return;
        }
        if let Some(node) = self.get(ObjectKind::Node, &key("", name)) {
            set_about(meta, "node", node.about());
        }
    }

    /// The labels of a namespace, where they are wanted.
    pub(super) fn set_namespace(&self, meta: &mut Meta, name: &str) {
        if !self.attach.namespace {
            return;
        }
        if let Some(namespace) = self.get(ObjectKind::Namespace, &key("", name)) {
            super::objects::set_described(meta, "namespace", namespace.about());
        }
    }

    /// The pod that an address is of.
    pub(super) fn pod_of(&self, target: Json<'_>) -> Option<&Object> {
        let pod = key(target.text("namespace"), target.text("name"));
        self.get(ObjectKind::Pod, &pod).filter(|_| target.text("kind") == "Pod")
    }

    /// The group of an object; one without targets if it is not known.
    pub(crate) fn group(&self, role: Role, key: &str) -> TargetGroup {
        let source = source(role, key);
        let Some(object) = self.get(ObjectKind::of(role), key) else {
            return TargetGroup { source, ..TargetGroup::default() };
        };
        let (labels, targets) = match role {
            Role::Node => node::group(object),
            Role::Pod => pod::group(object, self),
            Role::Service => service::group(object, self),
            Role::Endpoints => endpoints::group(object, self),
            Role::EndpointSlice => slice::group(object, self),
            Role::Ingress => ingress::group(object, self),
        };
        TargetGroup { source, targets, labels }
    }

    /// The objects of an answer, each as one of every kind.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn of_answer(answer: Json<'_>) -> Self {
        let mut known = Self { attach: AttachMetadata { node: true, namespace: true }, ..Self::default() };
        let kinds = Role::ALL.map(ObjectKind::of).into_iter().chain([ObjectKind::Namespace]);
        for kind in kinds {
            for object in answer.items().chain([answer]) {
                known.put(Object::new(kind, object));
            }
        }
        known
    }

    /// Those of the objects of a role.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn keys(&self, role: Role) -> Vec<String> {
        self.of(ObjectKind::of(role)).map(|(key, _)| key.clone()).collect()
    }

    /// Takes an object over; whether that changed anything.
    pub(crate) fn put(&mut self, object: Object) -> bool {
        let own = self.all.entry(object.kind).or_default();
        let (key, before) = (object.key(), own.get(&object.key()));
        if before == Some(&object) {
            return false;
        }
        own.insert(key, object);
        true
    }
}

fn source(role: Role, key: &str) -> String {
    match role {
        Role::Node => format!("node{key}"),
        Role::Service => format!("svc/{key}"),
        other => format!("{}/{key}", other.as_str()),
    }
}

/// See above.
pub(super) struct World {
    role: Role,
    known: Known,
    /// For each list whether it has come, and the keys of its objects.
    lists: Vec<Option<BTreeSet<String>>>,
    sink: Sink,
    /// The keys of objects whose groups are to be made anew.
    stale: BTreeSet<String>,
    /// Whether groups have been told.
    told: bool,
}

impl World {
    pub(super) fn new(config: &KubernetesConfig, lists: usize, sink: Sink) -> Self {
        let known = Known { attach: config.attach_metadata, ..Known::default() };
        let lists = vec![None; lists];
        Self { role: config.role, known, lists, sink, stale: BTreeSet::new(), told: false }
    }

    /// Until nothing can change any more.
    pub(super) async fn run(mut self, mut changes: Receiver<Change>) {
        let mut batch = Vec::new();
        while changes.recv_many(&mut batch, BATCH).await > 0 {
            batch.drain(..).for_each(|change| self.apply(change));
            if self.lists.iter().any(Option::is_none) {
                continue;
            }
            let stale = std::mem::take(&mut self.stale);
            let groups = stale.iter().map(|key| self.known.group(self.role, key)).collect();
            if self.told {
                self.sink.update(groups);
            } else {
                self.told = true;
                self.sink.replace(groups, None);
            }
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Put(list, object) => {
                if let Some(keys) = &mut self.lists[list] {
                    keys.insert(object.key());
                }
                self.put(object);
            }
            Change::Gone(list, object) => {
                if let Some(keys) = &mut self.lists[list] {
                    keys.remove(&object.key());
                }
                self.remove(object.kind, &object.key());
            }
            Change::All(list, kind, objects) => {
                let keys: BTreeSet<String> = objects.iter().map(Object::key).collect();
                let before = self.lists[list].replace(keys.clone()).unwrap_or_default();
                before.difference(&keys).for_each(|key| self.remove(kind, key));
                objects.into_iter().for_each(|object| self.put(object));
            }
        }
    }

    fn put(&mut self, object: Object) {
        let (kind, key) = (object.kind, object.key());
        let event = if self.known.get(kind, &key).is_some() { "update" } else { "add" };
        self.count(kind, event);
        if self.known.put(object) {
            self.mark(kind, &key);
        }
    }

    fn remove(&mut self, kind: ObjectKind, key: &str) {
        self.count(kind, "delete");
        if self.known.all.get_mut(&kind).is_some_and(|own| own.remove(key).is_some()) {
            self.mark(kind, key);
        }
    }

    fn count(&self, kind: ObjectKind, event: &str) {
        let role = kind.role().map_or("namespace", Role::as_str);
        self.sink.stats().count(Family::KubernetesEvents, &[("event", event), ("role", role)]);
    }

    /// Marks the groups that an object concerns.
    fn mark(&mut self, kind: ObjectKind, changed: &str) {
        let own = ObjectKind::of(self.role);
        if kind == own {
            self.stale.insert(changed.to_owned());
            return;
        }
        let (namespace, name) = changed.split_once('/').unwrap_or_default();
        let concerns = |key: &str, object: &Object| match kind {
            ObjectKind::Namespace => object.namespace() == name,
            ObjectKind::Node => is_on_node(object, name),
            ObjectKind::Service if own == ObjectKind::Endpoints => key == changed,
            ObjectKind::Service => object.namespace() == namespace && slice::service(object) == name,
            ObjectKind::Pod => has_pod(object, namespace, name),
            _ => false,
        };
        let stale = self.known.of(own).filter(|(key, object)| concerns(key, object));
        self.stale.extend(stale.map(|(key, _)| key.clone()));
    }
}

/// The addresses of an object that has some.
fn addresses(object: &Object) -> impl Iterator<Item = Json<'_>> {
    let json = object.json();
    let of_subsets = json
        .list("subsets")
        .flat_map(|subset| subset.list("addresses").chain(subset.list("notReadyAddresses")));
    of_subsets.chain(json.list("endpoints"))
}

fn is_on_node(object: &Object, node: &str) -> bool {
    let of_target = |target: Json<'_>| target.text("kind") == "Node" && target.text("name") == node;
    object.json().at(&["spec", "nodeName"]).as_text() == node
        || addresses(object).any(|one| one.text("nodeName") == node || of_target(one.get("targetRef")))
}

fn has_pod(object: &Object, namespace: &str, name: &str) -> bool {
    addresses(object).map(|one| one.get("targetRef")).any(|target| {
        target.text("kind") == "Pod" && target.text("name") == name && target.text("namespace") == namespace
    })
}
