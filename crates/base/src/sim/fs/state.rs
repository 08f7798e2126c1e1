//! The inside of a simulated file system: inodes, paths and the bookkeeping of each call. Owns what a
//! call does to the tree; never decides what a power loss leaves.

use super::{
    data::FileData,
    fault::{self, Armed, Failure, Op, OpKind},
    names::{EventId, Ino, NameEvent, Names, Slot},
};
use crate::rng::Rng;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

/// The directory that paths start at.
pub(super) const ROOT: Ino = Ino(0);

/// What an inode is.
#[derive(Clone, Debug)]
pub(super) enum Node {
    File(FileData),
    Dir(Names),
}

/// An append that the crash came in the middle of.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) ino: Ino,
    pub(super) bytes: Vec<u8>,
}

/// The whole of a simulated file system.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) nodes: BTreeMap<Ino, Node>,
    next: u64,
    pub(super) seed: u64,
    pub(super) rng: Arc<Rng>,
    pub(super) armed: Vec<Armed>,
    pub(super) capacity: Option<u64>,
    pub(super) calls: u64,
    pub(super) log: Vec<Op>,
    /// After how many changing calls everything fails.
    pub(super) crash_after: Option<usize>,
    pub(super) crashed: bool,
    pub(super) in_flight: Option<InFlight>,
    pub(super) locks: BTreeSet<Ino>,
    pub(super) open: BTreeMap<Ino, u64>,
    pub(super) origin: Arc<str>,
}

/// An error of this kind that says what was done to which file.
pub(super) fn error(kind: io::ErrorKind, doing: OpKind, path: &Path) -> io::Error {
    named(&kind.into(), doing, path)
}

fn named(e: &io::Error, doing: OpKind, path: &Path) -> io::Error {
    io::Error::new(e.kind(), format!("simulated {doing:?} of {}: {e}", path.display()))
}

impl State {
    pub(super) fn new(seed: u64, nodes: BTreeMap<Ino, Node>, origin: Arc<str>) -> Self {
        let next = nodes.keys().last().map_or(0, |ino| ino.0) + 1;
        Self {
            nodes,
            next,
            seed,
            rng: Arc::new(Rng::from_seed(seed)),
            armed: Vec::new(),
            capacity: None,
            calls: 0,
            log: Vec::new(),
            crash_after: None,
            crashed: false,
            in_flight: None,
            locks: BTreeSet::new(),
            open: BTreeMap::new(),
            origin,
        }
    }

