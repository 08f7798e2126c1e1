//! `/-/reload` and `/-/quit`: what clients may ask of the program itself. Carries nothing out: whoever runs
//! the program receives what was asked.

use crate::parts::App;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use std::sync::Mutex;
use tokio::sync::{mpsc, oneshot};

/// What was asked.
#[derive(Debug)]
pub enum Asked {
    /// To read the configuration again; the answer says what came of it.
    Reload(oneshot::Sender<Result<(), String>>),
    /// To end.
    Quit,
}

/// Requests that wait at a time; one more is told to come back.
const WAITING_MAX: usize = 8;

/// Where handlers put what was asked.
pub(crate) struct Control {
    asked: mpsc::Sender<Asked>,
    receiver: Mutex<Option<mpsc::Receiver<Asked>>>,
}

impl Default for Control {
    fn default() -> Self {
        let (asked, receiver) = mpsc::channel(WAITING_MAX);
        Self { asked, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Control {
    /// The end at which requests arrive; there is one.
    pub(crate) fn receiver(&self) -> mpsc::Receiver<Asked> {
        let mut receiver = self.receiver.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        receiver.take().expect("invariant: one part of the program carries out what is asked")
    }
}

/// Reads the configuration again.
pub(crate) async fn reload(State(app): State<App>) -> Response {
    if !app.is_ready() {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "the server is starting: stored data is being read");
    }
    let (answer, answered) = oneshot::channel();
    if app.control().asked.try_send(Asked::Reload(answer)).is_err() {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait already");
    }
    match answered.await {
        Ok(Ok(())) => StatusCode::OK.into_response(),
        Ok(Err(reason)) => {
            refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("failed to reload config: {reason}"))
        }
        Err(_gone) => refused(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping"),
    }
}

/// Ends the program.
pub(crate) async fn quit(State(app): State<App>) -> Response {
    // One that waits already does as well.
    let _asked = app.control().asked.try_send(Asked::Quit);
    "Requesting termination... Goodbye!".into_response()
}

/// The answer where `--web.enable-lifecycle` was not given, to what would change something.
pub(crate) async fn not_enabled() -> Response {
    refused(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.")
}

/// The answer to GET, which must not change anything.
pub(crate) async fn wrong_method() -> Response {
    refused(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed")
}

fn refused(status: StatusCode, text: &str) -> Response {
    (status, text.to_owned()).into_response()
}
