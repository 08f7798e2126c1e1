//! What Debian's Prometheus says of an expression. Knows nothing of this parser.

use skopos_testkit::{peers, service::Service};

/// Whether a text is an expression.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is one, whatever its evaluation gives.
    Accepted,
    /// It is none, for this reason.
    Refused(String),
}

/// A running Prometheus without data.
pub(crate) struct Peer(Service);

impl Peer {
    pub(crate) fn start() -> Self {
        Self(peers::prometheus("global: {}\n", &["--log.level=warn"]))
    }

    /// Whether `text` is an expression.
    pub(crate) fn verdict(&self, text: &str) -> Verdict {
        let answer = self.0.get(&format!("/api/v1/query?time=0&query={}", escaped(text)));
        // Status 422 means that the evaluation failed, so it was an expression.
        if answer.status == 400 { Verdict::Refused(answer.text()) } else { Verdict::Accepted }
    }

    /// `text` in canonical form.
    pub(crate) fn format(&self, text: &str) -> String {
        let answer = self.0.get(&format!("/api/v1/format_query?query={}", escaped(text))).text();
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("an answer in JSON");
        answer["data"].as_str().expect("an expression").to_owned()
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}
