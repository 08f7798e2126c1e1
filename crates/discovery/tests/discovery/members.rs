//! Members of services that ZooKeeper keeps: a made-up server that speaks its protocol, to Prometheus as
//! well.

use crate::beside::{Ours, same_as_prometheus};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

/// Of a node, whose fields nobody here looks at.
const STAT: [u8; 68] = [0; 68];
const NO_NODE: i32 = -101;

#[derive(Default)]
struct State {
    nodes: BTreeMap<String, Vec<u8>>,
    clients: Vec<TcpStream>,
}

struct ZooKeeper {
    address: String,
    state: Arc<Mutex<State>>,
}

impl ZooKeeper {
    fn start(nodes: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &state));
            }
        });
        let own = Self { address, state };
        nodes.iter().for_each(|(path, data)| own.put(path, Some(data)));
        own
    }

    /// Puts something at a path, or nothing, and tells all who are there.
    fn put(&self, path: &str, data: Option<&str>) {
        let mut state = self.state.lock();
        let kind: i32 = match data {
            Some(data) => state.nodes.insert(path.to_owned(), data.as_bytes().to_vec()).map_or(1, |_| 3),
            None => state.nodes.remove(path).map_or(2, |_| 2),
        };
        let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
        for (kind, path) in [(kind, path), (4, parent)] {
            let mut frame = head(-1, 0);
            frame.extend(kind.to_be_bytes());
            frame.extend(3_i32.to_be_bytes());
            put_bytes(&mut frame, path.as_bytes());
            state.clients.retain_mut(|client| send(client, &frame).is_some());
        }
    }

    /// Ends all connections.
    fn hang_up(&self) {
        self.state
            .lock()
            .clients
            .drain(..)
            .for_each(|client| drop(client.shutdown(std::net::Shutdown::Both)));
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as i32).to_be_bytes());
    out.extend(bytes);
}

fn head(number: i32, error: i32) -> Vec<u8> {
    [&number.to_be_bytes()[..], &7_i64.to_be_bytes(), &error.to_be_bytes()].concat()
}

fn send(client: &mut TcpStream, frame: &[u8]) -> Option<()> {
    let mut whole = Vec::new();
    put_bytes(&mut whole, frame);
    client.write_all(&whole).ok()
}

fn frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut len = [0; 4];
    stream.read_exact(&mut len).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut frame).ok()?;
    Some(frame)
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let hello = frame(&mut stream)?;
    let mut welcome = [&0_i32.to_be_bytes()[..], &hello[12..16], &77_i64.to_be_bytes()].concat();
    put_bytes(&mut welcome, &[1; 16]);
    send(&mut stream, &welcome)?;
    state.lock().clients.push(stream.try_clone().unwrap());
    loop {
        let request = frame(&mut stream)?;
        let number = |at: usize| i32::from_be_bytes(request[at..at + 4].try_into().unwrap());
        let (id, kind) = (number(0), number(4));
        let state = state.lock();
        let path = || String::from_utf8(request[12..12 + number(8) as usize].to_vec()).unwrap();
        let mut reply = head(id, 0);
        match kind {
            11 => {}
            -11 => return send(&mut stream, &reply),
            3 | 4 | 8 | 12 => match state.nodes.get(&path()) {
                None => reply = head(id, NO_NODE),
                Some(data) => {
                    let below = format!("{}/", path());
                    let names = state.nodes.keys().filter_map(|own| own.strip_prefix(&below));
                    let names: Vec<_> = names.filter(|name| !name.contains('/')).collect();
                    if kind == 4 {
                        put_bytes(&mut reply, data);
                    } else if kind != 3 {
                        reply.extend((names.len() as i32).to_be_bytes());
                        names.iter().for_each(|name| put_bytes(&mut reply, name.as_bytes()));
                    }
                    if kind != 8 {
                        reply.extend(STAT);
                    }
                }
            },
            other => panic!("{other}"),
        }
        // Whoever asks and whoever tells of changes take turns.
        send(&mut stream, &reply)?;
    }
}

const SERVERSET: &str = r#"{"serviceEndpoint": {"host": "h1", "port": 80}, "status": "ALIVE", "shard": 3,
    "additionalEndpoints": {"ad-min": {"host": "h2", "port": 81}}}"#;

fn nodes() -> [(&'static str, &'static str); 6] {
    [
        ("/services", ""),
        ("/services/a", "no JSON"),
        ("/services/a/one", r#"{"host": "10.0.0.1", "port": 9, "name": "n1"}"#),
        ("/services/a/two", r#"{"host": "::1", "port": 10, "name": "n2", "weight": 1}"#),
        ("/sets", ""),
        ("/sets/member_1", SERVERSET),
    ]
}

fn config(kind: &str, server: &ZooKeeper, path: &str) -> String {
    format!("{kind}_sd_configs:\n- servers: ['{}']\n  paths: ['{path}']\n  timeout: 4s", server.address)
}

#[test]
fn members_are_the_targets_that_prometheus_finds() {
    let server = ZooKeeper::start(&nodes());
    same_as_prometheus(&[
        ("nerve", &config("nerve", &server, "/services"), 2),
        ("serverset", &config("serverset", &server, "/sets"), 1),
    ]);
}

#[test]
fn members_come_and_go_and_stay_while_nobody_answers() {
    let server = ZooKeeper::start(&nodes());
    let ours = Ours::start(&config("nerve", &server, "/services"));
    ours.wait_for_count(2);
    server.put("/services/a/three", Some(r#"{"host": "h", "port": 11, "name": "n3"}"#));
    ours.wait_for_count(3);
    server.put("/services/a/one", None);
    ours.wait_for_count(2);
    server.put("/services/a/two", Some("{"));
    ours.wait_for_count(1);
    server.hang_up();
    let failures = || ours.stats.value("prometheus_sd_refresh_failures_total", &[("mechanism", "nerve")]);
    assert_eq!(failures(), None);
    assert_eq!(ours.targets().len(), 1);
    server.put("/services/a/two", Some(r#"{"host": "h", "port": 12, "name": "n2"}"#));
    ours.wait_for_count(2);
}

#[test]
fn a_path_that_is_not_there_yet_is_watched() {
    let server = ZooKeeper::start(&[]);
    let ours = Ours::start(&config("nerve", &server, "/later"));
    skopos_testkit::wait_until("the first look", std::time::Duration::from_secs(30), || {
        ours.stats.value("prometheus_sd_received_updates_total", &[("name", "scrape")])
    });
    server.put("/later", Some(r#"{"host": "h", "port": 1, "name": "n"}"#));
    ours.wait_for_count(1);
}
