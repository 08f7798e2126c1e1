//! `Chunked`: takes the bytes of a body out of HTTP/1.1's chunks (RFC 9112, section 7.1), in the parts in
//! which they come. Reads no head; fields behind the last chunk are passed over.

/// More digits than a length within any limit has.
const LENGTH_DIGITS: u32 = 12;
/// More bytes of extensions and trailing fields than any sender has.
const IDLE_BYTES: u32 = 64 << 10;

/// Where in the chunks a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In a chunk's length, of which so many digits were there.
    Length { digits: u32 },
    /// In what may follow the length, until the line ends.
    Extension,
    /// In a chunk.
    Data,
    /// In the line's end behind a chunk.
    DataEnd,
    /// Behind the last chunk: in a line that has something, or at its beginning.
    Trailer { empty: bool },
    /// Behind all.
    End,
}

/// What is not as chunks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chunks of the body are none: {0}")]
pub(crate) struct NoChunks(&'static str);

/// See above.
#[derive(Debug)]
pub(crate) struct Chunked {
    at: At,
    /// The length that is being read, or what is left of the chunk.
    left: u64,
    /// Bytes that were no data.
    idle: u32,
}

impl Chunked {
    pub(crate) fn new() -> Self {
        Self { at: At::Length { digits: 0 }, left: 0, idle: 0 }
    }

    /// Whether all chunks were there.
    pub(crate) fn is_complete(&self) -> bool {
        self.at == At::End
    }

    /// Takes the next data out of `rest` and what stands before it. Empty when `rest` has no more of it.
    pub(crate) fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Result<&'a [u8], NoChunks> {
        while let Some((byte, behind)) = rest.split_first() {
            if self.at == At::Data {
                let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                let (data, behind) = rest.split_at(len);
                *rest = behind;
                self.left -= len as u64;
                if self.left == 0 {
                    self.at = At::DataEnd;
                }
                return Ok(data);
            }
            if self.at == At::End {
                break;
            }
            *rest = behind;
            self.step(*byte)?;
        }
        Ok(&[])
    }

    /// Takes a byte that is no data.
    fn step(&mut self, byte: u8) -> Result<(), NoChunks> {
        self.at = match (self.at, byte) {
            (At::Length { digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == LENGTH_DIGITS {
                    return Err(NoChunks("a length is too long"));
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.left = self.left << 4 | u64::from(digit);
                At::Length { digits: digits + 1 }
            }
            (At::Length { digits: 0 }, _) => return Err(NoChunks("a length is missing")),
            (At::Length { .. } | At::Extension, b'\n') => {
                if self.left == 0 {
                    At::Trailer { empty: true }
                } else {
                    At::Data
                }
            }
            (At::Length { .. }, b'\r' | b';' | b' ' | b'\t') | (At::Extension, _) => {
                self.pass_over()?;
                At::Extension
            }
            (At::Length { .. }, _) => return Err(NoChunks("a length is no number")),
            (At::DataEnd, b'\r') => At::DataEnd,
            (At::DataEnd, b'\n') => At::Length { digits: 0 },
            (At::DataEnd, _) => return Err(NoChunks("a chunk is longer than it says")),
            (At::Trailer { empty: true }, b'\n') => At::End,
            (At::Trailer { .. }, b'\n') => At::Trailer { empty: true },
            (At::Trailer { empty }, _) => {
                self.pass_over()?;
                At::Trailer { empty: empty && byte == b'\r' }
            }
            (At::Data | At::End, _) => unreachable!("these take no byte by itself"),
        };
        Ok(())
    }

    fn pass_over(&mut self) -> Result<(), NoChunks> {
        self.idle += 1;
        if self.idle > IDLE_BYTES { Err(NoChunks("there is too much around them")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the parts come to, and what was left behind the end.
    fn read(bytes: &[u8], part: usize) -> Result<(Vec<u8>, bool, usize), NoChunks> {
        let (mut chunked, mut out, mut behind) = (Chunked::new(), Vec::new(), 0);
        for mut part in bytes.chunks(part) {
            loop {
                let data = chunked.next(&mut part)?;
                if data.is_empty() {
                    break;
                }
                out.extend_from_slice(data);
            }
            behind += part.len();
        }
        Ok((out, chunked.is_complete(), behind))
    }

    #[test]
    fn chunks_come_out_however_they_are_cut() {
        for (text, data, behind) in [
            ("0\r\n\r\n", "", 0),
            ("4\r\nmetr\r\n3\r\nic \r\n2\r\n1\n\r\n0\r\n\r\n", "metric 1\n", 0),
            ("A;name=\"x\"\r\n0123456789\r\n0;last\r\nExpires: never\r\nX: y\r\n\r\n", "0123456789", 0),
            ("a\n0123456789\n0\n\n", "0123456789", 0),
            ("0002 \r\nab\r\n0\r\n\r\nmore", "ab", 4),
        ] {
            for part in 1..=text.len() {
                let got = read(text.as_bytes(), part).unwrap();
                assert_eq!(got, (data.as_bytes().to_vec(), true, behind), "{text:?} in parts of {part}");
            }
            let end = text.len() - behind;
            for len in 0..end {
                let (_, complete, _) = read(&text.as_bytes()[..len], 3).unwrap();
                assert!(!complete, "{len} bytes of {text:?}");
            }
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let long = format!("1;{}\r\nx", "x".repeat(IDLE_BYTES as usize));
        for text in ["\r\n", "x\r\n", "-1\r\n", "1x\r\n", "1234567890123\r\n", "2\r\nabc\r\n", &long] {
            for part in [1, 2, text.len()] {
                assert!(read(text.as_bytes(), part).is_err(), "{text:?} in parts of {part}");
            }
        }
    }

    #[test]
    fn bytes_of_any_kind_never_panic() {
        let text = b"4\r\nmetr\r\n3;a\r\nic \r\n0\r\nT: x\r\n\r\n";
        for bit in 0..text.len() * 8 {
            let mut odd = *text;
            odd[bit / 8] ^= 1 << (bit % 8);
            for part in [1, 5, odd.len()] {
                let _any = read(&odd, part);
            }
        }
    }
}
