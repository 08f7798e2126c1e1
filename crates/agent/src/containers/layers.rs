//! What containers keep on disk: the layer that each writes to, which its root file system (overlay) names,
//! and the logs that Docker writes for it. A thread of its own looks through them, one after the other and
//! slowly; a scrape shows what was found last and never waits.

use super::{
    group::Group,
    identity::{Identity, Runtime},
};
use crate::{
    collectors::mounts,
    refusals,
    registry::AgentEnv,
    scan,
    source::{self, File, Paths, Root},
};
use parking_lot::Mutex;
use skopos_base::{clock::Clock, spawn::Spawner};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How old a size may be before the layer is looked through again.
const AGE: Duration = Duration::from_secs(60);
/// After a layer the thread rests so many times as long as it took: one CPU is used for a twentieth.
const REST: u32 = 19;
/// It does not rest longer.
const MAX_REST: Duration = Duration::from_secs(600);
/// A layer with more files is not measured.
const MAX_ENTRIES: usize = 1_000_000;

/// Where a container keeps what it writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Layer {
    /// The folder of the layer, as this process sees it.
    pub(super) folder: String,
    /// Docker's folder for the container: its logs.
    logs: Option<String>,
}

/// A layer's size.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    bytes: Option<u64>,
    /// When it was looked through.
    at: Option<Duration>,
}

#[derive(Debug, Default)]
struct Sizes {
    known: HashMap<Layer, Size>,
    /// What the thread was refused, and nobody has noted yet.
    refused: Vec<String>,
    is_at_work: bool,
}

/// The sizes of all layers.
#[derive(Debug)]
pub(super) struct Layers {
    sizes: Arc<Mutex<Sizes>>,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
}

/// The layer of the container whose process this is. It has none if its root is no overlay.
pub(super) fn find(paths: &Paths, file: &mut File, identity: &Identity, pid: u32) -> Option<Layer> {
    let content = file.content(paths, Root::Proc, format_args!("{pid}/mountinfo"))?;
    let upper = upper(content)?;
    let logs = match identity.runtime {
        Runtime::Docker => logs(&upper, &identity.id),
        _ => None,
    };
    Some(Layer { folder: paths.in_rootfs(&upper), logs: logs.map(|logs| paths.in_rootfs(&logs)) })
}

/// The folder that an overlay on `/` writes to. The last that was mounted there counts.
fn upper(mountinfo: &[u8]) -> Option<String> {
    let mounts = scan::lines(mountinfo).filter_map(mounts::parse);
    let root = mounts.filter(|mount| *mount.mount_point == *b"/").last()?;
    let mut options = root.options.split(|b| *b == b',');
    let upper = options.find_map(|option| option.strip_prefix(b"upperdir="))?;
    let upper = String::from_utf8(mounts::unescape(upper).into_owned()).ok()?;
    // A path from somewhere else leads nowhere here.
    (root.fs_type == b"overlay" && upper.starts_with('/') && !upper.contains('\0')).then_some(upper)
}

/// Docker keeps layers in `…/overlay2/LAYER/diff` and logs in `…/containers/ID`.
fn logs(upper: &str, id: &str) -> Option<String> {
    let (data, _) = upper.strip_suffix("/diff")?.rsplit_once("/overlay2/")?;
    Some(format!("{data}/containers/{id}"))
}

impl Layers {
    pub(super) fn new(env: &AgentEnv) -> Self {
        Self { sizes: Arc::default(), clock: Arc::clone(&env.clock), spawner: Arc::clone(&env.spawner) }
    }

    /// Tells the groups what is known of their layers, and has the others looked through.
    pub(super) fn ask(&self, groups: &mut [Group]) {
        let mut sizes = self.sizes.lock();
        sizes.refused.drain(..).for_each(|refused| refusals::note(&refused));
        let mut wanted: HashMap<Layer, Size> = HashMap::new();
        for group in groups {
            group.layer_bytes = None;
            if let Some(layer) = &group.layer {
                let size = sizes.known.get(layer).copied().unwrap_or_default();
                group.layer_bytes = size.bytes;
                wanted.insert(layer.clone(), size);
            }
        }
        sizes.known = wanted;
        if sizes.is_at_work || due(&sizes, self.clock.monotonic()).is_none() {
            return;
        }
        let (shared, clock) = (Arc::clone(&self.sizes), Arc::clone(&self.clock));
        match self.spawner.spawn("agent-layers", Box::new(move || work(&shared, &*clock))) {
            Ok(_) => sizes.is_at_work = true,
            Err(error) => tracing::warn!(%error, "no thread for measuring what containers write"),
        }
    }
}

/// The layer that has waited longest, if it has waited long enough.
fn due(sizes: &Sizes, now: Duration) -> Option<Layer> {
    let old = sizes.known.iter().filter(|(_, size)| size.at.is_none_or(|at| now.saturating_sub(at) >= AGE));
    old.min_by_key(|(_, size)| size.at).map(|(layer, _)| layer.clone())
}

/// Looks through all layers that are due. Runs on a thread of its own.
fn work(sizes: &Mutex<Sizes>, clock: &dyn Clock) {
    loop {
        let begin = clock.monotonic();
        let layer = {
            let mut sizes = sizes.lock();
            let Some(layer) = due(&sizes, begin) else {
                sizes.is_at_work = false;
                return;
            };
            layer
        };
        let measure = |folder: &str| source::bytes_below(folder, MAX_ENTRIES);
        let logs = layer.logs.as_deref().and_then(measure).unwrap_or(0);
        let bytes = measure(&layer.folder).map(|bytes| bytes.saturating_add(logs));
        let end = clock.monotonic();
        let mut found = sizes.lock();
        found.refused.extend(refusals::take());
        if let Some(size) = found.known.get_mut(&layer) {
            *size = Size { bytes, at: Some(end) };
        }
        drop(found);
        clock.sleep((end.saturating_sub(begin) * REST).min(MAX_REST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OVERLAY: &str = "700 600 0:50 / / rw,relatime master:2 - overlay overlay \
                           rw,lowerdir=/l/A:/l/B,upperdir=/var/lib/docker/overlay2/ab\\040c/diff,workdir=/w\n\
                           701 700 0:51 / /proc rw - proc proc rw\n";

    #[test]
    fn the_layer_is_that_of_the_root() {
        let found = upper(OVERLAY.as_bytes()).unwrap();
        assert_eq!(found, "/var/lib/docker/overlay2/ab c/diff");
        assert_eq!(logs(&found, "id").unwrap(), "/var/lib/docker/containers/id");
        assert_eq!(logs("/var/lib/containerd/snapshots/1/fs", "id"), None);
        for none in [
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw,upperdir=/x\n",
            "1 0 0:5 / / rw - overlay overlay rw,lowerdir=/a\n",
            "1 0 0:5 / / rw - overlay overlay rw,upperdir=relative/diff\n",
            "1 0 0:5 / /mnt rw - overlay overlay rw,upperdir=/x\n",
            "",
        ] {
            assert_eq!(upper(none.as_bytes()), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            upper(&bytes);
        }
    }
}
