//! What a queue says of itself. Counts nothing: `spool` does.

/// How much of what a reader had still to get it never will, by why. In the unit of records' weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Files went because the queue had reached its bytes.
    pub by_size: u64,
    /// They went because they were older than may be.
    pub by_age: u64,
    /// The disk took nothing, and memory had reached its bytes.
    pub by_memory: u64,
    /// They were damaged.
    pub by_damage: u64,
}

/// A reader's part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReaderStats {
    /// What the records that it has still to get count for.
    pub pending: u64,
    /// Their bytes.
    pub pending_bytes: u64,
    /// What it missed since the start.
    pub lost: Lost,
}

/// A queue at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of all files of records.
    pub bytes: u64,
    /// How many files these are.
    pub segments: usize,
    /// Bytes that wait in memory, as the disk does not take them.
    pub unwritten_bytes: u64,
    /// How often the disk refused a record or a position.
    pub refusals: u64,
    /// Each reader's, in the order in which they were named.
    pub readers: Vec<ReaderStats>,
}
