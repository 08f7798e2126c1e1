//! `Spool`: records in, records out, and the bounds of both. Never sends anything, and never waits for a
//! reader: where a bound is reached, the oldest records go, and `Lost` counts them.

use crate::{
    open::{self, OpenError},
    position::{Position, Progress},
    record::{Header, Record},
    segment::{self, FIRST_RECORD, Segment},
    stats::{Lost, ReaderStats, Stats},
};
use skopos_base::{
    Env,
    clock::Clock,
    fs::{File, FileLock, OpenMode, SharedFs, append_all},
    sync::Mutex,
};
use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The bounds of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// So many bytes all files have at most. The oldest goes first.
    pub max_bytes: u64,
    /// A file of records begins anew at this length.
    pub segment_bytes: u64,
    /// So many bytes wait in memory while the disk takes nothing. The oldest go first.
    pub max_unwritten_bytes: u64,
    /// Files stay at least so long behind their newest record.
    pub min_age: Duration,
    /// Files go so long behind their newest record, whoever still wants them.
    pub max_age: Duration,
}

impl Options {
    /// The usual bounds of a queue of at most so many bytes.
    pub fn of_bytes(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            segment_bytes: (max_bytes / 8).clamp(64 << 10, 16 << 20),
            max_unwritten_bytes: 16 << 20,
            min_age: Duration::ZERO,
            max_age: Duration::MAX,
        }
    }
}

/// A reader, by its place among the names that the queue was opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderId(pub usize);

/// What became of a record.
#[derive(Debug)]
pub enum Pushed {
    /// It survives a loss of power.
    Durable,
    /// It waits in memory: the disk said this.
    Unwritten(io::Error),
}

/// See above.
#[derive(Debug)]
pub struct Spool {
    fs: SharedFs,
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    options: Options,
    state: Mutex<State>,
    /// Beside the state, so that whoever asks never waits for the disk.
    stats: Mutex<Stats>,
    _lock: Box<dyn FileLock>,
}

#[derive(Debug)]
struct State {
    segments: VecDeque<Segment>,
    /// The last segment, while it takes records.
    writer: Option<Box<dyn File>>,
    /// What the disk has not taken yet, by growing numbers, all larger than those of segments.
    unwritten: VecDeque<Record>,
    next: u64,
    readers: Vec<Reader>,
    refusals: u64,
}

#[derive(Debug)]
struct Reader {
    position: Position,
    /// The number that it wants.
    next: u64,
    /// Where that stands, if that is known.
    cursor: Option<Cursor>,
    lost: Lost,
}

/// A place in a segment.
#[derive(Debug)]
struct Cursor {
    first: u64,
    /// The number of the record at `offset`.
    number: u64,
    offset: u64,
    /// What the records before it count for.
    weight: u64,
    file: Box<dyn File>,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    File,
    /// In memory, or nowhere yet.
    NoFile,
}

/// Why records go.
#[derive(Clone, Copy, Debug)]
enum Why {
    Size,
    Age,
    Damage,
}

impl Spool {
    /// Opens the queue in a directory, which is made where there is none, for readers of these names. Places
    /// of other readers go; a reader that is new begins with the oldest record.
    ///
    /// # Errors
    /// When the directory is in use or cannot be read.
    pub fn open(env: &Env, dir: &Path, options: Options, readers: &[String]) -> Result<Self, OpenError> {
        let opened = open::open(&env.fs, dir, readers)?;
        let reader = |(position, next)| Reader { position, next, cursor: None, lost: Lost::default() };
        let state = State {
            segments: opened.segments,
            writer: None,
            unwritten: VecDeque::new(),
            next: opened.next,
            readers: opened.readers.into_iter().map(reader).collect(),
            refusals: 0,
        };
        let spool = Self {
            fs: SharedFs::clone(&env.fs),
            clock: Arc::clone(&env.clock),
            dir: dir.to_owned(),
            options,
            state: Mutex::new(state),
            stats: Mutex::new(Stats::default()),
            _lock: opened.lock,
        };
        {
            let mut state = spool.state.lock();
            // Where readers are within a file says what they have still to get.
            for at in 0..state.readers.len() {
                let _later = spool.locate(&mut state, at);
            }
            spool.tell(&state);
        }
        Ok(spool)
    }

