//! `ScrapeProtocols`: the formats that targets are asked for, as files name them, and the header that asks.
//! Reads no body.

use crate::body::Exposition;
use serde::{Deserialize, Serialize};
use skopos_exposition::{Escaping, Format};
use std::fmt::Write as _;

/// A format of a page of metrics, as files name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub enum ScrapeProtocol {
    /// Families in protocol buffers.
    PrometheusProto,
    /// OpenMetrics before its first version.
    #[serde(rename = "OpenMetricsText0.0.1")]
    OpenMetricsText0_0_1,
    /// OpenMetrics.
    #[serde(rename = "OpenMetricsText1.0.0")]
    OpenMetricsText1_0_0,
    /// The classic format.
    #[serde(rename = "PrometheusText0.0.4")]
    PrometheusText0_0_4,
    /// The classic format with names of any letters.
    #[serde(rename = "PrometheusText1.0.0")]
    PrometheusText1_0_0,
}

impl ScrapeProtocol {
    /// How many there are.
    const COUNT: usize = 5;

    /// How a body of it is read.
    pub const fn exposition(self) -> Exposition {
        match self {
            Self::PrometheusProto => Exposition::Families,
            Self::OpenMetricsText0_0_1 | Self::OpenMetricsText1_0_0 => Exposition::Lines(Format::OpenMetrics),
            Self::PrometheusText0_0_4 | Self::PrometheusText1_0_0 => Exposition::Lines(Format::Text),
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            Self::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
            Self::PrometheusText0_0_4 => "text/plain;version=0.0.4",
            Self::PrometheusText1_0_0 => "text/plain;version=1.0.0",
        }
    }

    /// Whether its requests may say what is to become of names that are not classic.
    const fn has_escaping(self) -> bool {
        matches!(self, Self::OpenMetricsText1_0_0 | Self::PrometheusText1_0_0)
    }
}

/// At least one format, none twice; the most wanted first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "Vec<ScrapeProtocol>")]
pub struct ScrapeProtocols(Vec<ScrapeProtocol>);

/// Why a list is none of protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolsError {
    /// It is empty.
    #[error("scrape_protocols is empty: name at least one, or leave it out")]
    Empty,
    /// One stands twice.
    #[error("scrape_protocols has {0:?} twice: each may stand once")]
    Twice(ScrapeProtocol),
}

impl TryFrom<Vec<ScrapeProtocol>> for ScrapeProtocols {
    type Error = ProtocolsError;

    fn try_from(all: Vec<ScrapeProtocol>) -> Result<Self, ProtocolsError> {
        if all.is_empty() {
            return Err(ProtocolsError::Empty);
        }
        match all.iter().enumerate().find(|(i, protocol)| all[..*i].contains(protocol)) {
            Some((_, twice)) => Err(ProtocolsError::Twice(*twice)),
            None => Ok(Self(all)),
        }
    }
}

impl Default for ScrapeProtocols {
    fn default() -> Self {
        use ScrapeProtocol as P;
        Self(vec![
            P::OpenMetricsText1_0_0,
            P::OpenMetricsText0_0_1,
            P::PrometheusText1_0_0,
            P::PrometheusText0_0_4,
        ])
    }
}

impl ScrapeProtocols {
    /// Those that are asked for where native histograms, or when something was begun to be counted, are
    /// wanted and nothing else is said.
    pub fn families_first() -> Self {
        let mut all = vec![ScrapeProtocol::PrometheusProto];
        all.extend(Self::default().0);
        Self(all)
    }

    /// The value of `Accept`, as Prometheus writes it.
    pub fn accept(&self, escaping: Escaping) -> String {
        let mut out = String::new();
        let weights = (1..=ScrapeProtocol::COUNT + 1).rev();
        let mut rest = weights.clone();
        for (protocol, weight) in self.0.iter().zip(weights) {
            rest.next();
            out.push_str(protocol.media_type());
            let written = if protocol.has_escaping() {
                write!(out, ";escaping={};q=0.{weight},", escaping.as_str())
            } else {
                write!(out, ";q=0.{weight},")
            };
            written.expect("invariant: a String takes all text");
        }
        let least = rest.next().unwrap_or(1);
        out + &format!("*/*;q=0.{least}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_that_of_prometheus() {
        use ScrapeProtocol as P;
        let accept = |all: &[P], escaping| ScrapeProtocols::try_from(all.to_vec()).unwrap().accept(escaping);
        assert_eq!(
            ScrapeProtocols::default().accept(Escaping::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert_eq!(
            accept(&[P::PrometheusProto, P::PrometheusText1_0_0], Escaping::Underscores),
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;\
             q=0.6,text/plain;version=1.0.0;escaping=underscores;q=0.5,*/*;q=0.4"
        );
        assert!(ScrapeProtocols::families_first().accept(Escaping::Dots).ends_with(";q=0.2,*/*;q=0.1"));
    }

    #[test]
    fn there_is_at_least_one_and_none_twice() {
        use ScrapeProtocol::{PrometheusProto, PrometheusText0_0_4};
        assert_eq!(ScrapeProtocols::try_from(vec![]), Err(ProtocolsError::Empty));
        let twice = vec![PrometheusProto, PrometheusText0_0_4, PrometheusProto];
        assert_eq!(ScrapeProtocols::try_from(twice), Err(ProtocolsError::Twice(PrometheusProto)));
    }
}
