//! OpenMetrics text with timestamps into a `Backfill`, piece by piece: the file may be of any length. Owns no
//! grammar.

use super::backfill::{Backfill, BackfillError, BackfillSeries};
use skopos_base::fs::{Fs, OpenMode};
use skopos_exposition::{DuplicateLabel, Entry, Format, ParseError, Parser};
use skopos_model::LabelsBuilder;
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

/// So many bytes are read and parsed at a time.
const PIECE_BYTES: usize = 4 << 20;
/// What ends every piece for the parser but the last, which has its own end.
const END: &[u8] = b"# EOF\n";

/// Why a text does not become samples.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The system does not let us read.
    #[error("reading {} failed: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is no OpenMetrics.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: ParseError,
    },
    /// A sample says no time.
    #[error(
        "{}: line {line}: sample of {series} has no timestamp; write it in seconds behind the value",
        path.display()
    )]
    NoTimestamp {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The series as it is written.
        series: String,
    },
    /// A label stands twice.
    #[error("{}: line {line}: {source}", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Which.
        source: DuplicateLabel,
    },
    /// The samples cannot be kept.
    #[error(transparent)]
    Backfill(#[from] BackfillError),
}

/// Reads the file at `path` into `backfill`; returns how many samples it has. `labels` are set on every
/// series.
///
/// # Errors
/// At the first line that is wrong.
pub fn import_open_metrics(
    fs: &dyn Fs,
    path: &Path,
    labels: &[(String, String)],
    backfill: &mut Backfill<'_>,
) -> Result<u64, ImportError> {
    let failed = |source| ImportError::Io { path: path.to_owned(), source };
    let file = fs.open(path, OpenMode::Read).map_err(failed)?;
    let mut import = Import { path, labels, backfill, known: HashMap::new(), lines: 0, samples: 0 };
    let (mut piece, mut offset) = (Vec::new(), 0);
    loop {
        let there = piece.len();
        piece.resize(there + PIECE_BYTES, 0);
        let n = file.pread(&mut piece[there..], offset).map_err(failed)?;
        piece.truncate(there + n);
        offset += n as u64;
        if n == 0 {
            import.piece(&piece)?;
            return Ok(import.samples);
        }
        // The last line waits: it may be unfinished, or the end.
        let whole = piece[..piece.len() - 1].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        if whole > 0 {
            let rest = piece.split_off(whole);
            piece.extend_from_slice(END);
            import.piece(&piece)?;
            piece = rest;
        }
    }
}

struct Import<'a, 'b> {
    path: &'a Path,
    labels: &'a [(String, String)],
    backfill: &'a mut Backfill<'b>,
    /// Series as they are written.
    known: HashMap<Box<[u8]>, BackfillSeries>,
    /// Lines of the pieces before.
    lines: usize,
    samples: u64,
}

impl Import<'_, '_> {
    fn piece(&mut self, bytes: &[u8]) -> Result<(), ImportError> {
        let mut builder = LabelsBuilder::default();
        // Every entry of OpenMetrics is one line.
        for (nth, entry) in Parser::new(Format::OpenMetrics, bytes).enumerate() {
            let line = self.lines + nth + 1;
            let entry = entry.map_err(|mut source| {
                source.line += self.lines;
                ImportError::Parse { path: self.path.to_owned(), source }
            })?;
            let Entry::Sample(sample) = entry else { continue };
            let Some(at) = sample.timestamp else {
                let series = sample.series.as_str().to_owned();
                return Err(ImportError::NoTimestamp { path: self.path.to_owned(), line, series });
            };
            let series = match self.known.get(sample.series.as_bytes()) {
                Some(series) => *series,
                None => {
                    builder.clear();
                    sample.series.labels_into(&mut builder).map_err(|source| ImportError::Duplicate {
                        path: self.path.to_owned(),
                        line,
                        source,
                    })?;
                    for (name, value) in self.labels {
                        builder.set(name, value);
                    }
                    let series = self.backfill.series(&builder.build());
                    self.known.insert(sample.series.as_bytes().into(), series);
                    series
                }
            };
            self.backfill.add(series, at, sample.value)?;
            self.samples += 1;
        }
        self.lines += bytes.iter().filter(|b| **b == b'\n').count();
        self.lines -= usize::from(bytes.ends_with(END));
        Ok(())
    }
}
