//! The bytes of a simulated file: what programs see, what is durable, and the writes in between. Owns which
//! contents a power loss may leave; never knows names or directories.

use crate::rng::Rng;
use std::{collections::BTreeMap, fmt, ops::Range};

/// What a disk writes as a whole, in bytes.
pub(super) const SECTOR: usize = 512;

/// A change of the content that no sync has made durable yet.
#[derive(Clone, Debug)]
enum Write {
    Append { offset: usize, bytes: Vec<u8> },
    Truncate { len: usize },
}

impl Write {
    /// At how many places inside of it a power loss may cut it, besides before and after.
    fn inner_cuts(&self) -> usize {
        match self {
            Self::Append { bytes, .. } => bytes.len().saturating_sub(1),
            Self::Truncate { .. } => 0,
        }
    }
}

/// What a sector holds whose data never reached the disk although the file's length did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    Zeros,
    Garbage,
}

impl Fill {
    /// Over the bytes `range` of a file, of which `content` is the part from `start` on.
    fn over(self, content: &mut [u8], start: usize, range: Range<usize>) {
        for (byte, i) in content[range.start - start..range.end - start].iter_mut().zip(range) {
            *byte = match self {
                Self::Zeros => 0,
                Self::Garbage => garbage(i),
            };
        }
    }
}

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Zeros { "zeros" } else { "garbage" })
    }
}

/// How much of the pending writes a power loss leaves.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// This many writes arrived.
    whole: usize,
    /// This many bytes of the next one arrived.
    cut: usize,
    /// The file's length arrived as if all of the next one had, and the rest of it reads as this.
    rest: Option<Fill>,
    /// Truncations among those that did not arrive although a later write did.
    skipped: Vec<usize>,
    /// Sectors whose data did not arrive.
    torn: BTreeMap<usize, Fill>,
}

/// A file's content.
#[derive(Clone, Debug, Default)]
pub(super) struct FileData {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Write>,
}

