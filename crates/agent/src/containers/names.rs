//! What runtimes call their containers. Docker and Podman list them over their sockets, CRI-O tells of each
//! over its own; containerd and CRI-O leave a description of each container in a file. Sockets are asked by a
//! thread of their own, so that a runtime that hangs costs a scrape `FIRST_WAIT` once, and then nothing.

use super::{
    identity::{Identity, Runtime},
    meta::{self, Meta},
    socket,
};
use crate::{
    options::ContainerOptions,
    registry::AgentEnv,
    source::{self, File, Paths, Root},
};
use parking_lot::{Condvar, Mutex};
use skopos_base::{clock::Clock, spawn::Spawner};
use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a scrape waits for the name of a container that it has never seen.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How often a runtime is asked while there are containers that it has not told of.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// How often a runtime is asked in any case: containers can be renamed.
const REFRESH: Duration = Duration::from_secs(60);

/// A runtime with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Docker, or Podman, which answers as Docker does.
    List,
    /// CRI-O, which is asked for one container at a time.
    CriO,
}

/// What a runtime told.
#[derive(Debug, Default)]
struct Told {
    known: HashMap<String, Arc<Meta>>,
    /// A thread is asking.
    is_asking: bool,
    /// When it began to ask last.
    asked_at: Option<Duration>,
    /// It did not answer when it was asked last.
    failed: bool,
    /// How often it answered.
    answers: u64,
}

#[derive(Debug)]
struct Socket {
    runtimes: &'static [Runtime],
    kind: Kind,
    path: String,
    told: Mutex<Told>,
    answered: Condvar,
}

/// The names of containers.
#[derive(Debug)]
pub(super) struct Names {
    sockets: Vec<Arc<Socket>>,
    /// How many answers of each socket were heard, and whether there is one that was not.
    heard: Vec<(u64, bool)>,
    containerd_state: String,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
    file: File,
}

impl Names {
    pub(super) fn new(options: &ContainerOptions, paths: &Paths, env: &AgentEnv) -> Self {
        let socket = |path: &str, kind, runtimes| {
            let path = paths.in_rootfs(path);
            let (told, answered) = (Mutex::default(), Condvar::new());
            Arc::new(Socket { runtimes, kind, path, told, answered })
        };
        let all = [
            (&options.docker_socket, Kind::List, &[Runtime::Docker, Runtime::Kubernetes][..]),
            (&options.podman_socket, Kind::List, &[Runtime::Podman]),
            (&options.crio_socket, Kind::CriO, &[Runtime::CriO, Runtime::Kubernetes]),
        ];
        let given = all.into_iter().filter(|(path, ..)| !path.is_empty());
        let sockets: Vec<_> = given.map(|(path, kind, runtimes)| socket(path, kind, runtimes)).collect();
        Self {
            heard: vec![(0, false); sockets.len()],
            sockets,
            containerd_state: options.containerd_state.trim_matches('/').to_owned(),
            clock: Arc::clone(&env.clock),
            spawner: Arc::clone(&env.spawner),
            file: File::default(),
        }
    }

    /// Asks the runtimes of these containers, if it is time to; `news` are those that no scrape has seen
    /// before. Waits a little for news.
    pub(super) fn ask(&self, unknown: &[Identity], news: &[Identity]) {
        let begin = self.clock.monotonic();
        for socket in &self.sockets {
            let is_own = |identity: &&Identity| socket.runtimes.contains(&identity.runtime);
            let wanted: Vec<String> = unknown.iter().filter(is_own).map(|i| i.id.clone()).collect();
            let has_news = news.iter().any(|identity| is_own(&identity));
            socket.ask(wanted, has_news, &*self.clock, &*self.spawner);
        }
        for socket in &self.sockets {
            if news.iter().any(|identity| socket.runtimes.contains(&identity.runtime)) {
                let left = FIRST_WAIT.saturating_sub(self.clock.monotonic().saturating_sub(begin));
                let mut told = socket.told.lock();
                if told.is_asking && !left.is_zero() {
                    socket.answered.wait_for(&mut told, left);
                }
            }
        }
    }

    /// Takes note of what was answered since the last call.
    pub(super) fn listen(&mut self) {
        for (socket, (heard, is_new)) in self.sockets.iter().zip(&mut self.heard) {
            let answers = socket.told.lock().answers;
            *is_new = answers != *heard;
            *heard = answers;
        }
    }

    /// Whether a runtime answered, which may call this container something else now.
    pub(super) fn told_again(&self, identity: &Identity) -> bool {
        let sockets = self.sockets.iter().zip(&self.heard);
        sockets
            .into_iter()
            .any(|(socket, (_, is_new))| *is_new && socket.runtimes.contains(&identity.runtime))
    }

