//! Containers: machines of both versions of control groups in `tests/containers`, with runtimes that answer
//! what was recorded; what goes while it is read; a runtime that hangs; this machine.

use crate::common::{
    Page, break_file, check_golden, copy_below, entries_in, gather, here, options, real_agent, seeded,
    still_agent, succeeded, text,
};
use skopos_agent::NodeAgent;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

const NAME: &str = "containers";
const ONLY: &[&str] = &["--collector.disable-defaults", "--collector.containers"];

/// A copy of a machine, whose control groups were all made at one time.
fn copy(machine: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_below(&here("containers").join(machine), folder.path());
    date(&folder.path().join("sys/fs/cgroup"));
    folder
}

fn date(path: &Path) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            date(&entry.unwrap().path());
        }
    }
    let made = SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000);
    fs::File::open(path).unwrap().set_modified(made).unwrap();
}

/// A runtime that answers each path with the file of this name in `answers`, and 404 else.
fn runtime(machine: &Path, name: &str, socket: &str) {
    let answers = machine.join("answers").join(name);
    let socket = machine.join(socket);
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
            let answer = match fs::read(answers.join(path)) {
                Ok(body) => {
                    [&b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"[..], &body].concat()
                }
                Err(_) => b"HTTP/1.0 404 Not Found\r\n\r\n{}".to_vec(),
            };
            stream.write_all(&answer).unwrap();
        }
    });
}

/// The page of a scrape in which the runtimes' answers have come. They come when they come.
fn named(agent: &NodeAgent, names: &[&str]) -> String {
    for _ in 0..10_000 {
        let page = text(agent);
        if names.iter().all(|name| page.contains(name)) {
            return page;
        }
        std::thread::yield_now();
    }
    panic!("no page has the names {names:?}");
}

#[test]
fn machines_give_the_pages_that_are_kept() {
    let named_by_node = ["--collector.containers.advtcp", "--collector.containers.numa"];
    let all =
        [&["--collector.containers.load", "--collector.containers.percpu"], &named_by_node[..]].concat();
    let more = ["--collector.containers.sockets", "--collector.containers.topology"];
    let more = [&more, &named_by_node[..]].concat();
    for (machine, flags, names) in
        [("pods", &more, &["shop_db_1", "name=\"web\"", "k8s_job"][..]), ("controllers", &all, &["legacy"])]
    {
        let folder = copy(machine);
        runtime(folder.path(), "docker", "run/docker.sock");
        runtime(folder.path(), "podman", "run/podman/podman.sock");
        runtime(folder.path(), "crio", "run/crio/crio.sock");
        let agent = still_agent(folder.path(), &[ONLY, flags].concat());
        let given = named(&agent, names);
        assert!(succeeded(&Page::parse(given.as_bytes()), NAME), "{given}");
        check_golden(&format!("containers-{machine}"), &given);
        let again = text(&agent);
        for (first, second) in given.lines().zip(again.lines()) {
            assert_eq!(first, second, "a second scrape gives the same page");
        }
    }
}

#[test]
fn without_a_runtime_a_container_is_called_by_its_id() {
    let folder = copy("pods");
    let page = gather(&still_agent(folder.path(), ONLY));
    let names: Vec<&str> = page
        .samples
        .keys()
        .filter(|(family, _)| family == "container_last_seen")
        .flat_map(|(_, labels)| labels.iter().filter(|(label, _)| label == "name"))
        .map(|(_, name)| name.as_str())
        .collect();
    assert_eq!(names.iter().filter(|name| name.len() == 64).count(), 6, "{names:?}");
    assert!(names.contains(&"web"), "LXC's names stand in paths: {names:?}");
}

#[test]
fn each_network_namespace_is_shown_once_and_a_pods_by_its_sandbox() {
    let folder = copy("pods");
    let page = gather(&still_agent(folder.path(), ONLY));
    let shown: Vec<&Vec<(String, String)>> = page
        .samples
        .keys()
        .filter(|(family, _)| family == "container_network_receive_bytes_total")
        .map(|(_, labels)| labels)
        .collect();
    assert_eq!(shown.len(), 6, "{shown:#?}");
    let of_pod: Vec<_> =
        shown.iter().filter(|labels| labels.iter().any(|(_, value)| value == "web-7d9f")).collect();
    assert_eq!(of_pod.len(), 1);
    assert!(of_pod[0].iter().any(|(label, value)| label == "image" && value.contains("pause")));
    let id = |labels: &[(String, String)]| labels.iter().find(|(label, _)| label == "id").unwrap().1.clone();
    let of_root: Vec<_> = shown.iter().filter(|labels| id(labels) == "/").collect();
    assert_eq!(of_root.len(), 1, "loopback, bridges and veths are left out");
}

