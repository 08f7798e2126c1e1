//! Files of rules and of HTTP clients, good and bad, and what is said of them.

#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use skopos_base::{Env, fs::OpenMode, secret::Secret, sim::SimWorld};
use skopos_config::{load_http_client, load_rules, parse_rules};
use skopos_remote::http_client::{Credentials, TlsVersion, Verification};
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
fn credentials_are_read_from_the_file_or_from_those_it_names() {
    let basic =
        |password: &str| Credentials::Basic { username: "me".into(), password: Secret::new(password.into()) };
    let token = |kind: &str, secret: &str| Credentials::Authorization {
        kind: kind.into(),
        secret: Secret::new(secret.into()),
    };
    for (text, expected) in [
        ("", Ok(Credentials::None)),
        ("basic_auth: {username: me, password: hush}", Ok(basic("hush"))),
        ("basic_auth: {username: me, password_file: pass}", Ok(basic("from file"))),
        ("basic_auth: {username: me, password_file: /etc/pass}", Ok(basic("from file"))),
        ("authorization: {credentials: t}", Ok(token("Bearer", "t"))),
        ("authorization: {type: Token, credentials_file: pass}", Ok(token("Token", "from file"))),
        ("bearer_token: t", Ok(token("Bearer", "t"))),
        ("bearer_token_file: pass", Ok(token("Bearer", "from file"))),
        ("basic_auth: {username: me, password: a, password_file: pass}", Err("one of `password`")),
        ("{bearer_token: t, authorization: {credentials: t}}", Err("write one of `basic_auth`")),
        ("tls_config: {}", Ok(Credentials::None)),
        ("tls_config: {x: y}", Err("http.yml:1:14: unknown field `x`")),
        ("tls_config: {cert: a}", Err("a certificate needs its key")),
        ("tls_config: {ca: a, ca_file: b}", Err("one of `ca` and `ca_file`")),
        ("tls_config: {min_version: TLS13, max_version: TLS12}", Err("max_version is older")),
        ("tls_config: {min_version: '1.2'}", Err("http.yml:1:27: unknown variant `1.2`")),
        ("tls_config: {ca_file: gone}", Err("/etc/gone")),
        ("bearer_token_file: gone", Err("/etc/gone")),
    ] {
        let env = env(&[("/etc/http.yml", text), ("/etc/pass", "from file\n")]);
        let got = load_http_client(&*env.fs, Path::new("/etc/http.yml"));
        match (got, expected) {
            (Ok(got), Ok(expected)) => assert!(got.credentials == expected, "{text}"),
            (Err(e), Err(words)) => assert!(e.to_string().contains(words), "{text}: {e}"),
            (got, expected) => panic!("{text}: {got:?}, not {expected:?}"),
        }
    }
}

#[test]
fn how_a_connection_is_secured_is_read_from_files() {
    let text = "tls_config: {ca_file: ca.pem, cert_file: /etc/cert.pem, key: KEY, \
         insecure_skip_verify: true, server_name: s, min_version: TLS12, max_version: TLS13}";
    let env = env(&[("/etc/http.yml", text), ("/etc/ca.pem", "CA\n"), ("/etc/cert.pem", "CERT\n")]);
    let tls = load_http_client(&*env.fs, Path::new("/etc/http.yml")).unwrap().tls;
    assert_eq!(tls.authorities.as_deref(), Some(&b"CA"[..]));
    assert_eq!(tls.identity.as_ref().map(|pem| &pem.expose()[..]), Some(&b"CERT\nKEY\n"[..]));
    assert_eq!((tls.verification, tls.server_name.as_deref()), (Verification::None, Some("s")));
    assert_eq!((tls.min_version, tls.max_version), (Some(TlsVersion::Tls12), Some(TlsVersion::Tls13)));
    assert!(!format!("{tls:?}").contains("KEY"));
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