    /// Adds a record.
    pub fn push(&self, time_ms: i64, weight: u32, body: Vec<u8>) -> Pushed {
        let state = &mut *self.state.lock();
        let number = state.next;
        state.next += 1;
        state.unwritten.push_back(Record { number, time_ms, weight, body });
        self.expire(state);
        let written = self.write(state);
        self.bound_memory(state);
        self.collect(state);
        self.tell(state);
        match written {
            Ok(()) => Pushed::Durable,
            Err(e) => Pushed::Unwritten(e),
        }
    }

    /// The next record of a reader; none when it has all. It stays the next one until `advance`.
    ///
    /// # Errors
    /// When the disk cannot be read; later it may be.
    pub fn peek(&self, reader: ReaderId) -> io::Result<Option<Record>> {
        let state = &mut *self.state.lock();
        let found = self.next_of(state, reader.0);
        self.tell(state);
        found
    }

    /// Takes the records up to `number` as those that a reader is done with.
    ///
    /// # Errors
    /// When the disk did not take the reader's place, which holds nevertheless, until a restart.
    pub fn advance(&self, reader: ReaderId, number: u64) -> io::Result<()> {
        let state = &mut *self.state.lock();
        let progress = if number + 1 >= state.next { Progress::CaughtUp } else { Progress::Behind };
        let it = &mut state.readers[reader.0];
        if number < it.next {
            // A bound took the record while the reader had it.
            return Ok(());
        }
        it.next = number + 1;
        let saved = it.position.save(it.next, progress);
        state.refusals += u64::from(saved.is_err());
        // Reading on from where it stands costs nothing, and says what is still to come.
        let _later = self.locate(state, reader.0);
        self.collect(state);
        let _still_refused = self.write(state);
        self.tell(state);
        saved
    }

    /// Tries again to write what waits in memory.
    ///
    /// # Errors
    /// When the disk still does not take it.
    pub fn retry(&self) -> io::Result<()> {
        let state = &mut *self.state.lock();
        let written = self.write(state);
        self.tell(state);
        written
    }

