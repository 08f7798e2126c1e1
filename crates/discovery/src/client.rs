//! `ClientConfig`: how a server is asked over HTTP, the keys that stand beside those of each kind that asks
//! one; `WithClient`: both together. Asks nobody.

use crate::{
    config::{Kind, Task},
    error::SourceError,
    source::Sink,
    split::{Keys, split},
};
use serde::{Deserialize, Deserializer, Serialize, de::MapAccess};

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientConfig {
    /// Whether an answer that points elsewhere is followed.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub follow_redirects: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { follow_redirects: true }
    }
}

impl Keys for ClientConfig {
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "follow_redirects" => self.follow_redirects = map.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The keys of a kind, and those of the client beside them.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct WithClient<T> {
    /// Those of the kind.
    #[serde(flatten)]
    pub own: T,
    /// Those of the client.
    #[serde(flatten)]
    pub client: ClientConfig,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for WithClient<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut client = ClientConfig::default();
        let own = split(d, &mut client)?;
        Ok(Self { own, client })
    }
}

/// A kind of source that asks a server over HTTP.
pub(crate) trait ClientKind {
    /// What its targets and metrics call it.
    const NAME: &'static str;

    /// What is wrong with it that its shape alone does not say.
    fn check(&self, client: &ClientConfig) -> Result<(), String>;

    /// Lets it find targets.
    fn start(&self, client: &ClientConfig, sink: Sink) -> Result<Task, SourceError>;
}

impl<T: ClientKind> Kind for WithClient<T> {
    const NAME: &'static str = T::NAME;

    fn check(&self) -> Result<(), String> {
        self.own.check(&self.client)
    }

    fn start(&self, sink: Sink) -> Result<Task, SourceError> {
        self.own.start(&self.client, sink)
    }
}
