//! Protocols of lines: what one line of Influx, of Graphite or of a text file says, borrowing the line. A
//! line that cannot be is refused, and those around it are taken.

pub(crate) mod graphite;
pub(crate) mod influx;

use crate::batch::Place;

/// Where `part` stands in `body`, of which it is a part.
pub(crate) fn place_of(body: &[u8], part: &[u8]) -> (u32, u32) {
    let from = part.as_ptr() as usize - body.as_ptr() as usize;
    (from as u32, part.len() as u32)
}

/// The part that stands at a place.
pub(crate) fn part_at(body: &[u8], (from, len): (u32, u32)) -> &[u8] {
    &body[from as usize..from as usize + len as usize]
}

/// A place of one piece.
pub(crate) const fn one(piece: (u32, u32)) -> Place {
    [piece, (0, 0)]
}

/// The lines of a body without their ends, each with its number, counted from 0; empty ones are left out.
pub(crate) fn lines(body: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = body.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.enumerate().filter(|(_, line)| !line.trim_ascii().is_empty())
}

/// A number as a float, when it is one.
pub(crate) fn float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
