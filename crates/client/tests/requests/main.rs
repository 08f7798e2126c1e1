//! Requests that `HttpClient` makes, as servers see them.
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]
#![expect(clippy::disallowed_methods, reason = "servers of tests run on threads of their own")]

mod credentials;
mod server;
mod tls;
mod way;

use reqwest::{Method, Url};
use serde::de::{DeserializeOwned, Error as _, value::Error};
use skopos_base::{
    Env,
    fs::{OpenMode, append_all},
};
use skopos_client::{ClientOptions, HttpClient, HttpConfig, answer::chain, config::HttpConfigFile};
use std::path::Path;

/// The configuration that this JSON is: tests spell it as files do.
fn config(json: serde_json::Value) -> HttpConfig {
    let config = read::<HttpConfigFile>(json).unwrap().http;
    config.check().unwrap();
    config
}

fn read<T: DeserializeOwned>(json: serde_json::Value) -> Result<T, Error> {
    serde_json::from_value(json).map_err(Error::custom)
}

fn client(env: &Env, json: serde_json::Value) -> HttpClient {
    HttpClient::new(&config(json), &ClientOptions::default(), &env.fs).unwrap()
}

/// The status and the text of the answer, or why there is none.
async fn get(client: &HttpClient, url: &str) -> Result<(u16, String), String> {
    let request = client.request(Method::GET, &Url::parse(url).unwrap()).await.map_err(|e| e.to_string())?;
    let response = request.send().await.map_err(|e| chain(&e))?;
    let status = response.status().as_u16();
    Ok((status, response.text().await.map_err(|e| chain(&e))?))
}

fn write(env: &Env, path: &str, text: &str) {
    let _not_yet = env.fs.remove_file(Path::new(path));
    let mut file = env.fs.open(Path::new(path), OpenMode::CreateNew).unwrap();
    append_all(file.as_mut(), text.as_bytes()).unwrap();
}
