//! Files of rules and of HTTP clients, good and bad, and what is said of them.

#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use skopos_base::{Env, fs::OpenMode, sim::SimWorld};
use skopos_client::config::HttpConfigFile;
use skopos_config::{load_http_client, load_rules, parse_rules, to_yaml};
use skopos_rules::file::{Group, Rule};
use std::path::Path;

fn parse(text: &str) -> Result<Vec<Group>, String> {
    parse_rules(text, Path::new("rules.yml")).map_err(|e| e.to_string())
}

#[test]
fn everything_that_may_stand_in_a_file_of_rules_is_read() {
    let groups = parse(
        "groups:
  - name: one
    interval: 30s
    query_offset: 1m
    limit: 10
    labels: {team: a}
    rules:
      - record: job:up:sum
        expr: |
          sum by (job) (
            up
          )
        labels:
          env: prod
      - alert: Down
        expr: up == 0
        for: 5m
        keep_firing_for: 1m
        labels: {severity: page}
        annotations: {summary: '{{ $labels.job }} is down'}
  - name: two
    rules:
",
    )
    .unwrap();
    assert_eq!(groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    let [Rule::Recording(recording), Rule::Alerting { name }] = &groups[0].rules[..] else {
        panic!("{groups:?}")
    };
    assert_eq!(recording.expr.to_string(), "sum by (job) (up)");
    assert_eq!(recording.labels.len(), 2);
    assert_eq!((name.as_str(), groups[0].interval.unwrap().as_ms()), ("Down", 30_000));
    for empty in ["", "groups:\n", "groups: []\n"] {
        assert_eq!(parse(empty).unwrap().len(), 0, "{empty:?}");
    }
}

#[test]
fn what_is_wrong_is_told_with_line_and_column() {
    let in_rule = |rule: &str| format!("groups:\n- name: g\n  rules:\n  - {rule}\n");
    for (text, expected) in [
        (in_rule("{record: a, expr: b, x: c}"), "rules.yml:4:26: unknown field `x`"),
        (in_rule("{record: a, expr: 'b +'}"), "rules.yml:4:23: the expression of \"a\" is not valid: 1:4"),
        (in_rule("{record: a}"), "rules.yml:4:5: rule \"a\" has no expression"),
        (in_rule("{record: a, alert: b, expr: c}"), "rules.yml:4:24: a rule has one of"),
        (in_rule("{record: a, expr: b, for: 5m}"), "rules.yml:4:31: a recording rule has no `for`"),
        (in_rule("{record: a, expr: b, for: soon}"), "rules.yml:4:31: "),
        (
            "groups:\n- name: g\n- name: h\n- name: g\n".to_owned(),
            "rules.yml:4:9: there are two groups \"g\" in this file",
        ),
        ("groups:\n- name: g\n  interval: 0s\n".to_owned(), "rules.yml:3:13: the interval of group \"g\""),
        ("groups:\n- rules: []\n".to_owned(), "rules.yml:2:"),
        ("group: []\n".to_owned(), "rules.yml:1:1: unknown field `group`"),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.starts_with(expected), "{text}{error}, not {expected}");
    }
}

fn env(files: &[(&str, &str)]) -> Env {
    let env = SimWorld::new(1).env();
    env.fs.create_dir_all(Path::new("/etc")).unwrap();
    for (name, text) in files {
        let mut file = env.fs.open(Path::new(name), OpenMode::CreateNew).unwrap();
        assert_eq!(file.append(text.as_bytes()).unwrap(), text.len());
    }
    env
}

