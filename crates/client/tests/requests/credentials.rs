//! Who we say to be: by names, tokens and headers, in the configuration or in files.

use crate::{
    client, config, get,
    server::{Server, text},
    write,
};
use serde_json::json;
use skopos_base::sim::SimWorld;
use skopos_client::{ClientOptions, HttpClient};
use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicU64, Ordering::Relaxed},
};

#[tokio::test]
async fn credentials_and_headers_are_what_is_written_or_what_files_say_now() {
    let env = SimWorld::new(1).env();
    let server = Server::start(|_| text("ok"));
    for secret in ["first", "second"] {
        write(&env, "/secret", &format!(" {secret}\n"));
        write(&env, "/name", "me\n");
        let basic = |encoded: &str| format!("Basic {encoded}");
        let of_file = basic(if secret == "first" { "bWU6Zmlyc3Q=" } else { "bWU6c2Vjb25k" });
        for (http, authorization) in [
            (json!({}), String::new()),
            (json!({"basic_auth": {"username": "me", "password": "hush"}}), basic("bWU6aHVzaA==")),
            (json!({"basic_auth": {"username_file": "/name", "password_file": "/secret"}}), of_file),
            (json!({"authorization": {"type": "Token", "credentials": "t0"}}), "Token t0".to_owned()),
            (json!({"authorization": {"credentials_file": "/secret"}}), format!("Bearer {secret}")),
            (json!({"bearer_token_file": "/secret"}), format!("Bearer {secret}")),
        ] {
            assert_eq!(get(&client(&env, http.clone()), &server.url("/p?q=1")).await.unwrap().1, "ok");
            let asked = server.asked();
            assert_eq!((asked.len(), asked[0].line.as_str()), (1, "GET /p?q=1 HTTP/1.1"));
            assert_eq!(asked[0].header("authorization"), authorization, "{http}");
        }
    }
    let headers =
        json!({"http_headers": {"X-A": {"values": ["1", "2"], "secrets": ["3"], "files": ["/secret"]}}});
    let same = client(&env, headers);
    for secret in ["third", "fourth"] {
        write(&env, "/secret", secret);
        get(&same, &server.url("/")).await.unwrap();
        assert_eq!(server.asked()[0].header("x-a"), format!("1,2,3,{secret}"));
    }
}

#[tokio::test]
async fn a_file_that_is_away_is_an_error_that_names_it() {
    let env = SimWorld::new(1).env();
    let http = config(json!({"bearer_token_file": "/gone"}));
    let error = HttpClient::new(&http, &ClientOptions::default(), &env.fs).unwrap_err();
    assert!(error.to_string().contains("/gone"), "{error}");
    write(&env, "/gone", "hush\u{1}");
    let error = HttpClient::new(&http, &ClientOptions::default(), &env.fs).unwrap_err().to_string();
    assert!(error.contains("credentials") && !error.contains("hush"), "{error}");
    write(&env, "/gone", "there");
    let client = HttpClient::new(&http, &ClientOptions::default(), &env.fs).unwrap();
    env.fs.remove_file(std::path::Path::new("/gone")).unwrap();
    assert!(get(&client, "http://127.0.0.1:1/").await.unwrap_err().contains("/gone"));
}

/// Gives tokens to those who say that they are `me` with `secret`, by one of two ways.
fn tokens(expires_in: &Arc<AtomicU64>, status: &Arc<AtomicU16>, takes_header: bool) -> Server {
    let (expires_in, status, given) = (Arc::clone(expires_in), Arc::clone(status), AtomicU64::new(0));
    Server::start(move |asked| {
        let by_header = asked.header("authorization") == "Basic bWUlMjY6cyUyNg==";
        let by_form = asked.body.ends_with("client_id=me%26&client_secret=s%26");
        if status.load(Relaxed) != 200 || if takes_header { !by_header } else { !by_form } {
            let status = if status.load(Relaxed) == 200 { 401 } else { status.load(Relaxed) };
            return (status, Vec::new(), "you said s&".to_owned());
        }
        let (given, ends) = (given.fetch_add(1, Relaxed), expires_in.load(Relaxed));
        text(&format!("{{\"access_token\":\"t{given}\",\"token_type\":\"bearer\",\"expires_in\":{ends}}}"))
    })
}

#[tokio::test]
async fn a_token_is_fetched_once_and_kept_until_it_ends() {
    let env = SimWorld::new(1).env();
    let server = Server::start(|asked| text(&asked.header("authorization")));
    for takes_header in [true, false] {
        let (ends, status) = (Arc::new(AtomicU64::new(3600)), Arc::new(AtomicU16::new(200)));
        let tokens = tokens(&ends, &status, takes_header);
        write(&env, "/secret", "s&");
        let client = client(
            &env,
            json!({"oauth2": {
                "client_id": "me&", "client_secret_file": "/secret", "token_url": tokens.url("/token"),
                "scopes": ["a", "b"], "endpoint_params": {"audience": "x y"},
            }}),
        );
        let ask = async || get(&client, &server.url("/")).await.map(|(_, text)| text);
        assert_eq!(ask().await.unwrap(), "Bearer t0");
        let asked = tokens.asked();
        assert_eq!(asked.len(), if takes_header { 1 } else { 2 });
        let form = "grant_type=client_credentials&scope=a+b&audience=x+y";
        assert!(asked.iter().all(|asked| asked.body.starts_with(form)), "{asked:?}");
        assert_eq!(ask().await.unwrap(), "Bearer t0");
        assert_eq!(tokens.asked().len(), 0);
        // Another secret is another token; one that ends within seconds is not used twice.
        write(&env, "/secret", "wrong");
        let error = ask().await.unwrap_err();
        assert!(error.contains("401") && !error.contains("you said"), "{error}");
        write(&env, "/secret", "s&");
        assert_eq!(ask().await.unwrap(), "Bearer t0", "the one of this secret has not ended");
        ends.store(5, Relaxed);
        write(&env, "/secret", " s&");
        status.store(500, Relaxed);
        assert_eq!(ask().await.unwrap(), "Bearer t0");
    }
    let (ends, status) = (Arc::new(AtomicU64::new(5)), Arc::new(AtomicU16::new(200)));
    let tokens = tokens(&ends, &status, true);
    let oauth2 =
        json!({"client_id": "me&", "client_secret": "s&", "token_url": tokens.url("/token?key=hidden")});
    let client = client(&env, json!({"oauth2": oauth2}));
    for expected in ["Bearer t0", "Bearer t1"] {
        assert_eq!(get(&client, &server.url("/")).await.unwrap().1, expected);
    }
    status.store(503, Relaxed);
    let error = get(&client, &server.url("/")).await.unwrap_err();
    let (asked, secret) = (tokens.url("/token"), "hidden");
    let said = format!("oauth2: {asked}: the server of tokens answers with status 503");
    assert!(error.contains(&said) && !error.contains(secret), "{error}");
}
