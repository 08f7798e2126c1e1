//! Framing: a record is cut into fragments, none of which crosses a page. Knows no file.

/// A page. Damage never costs more than one, because every page begins with a fragment.
pub(crate) const PAGE_SIZE: usize = 32 << 10;
/// Before each fragment: its type, its length, the checksum of its bytes.
pub(crate) const HEADER_SIZE: usize = 7;

/// The low bits of the type.
const KIND_MASK: u8 = 0b0000_0111;
const SNAPPY_FLAG: u8 = 0b0000_1000;
const ZSTD_FLAG: u8 = 0b0001_0000;

/// Which part of its record a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FragmentKind {
    Full = 1,
    First = 2,
    Middle = 3,
    Last = 4,
}

/// How a record's bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Snappy,
    Zstd,
}

impl Compression {
    const fn flag(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Snappy => SNAPPY_FLAG,
            Self::Zstd => ZSTD_FLAG,
        }
    }
}

/// What a fragment's first byte says; `None` for a byte that no writer writes.
pub(crate) fn parse_type(byte: u8) -> Option<(FragmentKind, Compression)> {
    let kind = match byte & KIND_MASK {
        1 => FragmentKind::Full,
        2 => FragmentKind::First,
        3 => FragmentKind::Middle,
        4 => FragmentKind::Last,
        _ => return None,
    };
    let compression = match byte & !KIND_MASK {
        0 => Compression::None,
        SNAPPY_FLAG => Compression::Snappy,
        ZSTD_FLAG => Compression::Zstd,
        _ => return None,
    };
    Some((kind, compression))
}

/// A record ready to be framed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framable<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) compression: Compression,
}

/// Appends a record to `out`, whose first byte will stand at `offset` of a segment.
pub(crate) fn frame(out: &mut Vec<u8>, offset: u64, record: Framable<'_>) {
    let mut rest = record.bytes;
    let mut begun = false;
    loop {
        let room = page_room(offset + out.len() as u64);
        if room < HEADER_SIZE {
            out.resize(out.len() + room, 0);
            continue;
        }
        let (part, after) = rest.split_at(rest.len().min(room - HEADER_SIZE));
        let kind = match (begun, after.is_empty()) {
            (false, true) => FragmentKind::Full,
            (false, false) => FragmentKind::First,
            (true, false) => FragmentKind::Middle,
            (true, true) => FragmentKind::Last,
        };
        out.push(kind as u8 | record.compression.flag());
        out.extend_from_slice(&(part.len() as u16).to_be_bytes());
        out.extend_from_slice(&crc32c::crc32c(part).to_be_bytes());
        out.extend_from_slice(part);
        if after.is_empty() {
            break;
        }
        rest = after;
        begun = true;
    }
    // Nothing fits behind the last header of a page: it is filled up at once, as Prometheus does.
    let room = page_room(offset + out.len() as u64);
    if room < HEADER_SIZE {
        out.resize(out.len() + room, 0);
    }
}

/// Bytes from `offset` to the end of its page.
pub(crate) const fn page_room(offset: u64) -> usize {
    PAGE_SIZE - (offset % PAGE_SIZE as u64) as usize
}

/// Whether a record of `len` bytes can begin at `offset` of a segment of `pages` pages and end in it.
pub(crate) const fn fits(pages: u64, offset: u64, len: usize) -> bool {
    let mut done = offset / PAGE_SIZE as u64;
    let mut room = page_room(offset);
    if room < HEADER_SIZE {
        done += 1;
        room = PAGE_SIZE;
    }
    if done >= pages {
        return false;
    }
    let later = (pages - done - 1) * (PAGE_SIZE - HEADER_SIZE) as u64;
    len as u64 <= (room - HEADER_SIZE) as u64 + later
}

/// The longest record that an empty segment of `pages` pages takes.
pub(crate) const fn segment_capacity(pages: u64) -> u64 {
    pages * (PAGE_SIZE - HEADER_SIZE) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(offset: u64, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        frame(&mut out, offset, Framable { bytes: &vec![7; len], compression: Compression::None });
        out
    }

    #[test]
    fn a_record_that_fits_is_one_fragment() {
        let out = framed(0, 3);
        assert_eq!(out[..3], [1, 0, 3]);
        assert_eq!(out[3..7], crc32c::crc32c(&[7; 3]).to_be_bytes());
        assert_eq!(out[7..], [7; 3]);
    }

    #[test]
    fn pages_are_filled_to_their_end() {
        for (offset, len, size) in [
            // Exactly one page.
            (0, PAGE_SIZE - 7, PAGE_SIZE),
            // Six bytes are left, no header fits there.
            (0, PAGE_SIZE - 13, PAGE_SIZE),
            // Seven are left: the next record's first fragment has no bytes.
            (0, PAGE_SIZE - 14, PAGE_SIZE - 7),
            (PAGE_SIZE as u64 - 7, 5, 7 + 7 + 5),
            (PAGE_SIZE as u64 - 6, 5, 6 + 7 + 5),
            (0, 2 * PAGE_SIZE, 2 * PAGE_SIZE + 3 * 7),
        ] {
            assert_eq!(framed(offset, len).len(), size, "at {offset}, {len} bytes");
        }
    }

    #[test]
    fn fits_says_where_framing_ends() {
        let pages = 3;
        for offset in [0, 1, 100, 32_760, 32_761, 32_762, 65_530, 98_000, 98_297, 98_298, 98_304] {
            for len in [0, 1, 10, 300, 32_761, 32_762, 65_522, 65_523, 98_283, 98_284] {
                let end = offset + framed(offset, len).len() as u64;
                assert_eq!(fits(pages, offset, len), end <= pages * PAGE_SIZE as u64, "{offset} {len}");
            }
        }
        assert!(fits(pages, 0, segment_capacity(pages) as usize));
        assert!(!fits(pages, 0, segment_capacity(pages) as usize + 1));
    }
}
