//! Pushes to the Pushgateway, as text and as families in protocol buffers: what was taken is kept and shown
//! as it was after a restart, and what the page says is taken again.

use skopos_base::{Env, sim::SimWorld};
use skopos_intake::{Form, GatewayOptions, GroupingKey, Pushgateway, Replace};
use std::path::{Path, PathBuf};

/// What reads bytes of others.
pub(super) const DECODERS: &[(&str, &[&str])] = &[
    ("crates/intake/src/pushgateway/family.rs", &["read", "of_text", "of_messages"]),
    ("crates/intake/src/pushgateway/kept.rs", &["decode"]),
    ("crates/intake/src/pushgateway/mod.rs", &[]),
    ("crates/intake/src/pushgateway/path.rs", &["parse"]),
    ("crates/proto/src/pushed_families.rs", &["read", "family", "metric", "single", "summary", "histogram"]),
];

const FILE: &str = "/d/pushgateway.json";

fn open(env: &Env) -> Pushgateway {
    let options =
        GatewayOptions { file: PathBuf::from(FILE), ttl: None, max_groups: 10, max_bytes: 16 << 20 };
    Pushgateway::open(options, env).expect("what the gateway wrote is read")
}

fn page(gateway: &Pushgateway) -> Vec<u8> {
    let mut page = Vec::new();
    gateway.page(&mut page);
    page
}

/// The first byte says how the rest is written.
pub(super) fn any(bytes: &[u8]) -> bool {
    let Some((kind, body)) = bytes.split_first() else { return false };
    let env = SimWorld::new(1).env();
    env.fs.create_dir_all(Path::new("/d")).expect("there is room");
    let is_path = std::str::from_utf8(body).is_ok_and(|path| GroupingKey::parse(path).is_ok());
    let key = GroupingKey::parse("job/j/x/y").expect("it is one");
    let gateway = open(&env);
    let form = if kind % 2 == 0 { Form::Text } else { Form::Delimited };
    let is_taken = gateway.push(&key, (form, body), Replace::Names, None).is_ok();
    let shown = page(&gateway);
    assert!(gateway.status().is_array());
    let again = open(&env);
    assert_eq!(page(&again), shown);
    is_taken || is_path
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let text = "# TYPE h histogram\n# HELP h What.\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n\
                h_sum 3\nh_count 2\n\
                # TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 1\ns_count 1\nplain{a=\"b\"} 1\n";
    let gauge = [&[0x0a, 1, b'g', 0x18, 1, 0x22, 11, 0x12, 9, 0x09][..], &1.5_f64.to_le_bytes()].concat();
    let delimited = [&[1, gauge.len() as u8][..], &gauge].concat();
    let path = b"\0job@base64/YS9i/a/1/b@base64/=".to_vec();
    vec![[&[0][..], text.as_bytes()].concat(), delimited, vec![0], path]
}