#[test]
fn how_a_server_is_spoken_to_is_read_strictly() {
    const DEFAULTS: &str = "follow_redirects: true\nenable_http2: true\n";
    for (text, expected) in [
        ("", ""),
        ("tls_config:", ""),
        ("basic_auth: {username: me, password: 17}", "basic_auth:\n  username: me\n  password: <secret>\n"),
        (
            "basic_auth: {username_file: me, password_file: /pass}",
            "basic_auth:\n  username_file: /etc/me\n  password_file: /pass\n",
        ),
        ("authorization: {credentials: t}", "authorization:\n  type: Bearer\n  credentials: <secret>\n"),
        ("bearer_token: t", "authorization:\n  type: Bearer\n  credentials: <secret>\n"),
        ("bearer_token_file: pass", "authorization:\n  type: Bearer\n  credentials_file: /etc/pass\n"),
        (
            "tls_config: {ca_file: ca.pem, cert: C, key: K, server_name: s, min_version: TLS12}",
            "tls_config:\n  cert: C\n  key: <secret>\n  ca_file: /etc/ca.pem\n  server_name: s\n  \
             insecure_skip_verify: false\n  min_version: TLS12\n",
        ),
    ] {
        let env = env(&[("/etc/http.yml", text)]);
        let http = load_http_client(&*env.fs, Path::new("/etc/http.yml")).unwrap();
        let shown = to_yaml(&HttpConfigFile { http });
        assert_eq!(shown, format!("{expected}{DEFAULTS}"), "{text}");
    }
    let text = "follow_redirects: false\nenable_http2: false\nproxy_url: http://me:hush@proxy:3128\n\
                no_proxy: 10.0.0.0/8\nproxy_connect_header: {X-A: [hush]}\n\
                http_headers: {X-B: {values: [b], secrets: [hush], files: [f]}}\n\
                oauth2: {client_id: me, client_secret: hush, token_url: 'http://t/', scopes: [a],\n  \
                proxy_url: 'socks5://p:1'}\n";
    let env = env(&[("/etc/http.yml", text)]);
    let http = load_http_client(&*env.fs, Path::new("/etc/http.yml")).unwrap();
    let expected = "oauth2:\n  client_id: me\n  client_secret: <secret>\n  scopes:\n  - a\n  \
                    token_url: http://t/\n  proxy_url: socks5://p:1\n\
                    follow_redirects: false\nenable_http2: false\n\
                    proxy_url: http://me:xxxxx@proxy:3128/\nno_proxy: 10.0.0.0/8\n\
                    proxy_connect_header:\n  X-A:\n  - <secret>\n\
                    http_headers:\n  X-B:\n    values:\n    - b\n    secrets:\n    - <secret>\n    \
                    files:\n    - /etc/f\n";
    assert_eq!(to_yaml(&HttpConfigFile { http: http.clone() }), expected);
    assert!(!format!("{http:?}").contains("hush"), "{http:?}");
}

#[test]
fn what_is_wrong_with_how_a_server_is_spoken_to_has_its_place() {
    for (text, expected) in [
        ("basic_auth: {username: me, password: a, password_file: pass}", "`password` and `password_file`"),
        ("{bearer_token: t, authorization: {credentials: t}}", "at most one of `basic_auth`"),
        ("authorization: {type: Basic, credentials: t}", "write `basic_auth`"),
        ("tls_config: {x: y}", "http.yml:1:14: unknown field `x`"),
        ("x: y", "http.yml:1:1: unknown field `x`"),
        ("basic_auth: [a]", "http.yml:1:13: expected a mapping"),
        (
            "{follow_redirects: true, follow_redirects: true}",
            "http.yml:1:26: the key \"follow_redirects\" stands twice",
        ),
        ("tls_config: {cert: a}", "a certificate needs its key"),
        ("tls_config: {ca: a, ca_file: b}", "`ca` and `ca_file`"),
        ("tls_config: {min_version: TLS13, max_version: TLS12}", "max_version is older"),
        ("tls_config: {max_version: TLS11}", "TLS before 1.2 is not spoken"),
        ("tls_config: {min_version: '1.2'}", "http.yml:1:27: unknown variant `1.2`"),
        ("proxy_url: nowhere", "proxy_url: it is no address"),
        ("no_proxy: a", "no_proxy: it needs a `proxy_url`"),
        ("{proxy_url: 'http://a', proxy_from_environment: true}", "at most one of `proxy_url`"),
        ("proxy_connect_header: {a: [b]}", "proxy_connect_header: it needs"),
        ("http_headers: {Host: {values: [a]}}", "\"Host\" says how a request is made"),
        ("http_headers: {'a b': {values: [a]}}", "\"a b\" is no name of a header"),
        ("oauth2: {token_url: 'http://t'}", "`client_id` is missing"),
        ("oauth2: {client_id: a}", "`token_url` is missing"),
        ("oauth2: {client_id: a, token_url: t}", "token_url: it is no address"),
        ("oauth2: {client_id: a, x: y}", "http.yml:1:24: unknown field `x`"),
    ] {
        let env = env(&[("/etc/http.yml", text)]);
        let error = load_http_client(&*env.fs, Path::new("/etc/http.yml")).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_file_that_is_no_text_or_not_there_is_named() {
    let env = env(&[]);
    let mut file = env.fs.open(Path::new("/etc/r.yml"), OpenMode::CreateNew).unwrap();
    file.append(b"groups:\n- name: \xff\n").unwrap();
    let error = load_rules(&*env.fs, Path::new("/etc/r.yml")).unwrap_err().to_string();
    assert_eq!(error, "/etc/r.yml: line 2: not UTF-8 from byte 16 on");
    let error = load_rules(&*env.fs, Path::new("/etc/gone.yml")).unwrap_err().to_string();
    assert!(error.contains("/etc/gone.yml"), "{error}");
}