    /// What is known of a container.
    pub(super) fn find(&mut self, paths: &Paths, identity: &Identity) -> Option<Arc<Meta>> {
        let id = &identity.id;
        match identity.runtime {
            Runtime::Lxc | Runtime::Machine => {
                return Some(Arc::new(Meta { name: id.clone(), ..Meta::default() }));
            }
            Runtime::Pod => return None,
            Runtime::Docker | Runtime::Podman => {}
            Runtime::Containerd => return self.of_containerd(paths, id),
            Runtime::CriO => {
                if let Some(found) = self.of_crio(paths, id) {
                    return Some(found);
                }
            }
            Runtime::Kubernetes => {
                if let Some(found) = self.of_containerd(paths, id).or_else(|| self.of_crio(paths, id)) {
                    return Some(found);
                }
            }
        }
        let own = self.sockets.iter().filter(|socket| socket.runtimes.contains(&identity.runtime));
        own.filter_map(|socket| socket.told.lock().known.get(id).map(Arc::clone)).next()
    }

    /// containerd keeps a folder for each task, below its namespace.
    fn of_containerd(&mut self, paths: &Paths, id: &str) -> Option<Arc<Meta>> {
        if self.containerd_state.is_empty() {
            return None;
        }
        let tasks = format!("{}/io.containerd.runtime.v2.task", self.containerd_state);
        let namespaces = source::names_in(paths, Root::Rootfs, &tasks).ok()?;
        namespaces.iter().find_map(|namespace| {
            let name = format_args!("{tasks}/{namespace}/{id}/config.json");
            meta::of_bundle(id, self.file.content(paths, Root::Rootfs, name)?).map(Arc::new)
        })
    }

    fn of_crio(&mut self, paths: &Paths, id: &str) -> Option<Arc<Meta>> {
        let folder = "run/containers/storage/overlay-containers";
        let name = format_args!("{folder}/{id}/userdata/config.json");
        meta::of_bundle(id, self.file.content(paths, Root::Rootfs, name)?).map(Arc::new)
    }
}

impl Socket {
    fn ask(self: &Arc<Self>, wanted: Vec<String>, has_news: bool, clock: &dyn Clock, spawner: &dyn Spawner) {
        let mut told = self.told.lock();
        if told.is_asking || (wanted.is_empty() && told.known.is_empty()) {
            return;
        }
        let now = clock.monotonic();
        let pause = match () {
            () if told.failed || wanted.is_empty() => REFRESH,
            () if has_news => Duration::ZERO,
            () => ASK_AGAIN,
        };
        if told.asked_at.is_some_and(|at| now.saturating_sub(at) < pause) {
            return;
        }
        (told.asked_at, told.is_asking) = (Some(now), true);
        let socket = Arc::clone(self);
        let spawned = spawner.spawn("agent-runtime", Box::new(move || socket.answer(&wanted)));
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for asking a runtime of containers");
            told.is_asking = false;
        }
    }

    /// Asks and keeps the answer. Runs on a thread of its own.
    fn answer(&self, wanted: &[String]) {
        let answer = match self.kind {
            Kind::List => self.list(),
            Kind::CriO => self.each(wanted),
        };
        let mut told = self.told.lock();
        told.is_asking = false;
        let failed = answer.is_err();
        match answer {
            Ok(known) if self.kind == Kind::List => told.known = known,
            Ok(known) => told.known.extend(known),
            // Not every machine has every runtime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if !told.failed => {
                tracing::warn!(socket = self.path, %error, "a runtime does not tell its containers' names");
            }
            Err(_) => {}
        }
        told.failed = failed;
        told.answers += u64::from(!failed);
        self.answered.notify_all();
    }

    fn list(&self) -> io::Result<HashMap<String, Arc<Meta>>> {
        let body = socket::get(&self.path, "/containers/json")?;
        let listed =
            meta::of_list(&body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(listed.into_iter().map(|(id, meta)| (id, Arc::new(meta))).collect())
    }

    /// Asks for one container after the other, as many as can be asked for in `socket::TIMEOUT`.
    fn each(&self, wanted: &[String]) -> io::Result<HashMap<String, Arc<Meta>>> {
        let ends_at = Instant::now() + socket::TIMEOUT;
        let mut known = HashMap::new();
        for id in wanted {
            match socket::get(&self.path, &format!("/containers/{id}")) {
                Ok(body) => known.extend(meta::of_crio(&body).map(|meta| (id.clone(), Arc::new(meta)))),
                // It says 404 of those that are not its own.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(error) if known.is_empty() => return Err(error),
                Err(_) => break,
            }
            if Instant::now() >= ends_at {
                break;
            }
        }
        Ok(known)
    }
}