    /// Takes over the whole tree of `other`, synchronised and not, but none of its handles, locks and faults.
    pub(super) fn adopt(&mut self, other: &Self) {
        self.nodes = other.nodes.clone();
        self.next = other.next;
        self.capacity = other.capacity;
        self.sweep();
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Counts and logs a call, and fails it when its turn to fail has come. `Ok(Some(n))` is the short
    /// append.
    pub(super) fn begin(&mut self, op: Op) -> io::Result<Option<usize>> {
        let (kind, path) = (op.kind, op.path.clone());
        if !self.crashed && kind.changes() && self.crash_after.is_some_and(|n| self.log.len() >= n) {
            self.crashed = true;
        }
        self.alive(kind, &path)?;
        self.calls += 1;
        if kind.changes() {
            self.log.push(op);
        }
        match fault::due(&mut self.armed, kind) {
            None => Ok(None),
            Some(Failure::Short(n)) => Ok(Some(n)),
            Some(Failure::NoSpace) => Err(error(io::ErrorKind::StorageFull, kind, &path)),
            // The number is that of EIO on every Unix.
            Some(Failure::Io) => Err(named(&io::Error::from_raw_os_error(5), kind, &path)),
        }
    }

    /// Fails when the machine went off.
    pub(super) fn alive(&self, kind: OpKind, path: &Path) -> io::Result<()> {
        if self.crashed {
            let path = path.display();
            return Err(io::Error::other(format!("simulated {kind:?} of {path}: the machine is off")));
        }
        Ok(())
    }

    /// `begin` of a call that has nothing but a path.
    pub(super) fn begin_at(&mut self, kind: OpKind, path: &Path) -> io::Result<()> {
        self.begin(Op { kind, path: path.to_owned(), to: None, bytes: None }).map(drop)
    }

    /// How many bytes the disk has left.
    pub(super) fn room(&self) -> u64 {
        let Some(capacity) = self.capacity else { return u64::MAX };
        let linked: BTreeSet<Ino> =
            self.dirs().flat_map(|(_, names)| names.live().values().copied()).collect();
        let held = |ino: &Ino| linked.contains(ino) || self.open.contains_key(ino);
        let used = self.nodes.iter().filter(|(ino, _)| held(ino)).map(|(_, node)| match node {
            Node::File(data) => data.live().len() as u64,
            Node::Dir(_) => 0,
        });
        capacity.saturating_sub(used.sum())
    }

    pub(super) fn dirs(&self) -> impl Iterator<Item = (Ino, &Names)> {
        self.nodes.iter().filter_map(|(&ino, node)| match node {
            Node::Dir(names) => Some((ino, names)),
            Node::File(_) => None,
        })
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (Ino, &FileData)> {
        self.nodes.iter().filter_map(|(&ino, node)| match node {
            Node::File(data) => Some((ino, data)),
            Node::Dir(_) => None,
        })
    }

    pub(super) fn names(&self, dir: Ino) -> Option<&Names> {
        match self.nodes.get(&dir) {
            Some(Node::Dir(names)) => Some(names),
            _ => None,
        }
    }

    pub(super) fn names_mut(&mut self, dir: Ino) -> &mut Names {
        match self.nodes.get_mut(&dir) {
            Some(Node::Dir(names)) => names,
            _ => unreachable!("invariant: a slot stands in a directory"),
        }
    }

    pub(super) fn data(&self, ino: Ino) -> &FileData {
        match self.nodes.get(&ino) {
            Some(Node::File(data)) => data,
            _ => unreachable!("invariant: an open handle keeps its file"),
        }
    }

    pub(super) fn data_mut(&mut self, ino: Ino) -> &mut FileData {
        match self.nodes.get_mut(&ino) {
            Some(Node::File(data)) => data,
            _ => unreachable!("invariant: an open handle keeps its file"),
        }
    }

    /// The inode at `path`; `NotADirectory` when the way leads through a file.
    pub(super) fn look_up(&self, path: &Path) -> Result<Option<Ino>, io::ErrorKind> {
        let mut at = ROOT;
        for part in parts(path) {
            let names = self.names(at).ok_or(io::ErrorKind::NotADirectory)?;
            match names.live().get(&part) {
                Some(&ino) => at = ino,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The inode at `path`, which must be there.
    pub(super) fn find(&self, path: &Path) -> Result<Ino, io::ErrorKind> {
        self.look_up(path)?.ok_or(io::ErrorKind::NotFound)
    }

    /// The slot that `path` names: its directory is there, the name need not be.
    pub(super) fn slot(&self, path: &Path) -> Result<Slot, io::ErrorKind> {
        let mut parts = parts(path);
        let name = parts.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let dir = self.find(&parts.iter().collect::<PathBuf>())?;
        self.names(dir).ok_or(io::ErrorKind::NotADirectory)?;
        Ok((dir, name))
    }

    pub(super) fn meaning(&self, slot: &Slot) -> Option<Ino> {
        self.names(slot.0)?.live().get(&slot.1).copied()
    }

    /// Gives `slot` a new meaning, which is pending until its directory is synchronised.
    pub(super) fn set(&mut self, slot: &Slot, event: NameEvent) {
        self.names_mut(slot.0).set(&slot.1, event);
    }

    pub(super) fn event(&mut self, value: Option<Ino>) -> NameEvent {
        NameEvent { id: EventId(self.number()), value, needs: None }
    }

    /// A new file or directory at `slot`.
    pub(super) fn make(&mut self, slot: &Slot, node: Node) -> Ino {
        let ino = Ino(self.number());
        self.nodes.insert(ino, node);
        let event = self.event(Some(ino));
        self.set(slot, event);
        ino
    }

    /// Moves the meaning of `from` to `to`. The old name goes no earlier than the new one comes, and a
    /// directory, which has one name only, does both at once.
    pub(super) fn rename(&mut self, from: &Slot, to: &Slot, ino: Ino) {
        let mut comes = self.event(Some(ino));
        let mut goes = self.event(None);
        goes.needs = Some((to.clone(), comes.id));
        if self.names(ino).is_some() {
            comes.needs = Some((from.clone(), goes.id));
        }
        self.set(to, comes);
        self.set(from, goes);
    }

    /// Makes all names of `dir` durable, and those elsewhere without which a rename would be half done.
    pub(super) fn sync_dir(&mut self, dir: Ino) {
        let last = self.names_mut(dir).last_events();
        let mut todo: Vec<(Slot, EventId)> = last.into_iter().map(|(name, id)| ((dir, name), id)).collect();
        while let Some(((dir, name), id)) = todo.pop() {
            if self.names(dir).is_some() {
                todo.extend(self.names_mut(dir).settle(&name, id));
            }
        }
        self.sweep();
    }

    /// Forgets what no name and no handle can lead to any more.
    pub(super) fn sweep(&mut self) {
        loop {
            let mut held: BTreeSet<Ino> = self.dirs().flat_map(|(_, names)| names.referenced()).collect();
            held.insert(ROOT);
            held.extend(self.open.keys().chain(&self.locks));
            let before = self.nodes.len();
            self.nodes.retain(|ino, _| held.contains(ino));
            if self.nodes.len() == before {
                return;
            }
        }
    }
}

/// The names that `path` goes through from the root; relative paths start there too.
pub(super) fn parts(path: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => drop(out.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    out
}
