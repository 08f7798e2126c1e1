//! `Families`: what a push says, from the text format or from protocol buffers; and whether it is consistent
//! with itself.

use super::{FAILURE_TIME, PUSH_TIME};
use crate::IntakeError;
use skopos_exposition::{Entry, Format, Parser};
use skopos_model::{Labels, LabelsBuilder, MetricType, name::METRIC_NAME};
use skopos_proto::pushed_families::{self, Metric};
use std::collections::{BTreeMap, HashSet};

/// How a push is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The text format.
    Text,
    /// Families in protocol buffers, each behind its length.
    Delimited,
}

/// Metrics by the name of their family.
pub(super) type Families = BTreeMap<String, Family>;

/// Metrics of one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Family {
    pub(super) metric_type: MetricType,
    pub(super) help: String,
    pub(super) samples: Vec<Sample>,
    /// Whether a sample had a time of its own.
    pub(super) has_times: bool,
}

/// A sample of a family.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// What its name has behind that of its family.
    pub(super) suffix: &'static str,
    /// With those of the group, without the name.
    pub(super) labels: Labels,
    pub(super) value: f64,
}

/// What names of samples have behind those of their families.
const SUFFIXES: [&str; 4] = ["", "_bucket", "_sum", "_count"];

impl Family {
    pub(super) fn bytes(&self) -> usize {
        let of_samples = self.samples.iter().map(|s| size_of::<Sample>() + s.labels.byte_len());
        self.help.len() + size_of::<Self>() + of_samples.sum::<usize>()
    }
}

/// The suffixes that names of samples of a type have.
fn suffixes(metric_type: MetricType) -> &'static [&'static str] {
    match metric_type {
        MetricType::Histogram => &SUFFIXES[1..],
        MetricType::Summary => &["", "_sum", "_count"],
        _ => &SUFFIXES[..1],
    }
}

/// Reads a push of the group `key`.
pub(super) fn read(form: Form, body: &[u8], key: &Labels) -> Result<Families, IntakeError> {
    let mut families = match form {
        Form::Text => of_text(body, key)?,
        Form::Delimited => of_messages(body, key)?,
    };
    for own in [PUSH_TIME, FAILURE_TIME] {
        families.remove(own);
    }
    families.retain(|_, family| !family.samples.is_empty());
    Ok(families)
}

fn of_text(body: &[u8], key: &Labels) -> Result<Families, IntakeError> {
    if body.last().is_some_and(|b| *b != b'\n') {
        return Err(IntakeError::Invalid(
            "text format parsing error: unexpected end of input stream".to_owned(),
        ));
    }
    let (mut families, mut builder) = (Families::new(), LabelsBuilder::default());
    for entry in Parser::new(Format::Text, body) {
        match entry.map_err(|e| IntakeError::Invalid(e.to_string()))? {
            Entry::Help { name, text } => {
                families.entry(name.into_owned()).or_default().help = text.into_owned();
            }
            Entry::Type { name, metric_type } => {
                families.entry(name.into_owned()).or_default().metric_type = metric_type;
            }
            Entry::Sample(sample) => {
                builder.clear();
                sample.series.labels_into(&mut builder).map_err(|e| IntakeError::Invalid(e.to_string()))?;
                let name = sample.series.metric_name();
                let (of, suffix) = family_of(&name, &families);
                let family = families.entry(of.to_owned()).or_default();
                family.has_times |= sample.timestamp.is_some();
                builder.remove(METRIC_NAME);
                builder.extend(key);
                family.samples.push(Sample { suffix, labels: builder.build(), value: sample.value });
            }
            Entry::Unit { .. } | Entry::Comment(_) => {}
        }
    }
    Ok(families)
}

/// The family of a sample of this name, and what the name has behind it.
fn family_of<'n>(name: &'n str, families: &Families) -> (&'n str, &'static str) {
    for suffix in SUFFIXES {
        let Some(of) = name.strip_suffix(suffix) else { continue };
        if families.get(of).is_some_and(|f| suffixes(f.metric_type).contains(&suffix)) {
            return (of, suffix);
        }
    }
    (name, "")
}

fn of_messages(body: &[u8], key: &Labels) -> Result<Families, IntakeError> {
    let (mut families, mut builder) = (Families::new(), LabelsBuilder::default());
    pushed_families::read::<IntakeError>(body, |message, metric: &Metric<'_>| {
        let family = families.entry(message.name.to_owned()).or_default();
        (family.metric_type, family.help) = (message.metric_type, message.help.to_owned());
        family.has_times |= metric.has_time;
        for value in &metric.values {
            builder.clear();
            metric.labels.iter().for_each(|(name, value)| builder.set(name, value));
            if let Some((name, bound)) = value.bound {
                builder.set(name, &written(bound));
            }
            builder.extend(key);
            family.samples.push(Sample { suffix: value.suffix, labels: builder.build(), value: value.value });
        }
        Ok(())
    })?;
    Ok(families)
}

/// A float as labels have it.
pub(super) fn written(bound: f64) -> String {
    match bound {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        bound => bound.to_string(),
    }
}

/// Whether a push is consistent with itself.
pub(super) fn check(families: &Families) -> Result<(), String> {
    if families.values().any(|family| family.has_times) {
        return Err("pushed metrics must not have timestamps".to_owned());
    }
    for (name, family) in families {
        let mut seen = HashSet::new();
        for sample in &family.samples {
            if !seen.insert((sample.suffix, &sample.labels)) {
                return Err(format!(
                    "collected metric {name:?} {} was collected before with the same name and label values",
                    sample.labels
                ));
            }
        }
    }
    Ok(())
}
