//! `Token`: what is shown to a provider for a while, and asked for again before it ends. Asks nobody.

use crate::json::Json;
use jiff::{SignedDuration, Timestamp};
use skopos_base::secret::Secret;

/// A token is not shown in the last minutes before it ends.
const BEFORE_END: SignedDuration = SignedDuration::from_mins(2);

/// See above.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) text: Secret<String>,
    until: Timestamp,
}

impl Token {
    /// One that ends then.
    pub(crate) fn until(text: &str, until: Timestamp) -> Self {
        Self { text: Secret::new(text.to_owned()), until }
    }

    /// One as servers of OAuth 2 give it: they say for how many seconds.
    pub(crate) fn of_answer(answer: Json<'_>) -> Option<Self> {
        let seconds = answer.written("expires_in").parse().unwrap_or(300_i64).clamp(0, 1 << 31);
        let until = Timestamp::now() + SignedDuration::from_secs(seconds);
        let text = answer.text("access_token");
        (!text.is_empty()).then(|| Self::until(text, until))
    }

    /// Whether it can still be shown.
    pub(crate) fn is_good(&self) -> bool {
        Timestamp::now() + BEFORE_END < self.until
    }

    /// The value of the header `Authorization`.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.text.expose())
    }
}