    /// The record that came last, if it is still there, whoever has had it.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn newest(&self) -> io::Result<Option<Record>> {
        let state = &*self.state.lock();
        if let Some(record) = state.unwritten.back() {
            return Ok(Some(record.clone()));
        }
        let Some(last) = state.segments.back() else { return Ok(None) };
        let file = self.fs.open(&segment::path(&self.dir, last.first), OpenMode::Read)?;
        let mut offset = FIRST_RECORD;
        while let Some(header) = segment::header_at(&*file, offset)? {
            if header.number + 1 == last.next {
                let Header { number, time_ms, weight, .. } = header;
                let body = segment::body_at(&*file, offset, &header)?;
                return Ok(body.map(|body| Record { number, time_ms, weight, body }));
            }
            offset += header.whole_bytes();
        }
        Ok(None)
    }

    /// The queue as it is now.
    pub fn stats(&self) -> Stats {
        self.stats.lock().clone()
    }

    /// Writes what waits in memory, as far as the disk takes it.
    fn write(&self, state: &mut State) -> io::Result<()> {
        while let Some(record) = state.unwritten.front() {
            let header = Header::of(record.number, record.time_ms, record.weight, &record.body);
            if let Err(e) = self.write_one(state, &header) {
                state.refusals += 1;
                return Err(e);
            }
            state.unwritten.pop_front();
        }
        Ok(())
    }

    /// Writes the first of the records that wait, whose header this is.
    fn write_one(&self, state: &mut State, header: &Header) -> io::Result<()> {
        let whole = header.whole_bytes();
        while state.bytes() + whole + FIRST_RECORD > self.options.max_bytes && !state.segments.is_empty() {
            self.drop_oldest(state, Why::Size);
        }
        let fits = state.segments.back().is_some_and(|last| {
            last.next == header.number && last.bytes + whole <= self.options.segment_bytes
        });
        if !fits || state.writer.is_none() {
            self.begin(state, header.number)?;
        }
        let file = state.writer.as_mut().expect("invariant: a segment was begun");
        let last = state.segments.back_mut().expect("invariant: a segment was begun");
        let record = state.unwritten.front().expect("invariant: the caller saw it");
        let mut bytes = Vec::with_capacity(whole as usize);
        header.encode(&mut bytes);
        bytes.extend_from_slice(&record.body);
        if let Err(e) = append_all(file.as_mut(), &bytes) {
            // A part of it may be there; where that cannot be cut off, nothing more is written behind it.
            if file.truncate(last.bytes).is_err() {
                state.abandon(self);
            }
            return Err(e);
        }
        if let Err(e) = file.sync() {
            // Nobody knows what of it is on the disk: it is written again, to another file.
            state.abandon(self);
            return Err(e);
        }
        last.next += 1;
        last.bytes += whole;
        last.weight += u64::from(header.weight);
        last.newest_ms = last.newest_ms.max(header.time_ms);
        Ok(())
    }

    fn begin(&self, state: &mut State, first: u64) -> io::Result<()> {
        state.abandon(self);
        let file = segment::begin(&*self.fs, &self.dir, first)?;
        state.segments.push_back(Segment {
            first,
            next: first,
            bytes: FIRST_RECORD,
            weight: 0,
            newest_ms: i64::MIN,
        });
        state.writer = Some(file);
        Ok(())
    }

    /// Drops what memory cannot hold.
    fn bound_memory(&self, state: &mut State) {
        while state.unwritten_bytes() > self.options.max_unwritten_bytes {
            let Some(record) = state.unwritten.pop_front() else { return };
            // A reader that is still before it finds a gap there.
            for reader in state.readers.iter_mut().filter(|r| r.next <= record.number) {
                reader.lost.by_memory += u64::from(record.weight);
            }
        }
    }

    /// Drops what is older than may be.
    fn expire(&self, state: &mut State) {
        let now_ms = self.clock.wall_ms();
        let max_ms = i64::try_from(self.options.max_age.as_millis()).unwrap_or(i64::MAX);
        while let Some(oldest) = state.segments.front()
            && now_ms.saturating_sub(oldest.newest_ms) > max_ms
            && oldest.next > oldest.first
        {
            self.drop_oldest(state, Why::Age);
        }
    }

    /// Removes what all readers are past, but the file that is written.
    fn collect(&self, state: &mut State) {
        while let Some(record) = state.unwritten.front()
            && state.readers.iter().all(|r| r.next > record.number)
        {
            state.unwritten.pop_front();
        }
        let now_ms = self.clock.wall_ms();
        let min_ms = i64::try_from(self.options.min_age.as_millis()).unwrap_or(i64::MAX);
        while state.segments.len() > 1
            && let Some(oldest) = state.segments.front()
            && state.readers.iter().all(|r| r.next >= oldest.next)
            && now_ms.saturating_sub(oldest.newest_ms) >= min_ms
        {
            let _left = self.fs.remove_file(&segment::path(&self.dir, oldest.first));
            state.segments.pop_front();
        }
    }

    fn drop_oldest(&self, state: &mut State, why: Why) {
        let Some(oldest) = state.segments.pop_front() else { return };
        if state.segments.is_empty() {
            state.writer = None;
        }
        let _left = self.fs.remove_file(&segment::path(&self.dir, oldest.first));
        for reader in state.readers.iter_mut().filter(|r| r.next < oldest.next) {
            let left = oldest.weight - reader.read_of(&oldest);
            reader.miss(oldest.next, left, why);
        }
    }

    fn next_of(&self, state: &mut State, at: usize) -> io::Result<Option<Record>> {
        loop {
            let place = self.locate(state, at)?;
            let reader = &state.readers[at];
            let Some(cursor) = reader.cursor.as_ref().filter(|_| place == Place::File) else {
                return Ok(state.unwritten.iter().find(|r| r.number >= reader.next).cloned());
            };
            let header = segment::header_at(&*cursor.file, cursor.offset)?;
            if let Some(header) = header.filter(|h| h.number == reader.next)
                && let Some(body) = segment::body_at(&*cursor.file, cursor.offset, &header)?
            {
                let Header { number, time_ms, weight, .. } = header;
                return Ok(Some(Record { number, time_ms, weight, body }));
            }
            self.pass_damage(state, at);
        }
    }

    /// Goes on with the next file, as no record behind damage can be found.
    fn pass_damage(&self, state: &mut State, at: usize) {
        let reader = &mut state.readers[at];
        let Some(damaged) = state.segments.iter().find(|s| s.first <= reader.next && reader.next < s.next)
        else {
            reader.cursor = None;
            return;
        };
        let left = damaged.weight - reader.read_of(damaged);
        let path = segment::path(&self.dir, damaged.first);
        tracing::error!(
            path = %path.display(),
            offset = reader.cursor.as_ref().map(|cursor| cursor.offset),
            record = reader.next,
            lost = left,
            "a record of the queue is damaged: it and those behind it in its file are passed over",
        );
        reader.miss(damaged.next, left, Why::Damage);
    }

    /// Finds where the record that a reader wants stands.
    fn locate(&self, state: &mut State, at: usize) -> io::Result<Place> {
        let reader = &mut state.readers[at];
        let holds = |s: &&Segment| reader.next < s.next;
        // A reader that has all stays at the end of its file, where the next record will come.
        let is_at = |s: &&Segment| reader.cursor.as_ref().is_some_and(|c| c.first == s.first);
        let (segment, place) = match state.segments.iter().find(holds) {
            Some(segment) => (*segment, Place::File),
            None => match state.segments.back().filter(is_at) {
                Some(segment) => (*segment, Place::NoFile),
                None => {
                    reader.cursor = None;
                    return Ok(Place::NoFile);
                }
            },
        };
        // A gap: what stood there was counted when it went.
        reader.next = reader.next.max(segment.first);
        let mut cursor = match reader.cursor.take() {
            Some(cursor) if cursor.first == segment.first && cursor.number <= reader.next => cursor,
            _ => Cursor {
                first: segment.first,
                number: segment.first,
                offset: FIRST_RECORD,
                weight: 0,
                file: self.fs.open(&segment::path(&self.dir, segment.first), OpenMode::Read)?,
            },
        };
        while cursor.number < reader.next.min(segment.next) {
            // What is damaged is found when it is read: the cursor stays where it is.
            let header = segment::header_at(&*cursor.file, cursor.offset)?;
            let Some(header) = header.filter(|h| h.number == cursor.number) else { break };
            cursor.number += 1;
            cursor.offset += header.whole_bytes();
            cursor.weight += u64::from(header.weight);
        }
        reader.cursor = Some(cursor);
        Ok(place)
    }

    /// Publishes the statistics.
    fn tell(&self, state: &State) {
        let of = |reader: &Reader| {
            let unwritten = state.unwritten.iter().filter(|r| r.number >= reader.next);
            let (weight, bytes) =
                unwritten.fold((0, 0), |(w, b), r| (w + u64::from(r.weight), b + r.body.len() as u64));
            let mut stats = ReaderStats { pending: weight, pending_bytes: bytes, lost: reader.lost };
            for segment in state.segments.iter().filter(|s| s.next > reader.next) {
                stats.pending += segment.weight - reader.read_of(segment);
                stats.pending_bytes += segment.bytes - reader.offset_in(segment);
            }
            stats
        };
        *self.stats.lock() = Stats {
            bytes: state.bytes(),
            segments: state.segments.len(),
            unwritten_bytes: state.unwritten_bytes(),
            refusals: state.refusals,
            readers: state.readers.iter().map(of).collect(),
        };
    }
}

