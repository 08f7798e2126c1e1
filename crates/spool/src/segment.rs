//! A segment: one file of records behind one another, named by the number of its first. Says what of it is
//! whole; writes nothing but its beginning.

use crate::record::{HEADER_BYTES, Header};
use skopos_base::{
    crc::crc32c,
    fs::{File, Fs, OpenMode, append_all},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The first bytes of a segment; the last of them is the version.
pub(crate) const MAGIC: [u8; 8] = *b"SKSPOOL\x01";
/// Where the first record begins.
pub(crate) const FIRST_RECORD: u64 = MAGIC.len() as u64;
/// A name has so many digits, so that names sort as numbers do.
const DIGITS: usize = 20;

/// What is known of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The number of the first record, which is the file's name.
    pub(crate) first: u64,
    /// The number behind that of the last record.
    pub(crate) next: u64,
    /// Where the last record ends.
    pub(crate) bytes: u64,
    /// What all of its records count for.
    pub(crate) weight: u64,
    /// The time of its newest record.
    pub(crate) newest_ms: i64,
}

/// What becomes of a file that is looked at.
pub(crate) enum Found {
    /// It has records.
    Records(Segment),
    /// It has none that is whole.
    Nothing,
    /// It is of another version, or no segment at all.
    Foreign,
}

pub(crate) fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:0DIGITS$}"))
}

/// The number that a file's name is, if it is a segment's.
pub(crate) fn number(name: &str) -> Option<u64> {
    let is_name = name.len() == DIGITS && name.bytes().all(|b| b.is_ascii_digit());
    name.parse().ok().filter(|_| is_name)
}

/// Makes the file of a segment, of which the name is durable then.
pub(crate) fn begin(fs: &dyn Fs, dir: &Path, first: u64) -> io::Result<Box<dyn File>> {
    let path = path(dir, first);
    let mut file = match fs.open(&path, OpenMode::CreateNew) {
        // An attempt that failed left it: no record that somebody was told of is in it.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            fs.remove_file(&path)?;
            fs.open(&path, OpenMode::CreateNew)?
        }
        other => other?,
    };
    let begun = append_all(file.as_mut(), &MAGIC).and_then(|()| file.sync()).and_then(|()| fs.sync_dir(dir));
    if let Err(e) = begun {
        // What stays is empty, and is removed by the next attempt or the next start.
        let _left = fs.remove_file(&path);
        return Err(e);
    }
    Ok(file)
}

/// Looks through a segment, header by header. Of the bodies only the last is read: each record was durable
/// before the next one was written.
pub(crate) fn look(file: &dyn File, first: u64) -> io::Result<Found> {
    let mut magic = [0; MAGIC.len()];
    let have = read_at(file, &mut magic, 0)?;
    if have < magic.len() || magic != MAGIC {
        // The first bytes are durable before a record follows them: alone, they may be what a crash left.
        let is_begun = file.len()? > FIRST_RECORD;
        return Ok(if is_begun { Found::Foreign } else { Found::Nothing });
    }
    let mut segment = Segment { first, next: first, bytes: FIRST_RECORD, weight: 0, newest_ms: i64::MIN };
    let mut last: Option<(Segment, Header)> = None;
    let len = file.len()?;
    while let Some(header) = header_at(file, segment.bytes)? {
        let before = segment;
        if header.number != segment.next || segment.bytes + header.whole_bytes() > len {
            break;
        }
        segment.next += 1;
        segment.bytes += header.whole_bytes();
        segment.weight += u64::from(header.weight);
        segment.newest_ms = segment.newest_ms.max(header.time_ms);
        last = Some((before, header));
    }
    if let Some((before, header)) = last
        && body_at(file, before.bytes, &header)?.is_none()
    {
        segment = before;
    }
    Ok(if segment.next == first { Found::Nothing } else { Found::Records(segment) })
}

/// The header at an offset; none where there is no whole one.
pub(crate) fn header_at(file: &dyn File, offset: u64) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER_BYTES];
    if read_at(file, &mut bytes, offset)? < bytes.len() {
        return Ok(None);
    }
    Ok(Header::decode(&bytes))
}

/// The body of the record at an offset; none where it is not what was written.
pub(crate) fn body_at(file: &dyn File, offset: u64, header: &Header) -> io::Result<Option<Vec<u8>>> {
    let mut body = vec![0; header.body_bytes as usize];
    let have = read_at(file, &mut body, offset + HEADER_BYTES as u64)?;
    Ok((have == body.len() && crc32c(&body) == header.body_crc).then_some(body))
}

/// Fills `buf` from an offset, as far as the file goes.
fn read_at(file: &dyn File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut have = 0;
    while have < buf.len() {
        match file.pread(&mut buf[have..], offset + have as u64)? {
            0 => break,
            n => have += n,
        }
    }
    Ok(have)
}
