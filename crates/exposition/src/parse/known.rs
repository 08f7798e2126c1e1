//! `MetaLines`: lines that say of a metric family what is known of it already are told by comparing them, and
//! are not read. Holds no text, and never takes a line for another one: what it skips, reading would give.

use super::{Entry, Parser, scan};
use crate::Format;
use skopos_model::{Metadata, MetricType};

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Help,
    Type,
    Unit,
}

/// Which lines behind one another said something of one family, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetaLines {
    lines: [Option<Said>; 3],
    /// There are more, or they are written in a way that no comparison knows again.
    are_others: bool,
}

impl MetaLines {
    /// Adds the line that an entry was read from. Samples and comments say nothing.
    pub fn push(&mut self, entry: &Entry<'_>) {
        let (said, name) = match entry {
            Entry::Help { name, .. } => (Said::Help, name),
            Entry::Type { name, .. } => (Said::Type, name),
            Entry::Unit { name, .. } => (Said::Unit, name),
            Entry::Comment(_) | Entry::Sample(_) => return,
        };
        // Others stand in quotes.
        let is_plain = !name.is_empty() && scan::metric_name(name.as_bytes(), 0) == name.len();
        match self.lines.iter_mut().find(|line| line.is_none()) {
            Some(free) if is_plain => *free = Some(said),
            _ => self.are_others = true,
        }
    }
}

impl Parser<'_> {
    /// Whether a line that begins with `#` comes next.
    #[inline]
    pub fn is_at_comment(&self) -> bool {
        !self.done && self.input.get(self.at) == Some(&b'#')
    }

    /// Skips `lines` if they come next and say what is known of the family `name`. False when they do not,
    /// or perhaps do in other words: then they are to be read.
    ///
    /// `lines` have to be of entries of this family and of the same format.
    #[inline]
    pub fn skip_known(&mut self, lines: MetaLines, name: &str, known: &Metadata) -> bool {
        match self.behind_known(lines, name, known) {
            Some(at) => {
                self.at = at;
                true
            }
            None => false,
        }
    }

    fn behind_known(&self, lines: MetaLines, name: &str, known: &Metadata) -> Option<usize> {
        if self.done || lines.are_others || lines.lines[0].is_none() {
            return None;
        }
        let mut rest = self.input.get(self.at..)?;
        for said in lines.lines.iter().flatten() {
            let (keyword, text) = match said {
                Said::Help => (b"# HELP ", help_as_written(&known.help)?),
                Said::Type => (b"# TYPE ", type_as_written(self.format, known.metric_type)?),
                Said::Unit => (b"# UNIT ", unit_as_written(self.format, name, &known.unit)?),
            };
            let behind = rest.strip_prefix(keyword)?.strip_prefix(name.as_bytes())?.strip_prefix(b" ")?;
            let behind = behind.strip_prefix(text.as_bytes())?.strip_prefix(b"\n")?;
            if rest.len() - behind.len() > self.max_line_bytes {
                return None;
            }
            rest = behind;
        }
        Some(self.input.len() - rest.len())
    }
}

/// A help text that needs no escapes.
fn help_as_written(help: &str) -> Option<&str> {
    memchr::memchr2(b'\\', b'\n', help.as_bytes()).is_none().then_some(help)
}

fn type_as_written(format: Format, metric_type: MetricType) -> Option<&'static str> {
    use MetricType::{Counter, Gauge, GaugeHistogram, Histogram, Info, StateSet, Summary, Unknown};
    match (format, metric_type) {
        (Format::Text, Unknown) => Some("untyped"),
        (Format::Text, GaugeHistogram | Info | StateSet) => None,
        (Format::OpenMetrics, GaugeHistogram | Info | StateSet | Unknown)
        | (_, Counter | Gauge | Histogram | Summary) => Some(metric_type.as_str()),
    }
}

/// The classic format has no units.
fn unit_as_written<'a>(format: Format, name: &str, unit: &'a str) -> Option<&'a str> {
    let is_part = || name.strip_suffix(unit).is_some_and(|before| before.ends_with('_'));
    (format == Format::OpenMetrics && (unit.is_empty() || is_part())).then_some(unit)
}