impl State {
    fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.bytes).sum()
    }

    fn unwritten_bytes(&self) -> u64 {
        self.unwritten.iter().map(|r| r.body.len() as u64).sum()
    }

    /// Ends the file that is written; where it has no record, it goes.
    fn abandon(&mut self, spool: &Spool) {
        self.writer = None;
        if let Some(last) = self.segments.back().filter(|last| last.next == last.first) {
            let _left = spool.fs.remove_file(&segment::path(&spool.dir, last.first));
            self.segments.pop_back();
        }
    }
}

impl Reader {
    /// What of a segment it has had, in weight.
    fn read_of(&self, segment: &Segment) -> u64 {
        self.cursor.as_ref().filter(|c| c.first == segment.first).map_or(0, |c| c.weight)
    }

    fn offset_in(&self, segment: &Segment) -> u64 {
        self.cursor.as_ref().filter(|c| c.first == segment.first).map_or(FIRST_RECORD, |c| c.offset)
    }

    fn miss(&mut self, next: u64, weight: u64, why: Why) {
        self.next = next;
        self.cursor = None;
        let count = match why {
            Why::Size => &mut self.lost.by_size,
            Why::Age => &mut self.lost.by_age,
            Why::Damage => &mut self.lost.by_damage,
        };
        *count += weight;
    }
}
