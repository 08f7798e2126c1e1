//! OTLP metrics: translated, as Prometheus does, into a request of remote write 1.0, which is then taken as
//! any other. What has no translation (deltas, unknown kinds) is refused and told.
//!
//! - `config`: the section `otlp`. `names`: names of metrics and labels. `translate`: points to samples.

mod config;
mod names;
mod translate;

pub use config::{OtlpConfig, TranslationStrategy};

use crate::{
    Compression, Intake, IntakeError, Version, Written, remote_write,
    stats::Protocol,
    unzip::{Packing, unzip},
};
use skopos_proto::otlp;

/// What a request takes for each byte of it: attributes are texts of their own.
const BYTES_FOR_EACH: usize = 12;

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpForm {
    /// Protocol buffers.
    Protobuf,
    /// JSON.
    Json,
}

impl Intake {
    /// Takes a request of OTLP.
    ///
    /// # Errors
    /// When nothing of it was taken.
    pub fn otlp(
        &self,
        (form, config): (OtlpForm, &OtlpConfig),
        (body, compression): (&[u8], Compression),
    ) -> Result<Written, IntakeError> {
        self.counted(Protocol::Otlp, |intake, scratch| {
            let mut held = intake.memory().begin();
            let mut plain = Vec::new();
            unzip(body, Packing::Of(compression), (&mut held, intake.limits().decoded_bytes), &mut plain)?;
            held.take(plain.len().saturating_mul(BYTES_FOR_EACH))?;
            let resources = match form {
                OtlpForm::Protobuf => otlp::read(&plain)?,
                OtlpForm::Json => otlp::read_json(&plain)?,
            };
            let translated = translate::translate(&resources, config, intake.latest());
            drop((resources, plain));
            held.take(translated.request.len().saturating_mul(crate::intake::BYTES_FOR_EACH))?;
            let message = remote_write::Message::of(&translated.request, Version::One, intake.cache())?;
            intake.batch(Protocol::Otlp, &message, scratch, |batch, rest| {
                for reason in &translated.refused {
                    batch.tally.refuse_other(format_args!("{reason}"));
                }
                batch.tally.exemplars_passed_over += translated.exemplars_passed_over;
                Ok(remote_write::read(&message, (intake.cache(), intake.metrics()), batch, rest)?)
            })
        })
    }
}

#[cfg(test)]
mod tests;