impl FileData {
    /// A file all of whose bytes are durable.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { live: bytes.clone(), durable: bytes, pending: Vec::new() }
    }

    pub(super) fn live(&self) -> &[u8] {
        &self.live
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.pending.push(Write::Append { offset: self.live.len(), bytes: bytes.to_vec() });
            self.live.extend_from_slice(bytes);
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if len < self.live.len() {
            self.pending.push(Write::Truncate { len });
            self.live.truncate(len);
        }
    }

    pub(super) fn sync(&mut self) {
        // In place: a log that grows by many syncs must not be copied at each of them.
        let durable = std::mem::take(&mut self.durable);
        self.durable = self.apply(durable, 0, &self.kept()).0;
        self.pending.clear();
    }

    /// What a failed sync does: of the pending writes some arrive and some never will, and no later sync
    /// tries them again, while programs go on seeing them all.
    pub(super) fn fail_sync(&mut self, rng: &Rng) {
        self.durable = self.content(&self.random(rng));
        self.pending.clear();
    }

    /// Everything pending arrived.
    pub(super) fn kept(&self) -> Outcome {
        Outcome { whole: self.pending.len(), ..Outcome::default() }
    }

    /// The sectors that the writes of `outcome` touched.
    fn written_sectors(&self, outcome: &Outcome) -> Vec<usize> {
        let mut sectors: Vec<usize> = self
            .apply_to_tail(outcome)
            .1
            .into_iter()
            .flat_map(|r| r.start / SECTOR..r.end.div_ceil(SECTOR))
            .collect();
        sectors.sort_unstable();
        sectors.dedup();
        sectors
    }

    fn truncates_before(&self, whole: usize) -> Vec<usize> {
        (0..whole).filter(|&i| matches!(self.pending[i], Write::Truncate { .. })).collect()
    }

    /// All that a power loss may leave; `None` when they are more than `max`. Those that end inside of a
    /// write have no torn sectors, and zeros at most after the cut: `random` combines them.
    pub(super) fn outcomes(&self, max: u64) -> Option<Vec<Outcome>> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut out = Vec::new();
        for whole in 0..=self.pending.len() {
            let truncates = self.truncates_before(whole);
            if truncates.len() > 8 {
                return None;
            }
            for mask in 0..1_usize << truncates.len() {
                let skipped: Vec<usize> =
                    (0..truncates.len()).filter(|i| mask >> i & 1 == 1).map(|i| truncates[i]).collect();
                let plain = Outcome { whole, skipped, ..Outcome::default() };
                let cuts = self.pending.get(whole).map_or(0, Write::inner_cuts);
                let sectors = self.written_sectors(&plain);
                let tears = u32::try_from(sectors.len()).ok().and_then(|n| 3_usize.checked_pow(n))?;
                if out.len().checked_add(tears)?.checked_add(2 * cuts)? > max {
                    return None;
                }
                for tear in 0..tears {
                    out.push(Outcome { torn: tear_of(tear, &sectors), ..plain.clone() });
                }
                for cut in 1..=cuts {
                    out.push(Outcome { cut, ..plain.clone() });
                    out.push(Outcome { cut, rest: Some(Fill::Zeros), ..plain.clone() });
                }
            }
        }
        Some(out)
    }

    /// One of all that a power loss may leave, the telling kinds about equally likely.
    pub(super) fn random(&self, rng: &Rng) -> Outcome {
        let below = |n: usize| usize::try_from(rng.below(n as u64)).expect("invariant: below a usize");
        let mut out = self.kept();
        match rng.below(16) {
            0 => return Outcome::default(),
            1 => return out,
            _ => out.whole = below(self.pending.len() + 1),
        }
        let next = self.pending.get(out.whole);
        if let Some(Write::Append { offset, bytes }) = next
            && rng.below(2) == 0
        {
            out.cut = below(bytes.len());
            let end = offset + out.cut;
            if rng.below(2) == 0 && end - end % SECTOR > *offset {
                out.cut = end - end % SECTOR - offset;
            }
            out.rest = match rng.below(4) {
                0 => Some(Fill::Zeros),
                1 => Some(Fill::Garbage),
                _ => None,
            };
        }
        out.skipped = self.truncates_before(out.whole);
        out.skipped.retain(|_| rng.below(3) == 0);
        if rng.below(2) == 0 {
            let sectors = self.written_sectors(&out);
            // Few holes in much data and much lost with little kept are both worth a look.
            let odds = 2 + rng.below(6);
            let (kept, lost) = if rng.below(2) == 0 { (1, odds) } else { (odds, odds + 1) };
            for sector in sectors {
                if rng.below(lost) >= kept {
                    continue;
                }
                out.torn.insert(sector, if rng.below(2) == 0 { Fill::Zeros } else { Fill::Garbage });
            }
        }
        out
    }

    /// The content that `outcome` leaves.
    pub(super) fn content(&self, outcome: &Outcome) -> Vec<u8> {
        let mut content = self.durable[..self.untouched()].to_vec();
        content.extend(self.tail(outcome));
        content
    }

    /// How many bytes at the start are the same in every outcome.
    fn untouched(&self) -> usize {
        let touched = self.pending.iter().map(|write| match write {
            Write::Append { offset, .. } => *offset,
            Write::Truncate { len } => *len,
        });
        touched.fold(self.durable.len(), usize::min)
    }

    /// What `outcome` leaves behind the bytes that are the same in every outcome.
    pub(super) fn tail(&self, outcome: &Outcome) -> Vec<u8> {
        let start = self.untouched();
        let (mut tail, written) = self.apply_to_tail(outcome);
        for range in written {
            for (&sector, &fill) in &outcome.torn {
                let from = range.start.max(sector * SECTOR);
                let to = range.end.min((sector + 1) * SECTOR).max(from);
                fill.over(&mut tail, start, from..to);
            }
        }
        tail
    }

    fn apply_to_tail(&self, outcome: &Outcome) -> (Vec<u8>, Vec<Range<usize>>) {
        // A log is long and its pending end is short: there are many outcomes, each must be cheap.
        let start = self.untouched();
        self.apply(self.durable[start..].to_vec(), start, outcome)
    }

    /// `content`, which is the durable one from `start` on, with all that arrived, and which bytes of the
    /// file arrived.
    fn apply(&self, mut content: Vec<u8>, start: usize, outcome: &Outcome) -> (Vec<u8>, Vec<Range<usize>>) {
        let mut written: Vec<Range<usize>> = Vec::new();
        for (i, write) in self.pending.iter().enumerate().take(outcome.whole + 1) {
            match write {
                Write::Append { offset, bytes } => {
                    let n = if i < outcome.whole { bytes.len() } else { outcome.cut };
                    let rest = if i < outcome.whole { None } else { outcome.rest };
                    let end = if rest.is_some() { offset + bytes.len() } else { offset + n };
                    if end == *offset {
                        continue;
                    }
                    if content.len() < end - start {
                        content.resize(end - start, 0);
                    }
                    content[offset - start..offset - start + n].copy_from_slice(&bytes[..n]);
                    if let Some(fill) = rest {
                        fill.over(&mut content, start, offset + n..end);
                    }
                    written.push(*offset..end);
                }
                Write::Truncate { len } => {
                    if i < outcome.whole && !outcome.skipped.contains(&i) {
                        content.truncate(*len - start);
                        written.retain_mut(|r| {
                            r.end = r.end.min(*len);
                            r.start < r.end
                        });
                    }
                }
            }
        }
        (content, written)
    }

    /// Says `outcome` to the reader of a failed test.
    pub(super) fn describe(&self, outcome: &Outcome) -> String {
        Described(self, outcome).to_string()
    }
}

struct Described<'a>(&'a FileData, &'a Outcome);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(data, outcome) = self;
        let len = data.untouched() + data.tail(outcome).len();
        write!(f, "{} of {} pending writes arrived", outcome.whole, data.pending.len())?;
        if outcome.cut > 0 {
            write!(f, " and {} bytes of the next", outcome.cut)?;
        }
        if let Some(fill) = outcome.rest {
            write!(f, ", the rest of which holds {fill}")?;
        }
        if !outcome.skipped.is_empty() {
            write!(f, ", but {} truncations did not", outcome.skipped.len())?;
        }
        for (sector, fill) in &outcome.torn {
            write!(f, ", sector {sector} holds {fill}")?;
        }
        write!(f, " ({len} bytes, {} of them by the last sync)", data.durable.len())
    }
}

/// The `n`-th way in which each of `sectors` arrived, is zeros, or is garbage.
fn tear_of(mut n: usize, sectors: &[usize]) -> BTreeMap<usize, Fill> {
    let mut out = BTreeMap::new();
    for &sector in sectors {
        match n % 3 {
            1 => drop(out.insert(sector, Fill::Zeros)),
            2 => drop(out.insert(sector, Fill::Garbage)),
            _ => {}
        }
        n /= 3;
    }
    out
}

/// What stands at byte `i` of a garbage sector: the same in every run, and nothing that a format would write.
fn garbage(i: usize) -> u8 {
    let x = (i as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (x >> 56) as u8 ^ 0xA5
}
