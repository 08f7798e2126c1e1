//! `WithClient`: a kind that asks a server over HTTP, with the keys of the client beside its own. Asks
//! nobody.

use crate::{
    config::{Kind, Task},
    error::SourceError,
    source::Sink,
};
use serde::{Deserialize, Deserializer, Serialize};
use skopos_client::HttpConfig;
use skopos_model::inlined::{self, HasInlined};
use std::path::Path;

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct WithClient<T> {
    /// The keys of the kind.
    #[serde(flatten)]
    pub own: T,
    /// Those of the client.
    #[serde(flatten)]
    pub client: HttpConfig,
}

impl<T: for<'de> Deserialize<'de>> HasInlined for WithClient<T> {
    type Part = HttpConfig;

    fn own<'de, D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        T::deserialize(d).map(|own| Self { own, client: HttpConfig::default() })
    }

    fn set(&mut self, part: HttpConfig) {
        self.client = part;
    }
}

impl<'de, T: for<'any> Deserialize<'any>> Deserialize<'de> for WithClient<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        inlined::deserialize(d)
    }
}

/// A kind of source that asks a server over HTTP.
pub(crate) trait ClientKind {
    /// What its targets and metrics call it.
    const NAME: &'static str;

    /// What is wrong with it that its shape alone does not say; the client's keys are sound. Brings keys that
    /// are the kind's own to what they mean for the client.
    fn check(&mut self, client: &mut HttpConfig) -> Result<(), String>;

    /// Lets it find targets.
    fn start(&self, client: &HttpConfig, sink: Sink) -> Result<Task, SourceError>;

    /// Paths of files that it names stand below `folder`, but for those from the root on.
    fn set_folder(&mut self, _folder: &Path) {}
}

impl<T: ClientKind> Kind for WithClient<T> {
    const NAME: &'static str = T::NAME;

    fn check(&mut self) -> Result<(), String> {
        self.client.check().map_err(|e| e.to_string())?;
        self.own.check(&mut self.client)?;
        self.client.check().map_err(|e| e.to_string())
    }

    fn start(&self, sink: Sink) -> Result<Task, SourceError> {
        self.own.start(&self.client, sink)
    }

    fn set_folder(&mut self, folder: &Path) {
        self.own.set_folder(folder);
        self.client = std::mem::take(&mut self.client).beside(folder);
    }
}