#[test]
fn what_a_container_writes_is_measured_beside_the_scrapes() {
    let folder = copy("pods");
    let data = folder.path().join("var/lib/docker");
    let id = "4d02032c44f6f7fcbc1e831a352dcc8d561a8e5d4df7c74c090846e3b61cfc95";
    for (name, bytes) in [
        ("overlay2/abc/diff/etc/hosts".to_owned(), 100),
        ("overlay2/abc/diff/srv/large".to_owned(), 300_000),
        ("overlay2/other/diff/large".to_owned(), 5_000_000),
        (format!("containers/{id}/{id}-json.log"), 20_000),
    ] {
        let path = data.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![b'x'; bytes]).unwrap();
    }
    let root =
        "700 600 0:50 / / rw - overlay overlay rw,lowerdir=/l/A,upperdir=/var/lib/docker/overlay2/abc/diff\n";
    fs::write(folder.path().join("proc/100/mountinfo"), root).unwrap();
    let room = |path: &Path| std::os::unix::fs::MetadataExt::blocks(&fs::metadata(path).unwrap()) * 512;
    let below = |name: &str| -> u64 {
        let top = data.join(name);
        let files = entries_in(&top).into_iter();
        let folders = ["", "etc", "srv"].map(|name| top.join(name)).into_iter().filter(|path| path.is_dir());
        files.map(|name| room(&top.join(name))).sum::<u64>() + folders.map(|path| room(&path)).sum::<u64>()
    };
    let expected = below("overlay2/abc/diff") + below(&format!("containers/{id}"));

    let group = format!("/system.slice/docker-{id}.scope");
    let labels = [("device", "/dev/sda1"), ("id", group.as_str())];
    let agent = still_agent(folder.path(), ONLY);
    let page = named(&agent, &[&format!("container_fs_usage_bytes{{id=\"{group}\"")]);
    let page = Page::parse(page.as_bytes());
    assert_eq!(page.value("container_fs_usage_bytes", &labels), Some(expected as f64));
    let of_root = page.value("container_fs_limit_bytes", &[("device", "/dev/sda1"), ("id", "/")]);
    assert!(of_root.is_some() && page.value("container_fs_limit_bytes", &labels) == of_root);

    let off = [ONLY, &["--no-collector.containers.layers"]].concat();
    let page = gather(&still_agent(folder.path(), &off));
    assert_eq!(page.value("container_fs_limit_bytes", &labels), None);
}

#[test]
fn only_what_is_asked_for_is_shown() {
    for (flags, count) in [
        (&["--collector.containers.id-exclude="][..], 17),
        (&[], 16),
        (&["--collector.containers.only-runtimes"], 10),
        (&["--collector.containers.id-include=^/$"], 1),
    ] {
        let folder = copy("pods");
        let page = gather(&still_agent(folder.path(), &[ONLY, flags].concat()));
        let shown = page.samples.keys().filter(|(family, _)| family == "container_last_seen").count();
        assert_eq!(shown, count, "{flags:?}");
    }
}

#[test]
fn containers_that_come_and_go_are_followed() {
    let folder = copy("pods");
    let slice = folder.path().join("sys/fs/cgroup/system.slice");
    let agent = still_agent(folder.path(), ONLY);
    let before = text(&agent);
    fs::create_dir(slice.join("new.service")).unwrap();
    fs::remove_dir_all(slice.join("ssh.service")).unwrap();
    let after = text(&agent);
    assert!(before.contains("ssh.service") && !before.contains("new.service"));
    assert!(!after.contains("ssh.service") && after.contains("new.service"));
    // Made anew under the same path: it is another group, with another time.
    fs::create_dir(slice.join("ssh.service")).unwrap();
    let made = |page: &str| {
        let labels = [("id", "/system.slice/ssh.service")];
        Page::parse(page.as_bytes()).value("container_start_time_seconds", &labels)
    };
    assert!(made(&text(&agent)) > made(&before));
}

#[test]
fn a_runtime_that_hangs_costs_names_not_numbers() {
    let folder = copy("pods");
    fs::create_dir_all(folder.path().join("run")).unwrap();
    // It takes the connection and never answers.
    let _listener = UnixListener::bind(folder.path().join("run/docker.sock")).unwrap();
    let agent = still_agent(folder.path(), ONLY);
    let page = gather(&agent);
    assert!(succeeded(&page, NAME));
    assert!(page.samples.keys().any(|(family, _)| family == "container_memory_usage_bytes"));
}

#[test]
fn files_that_are_broken_or_gone_never_fail_a_scrape() {
    const ROUNDS: usize = 150;
    let rng = seeded();
    for machine in ["pods", "controllers"] {
        let folder = copy(machine);
        let files = ["sys/fs", "proc"].map(|name| folder.path().join(name));
        let files = files.map(|folder| entries_in(&folder).into_iter().map(move |name| folder.join(name)));
        let files: Vec<PathBuf> = files.into_iter().flatten().collect();
        let line = [ONLY, &["--collector.containers.load", "--collector.containers.percpu"]].concat();
        let agent = still_agent(folder.path(), &line);
        text(&agent);
        for _ in 0..ROUNDS {
            let path = &files[rng.below(files.len() as u64) as usize];
            if !break_file(path, &rng) {
                continue;
            }
            if folder.path().join("sys/fs/cgroup/cgroup.controllers").exists() || machine != "pods" {
                assert!(succeeded(&gather(&agent), NAME), "{}", path.display());
            }
        }
    }
}

#[test]
fn this_machine_shows_its_root_and_itself() {
    if !Path::new("/sys/fs/cgroup").exists() {
        return;
    }
    let agent = real_agent(options(ONLY));
    let page = gather(&agent);
    if succeeded(&page, NAME) {
        assert!(page.value("container_last_seen", &[("id", "/")]).is_some());
        assert!(page.value("machine_memory_bytes", &[]).unwrap() > 1e6);
        assert!(page.value("machine_cpu_cores", &[]).unwrap() >= 1.0);
        assert_eq!(page.value("container_scrape_error", &[]), Some(0.0));
    }
}
