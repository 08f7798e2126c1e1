//! The way to a server: redirects and proxies.

use crate::{
    client, get,
    server::{Server, text},
    write,
};
use serde_json::json;
use skopos_base::sim::SimWorld;

#[tokio::test]
async fn redirects_are_followed_unless_they_carry_secrets_elsewhere() {
    let env = SimWorld::new(1).env();
    write(&env, "/secret", "hush");
    let elsewhere = Server::start(|asked| text(&asked.header("authorization")));
    let away = elsewhere.url("/");
    let server = Server::start(move |asked| match asked.line.split(' ').nth(1) {
        Some("/away") => (302, vec![("Location", away.clone())], "sent away".to_owned()),
        Some("/near") => (307, vec![("Location", "/here".to_owned())], "sent near".to_owned()),
        Some("/round") => (302, vec![("Location", "/round".to_owned())], String::new()),
        _ => text(&format!("here {}", asked.header("x-a"))),
    });
    let ask = async |http: serde_json::Value, path: &str| get(&client(&env, http), &server.url(path)).await;
    let ok = |text: &str| Ok((200, text.to_owned()));
    let none = json!({"follow_redirects": false, "bearer_token": "t"});
    assert_eq!(ask(none, "/away").await, Ok((302, "sent away".to_owned())));
    let token = json!({"bearer_token": "t"});
    assert_eq!(ask(token.clone(), "/near").await, ok("here "));
    assert_eq!(ask(token.clone(), "/away").await, ok(""), "the other host is told no token");
    assert!(ask(token, "/round").await.unwrap_err().contains("redirect"));
    assert_eq!(elsewhere.asked().len(), 1);
    for secret in [json!({"secrets": ["s"]}), json!({"files": ["/secret"]})] {
        let http = json!({"http_headers": {"X-A": secret}});
        assert!(ask(http.clone(), "/near").await.unwrap().1.len() > "here ".len());
        assert_eq!(ask(http.clone(), "/away").await, Ok((302, "sent away".to_owned())));
        assert!(ask(http, "/round").await.unwrap_err().contains("redirect"));
    }
    assert_eq!(elsewhere.asked().len(), 0);
}

#[tokio::test]
async fn a_proxy_is_asked_but_for_what_is_near() {
    let env = SimWorld::new(1).env();
    let proxy = Server::start(|asked| text(&asked.line));
    let server = Server::start(|_| text("itself"));
    let proxy_url = format!("http://me:hush@127.0.0.1:{}", proxy.port);
    let through = client(&env, json!({"proxy_url": proxy_url, "no_proxy": "127.0.0.0/8"}));
    assert_eq!(get(&through, "http://far.example/p").await.unwrap().1, "GET http://far.example/p HTTP/1.1");
    assert_eq!(proxy.asked()[0].header("proxy-authorization"), "Basic bWU6aHVzaA==");
    assert_eq!(get(&through, &server.url("/")).await.unwrap().1, "itself");
    assert!(!format!("{through:?}").contains("hush"), "{through:?}");
    let connect = json!({"proxy_url": proxy.url("/"), "proxy_connect_header": {"X-Key": ["hush"]}});
    get(&client(&env, connect), "https://far.example/").await.unwrap_err();
    let asked = proxy.asked();
    assert_eq!(
        (asked[0].line.as_str(), asked[0].header("x-key")),
        ("CONNECT far.example:443 HTTP/1.1", "hush".into())
    );
}
