//! `Watch`: lists the objects of a kind and follows their changes. Knows nothing of what is in them but their
//! version and name.

use super::{ObjectKind, Selector, access::Access, objects::Object};
use crate::{
    error::SourceError,
    http::{Lines, asking, below, send, shown, stream},
    json::Json,
    limits::PAGES_MAX,
    source::Sink,
    stats::Family,
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc::Sender;

/// How many objects a page of a list has.
const PAGE_OBJECTS: &str = "500";
/// How long the API follows changes before it is asked anew, in seconds.
const WATCH_SECONDS: u64 = 300;
/// How much longer we wait for it.
const WATCH_SLACK: Duration = Duration::from_secs(30);
/// The shortest and the longest pause before what failed is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(800), Duration::from_secs(30));

/// What has changed, and in which list.
#[derive(Debug)]
pub(crate) enum Change {
    /// These are all objects of the list.
    All(usize, ObjectKind, Vec<Object>),
    /// This one is new or another than before.
    Put(usize, Object),
    /// This one is gone.
    Gone(usize, Object),
}

/// See above.
pub(super) struct Watch {
    kind: ObjectKind,
    path: String,
    /// Conditions on labels and fields.
    selector: Vec<(&'static str, String)>,
    access: Arc<Access>,
    changes: Sender<Change>,
    list: usize,
    sink: Sink,
    /// Up to where changes are known.
    version: String,
}

/// Why following changes came to an end.
enum End {
    /// The API has others to follow; it goes on where it ended.
    Pause,
    /// What is known is too old to be followed up: all is listed anew.
    TooOld,
}

impl Watch {
    pub(super) fn new(
        kind: ObjectKind,
        namespace: &str,
        selector: Option<&Selector>,
        access: &Arc<Access>,
        changes: Sender<Change>,
        list: usize,
        sink: &Sink,
    ) -> Self {
        let path = path(kind, namespace);
        let selector = selector.map_or_else(Vec::new, |selector| {
            vec![("labelSelector", selector.label.clone()), ("fieldSelector", selector.field.clone())]
        });
        let selector = selector.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let (access, sink, version) = (Arc::clone(access), sink.part(&path), String::new());
        Self { kind, path, selector, access, changes, list, sink, version }
    }

    /// Until nobody wants to know any more.
    pub(super) async fn run(mut self) {
        let mut pause = PAUSES.0;
        loop {
            let error = match self.list_and_follow(&mut pause).await {
                Ok(End::Pause) => return,
                Ok(End::TooOld) => continue,
                Err(error) => error,
            };
            self.sink.stats().count(Family::KubernetesFailures, &[]);
            self.sink.failed(&error);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn list_and_follow(&mut self, pause: &mut Duration) -> Result<End, SourceError> {
        let objects = self.list().await?;
        self.sink.works();
        *pause = PAUSES.0;
        if self.changes.send(Change::All(self.list, self.kind, objects)).await.is_err() {
            return Ok(End::Pause);
        }
        loop {
            match self.follow().await {
                Ok(End::Pause) if self.changes.is_closed() => return Ok(End::Pause),
                Ok(End::Pause) => {}
                Ok(End::TooOld) => return Ok(End::TooOld),
                // What is known may still be followed up, once the API is there again.
                Err(error @ SourceError::Request { .. }) => {
                    self.sink.stats().count(Family::KubernetesFailures, &[]);
                    self.sink.failed(&error);
                    tokio::time::sleep(*pause).await;
                    *pause = (*pause * 2).min(PAUSES.1);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn query(&self) -> impl Iterator<Item = (&str, &str)> {
        self.selector.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// All objects, page by page.
    async fn list(&mut self) -> Result<Vec<Object>, SourceError> {
        let (url, mut objects, mut next) = (below(&self.access.url, &self.path), Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let more = (!next.is_empty()).then_some(("continue", next.as_str()));
            let query = self.query().chain([("limit", PAGE_OBJECTS)]).chain(more);
            let request = self.access.get(&asking(&url, query)).await?;
            let answer = async { send(request).await?.json() };
            let page = self.access.answered(answer.await).await?;
            let page = Json::new(&page);
            objects.extend(page.list("items").map(|item| Object::new(self.kind, item)));
            let about = page.get("metadata");
            about.text("resourceVersion").clone_into(&mut self.version);
            next = about.text("continue").to_owned();
            if next.is_empty() {
                return Ok(objects);
            }
        }
        Err(SourceError::content(shown(&url), &format!("the list has more than {PAGES_MAX} pages")))
    }

    async fn follow(&mut self) -> Result<End, SourceError> {
        let seconds = WATCH_SECONDS.to_string();
        let more = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self.version.as_str()),
            ("timeoutSeconds", &seconds),
        ];
        let url = asking(&below(&self.access.url, &self.path), self.query().chain(more));
        let timeout = Duration::from_secs(WATCH_SECONDS) + WATCH_SLACK;
        let request = self.access.get(&url).await?.timeout(timeout);
        let mut lines: Lines = match self.access.answered(stream(request).await).await {
            Err(SourceError::Status { status: 410, .. }) => return Ok(End::TooOld),
            other => other?,
        };
        self.sink.works();
        while let Some(line) = lines.next().await? {
            let event: Value =
                serde_json::from_slice(&line).map_err(|e| SourceError::content(shown(&url), &e))?;
            let event = Json::new(&event);
            let (object, list) = (event.get("object"), self.list);
            let change = match event.text("type") {
                "ADDED" | "MODIFIED" => Some(Change::Put(list, Object::new(self.kind, object))),
                "DELETED" => Some(Change::Gone(list, Object::new(self.kind, object))),
                "ERROR" if object.number("code") == 410 => return Ok(End::TooOld),
                "ERROR" => {
                    // What its message says may repeat what the server was told.
                    let reason = format!("the watch ended with code {}", object.number("code"));
                    return Err(SourceError::content(shown(&url), &reason));
                }
                _ => None,
            };
            let version = object.at(&["metadata", "resourceVersion"]).as_text();
            if !version.is_empty() {
                version.clone_into(&mut self.version);
            }
            if let Some(change) = change
                && self.changes.send(change).await.is_err()
            {
                break;
            }
        }
        Ok(End::Pause)
    }
}

/// Where the API has the objects of a kind; everywhere if `namespace` is empty.
fn path(kind: ObjectKind, namespace: &str) -> String {
    let (group, plural) = match kind {
        ObjectKind::Node => ("api/v1", "nodes"),
        ObjectKind::Namespace => ("api/v1", "namespaces"),
        ObjectKind::Pod => ("api/v1", "pods"),
        ObjectKind::Service => ("api/v1", "services"),
        ObjectKind::Endpoints => ("api/v1", "endpoints"),
        ObjectKind::EndpointSlice => ("apis/discovery.k8s.io/v1", "endpointslices"),
        ObjectKind::Ingress => ("apis/networking.k8s.io/v1", "ingresses"),
    };
    if namespace.is_empty() {
        return format!("{group}/{plural}");
    }
    format!("{group}/namespaces/{namespace}/{plural}")
}
