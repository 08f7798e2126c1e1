//! `Round`: requests that wait together, as a record of the queue: docs/formats/spool.md. Those of one lane
//! are sent in their order, those of several side by side. A round says up to which place of a log it has
//! everything, so that a queue that is filled from one knows where to go on.

use crate::message::{Counts, Message, Request};
use bytes::Bytes;
use skopos_base::varint::{put_uvarint, uvarint};

/// The first byte of a round. A request of remote write never begins so: it would be an empty message.
const ROUND: u8 = 0;
const VERSION: u8 = 1;
/// The fewest bytes of a part.
const LEAST_PART_BYTES: usize = 1 + 1 + 3 + 8 + 1;

/// A place of a log: segment and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The segment.
    pub segment: u32,
    /// The bytes of it that are behind.
    pub offset: u64,
}

/// A request of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which lane it goes.
    pub lane: u32,
    /// Which message it is.
    pub message: Message,
    /// What it holds.
    pub counts: Counts,
    /// The newest time in it, in milliseconds since the Unix epoch.
    pub newest_ms: i64,
    /// The message, compressed by snappy.
    pub body: Bytes,
}

/// See above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// The place up to which everything is in this round or in one before it.
    pub place: Option<Place>,
    /// Those of one lane in their order.
    pub parts: Vec<Part>,
}

/// Why bytes are no round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record is none that this version reads: {0}")]
pub struct RoundError(&'static str);

const CUT: RoundError = RoundError("it is cut off");

/// The body of a record with these requests, each with its lane.
pub fn encode(place: Option<Place>, requests: &[(u32, Request)]) -> Vec<u8> {
    let mut out = vec![ROUND, VERSION];
    match place {
        None => out.push(0),
        Some(Place { segment, offset }) => {
            out.push(1);
            put_uvarint(&mut out, segment.into());
            put_uvarint(&mut out, offset);
        }
    }
    put_uvarint(&mut out, requests.len() as u64);
    for (lane, Request { message, counts, newest_ms, body }) in requests {
        put_uvarint(&mut out, u64::from(*lane));
        out.push(message.number());
        for count in [counts.samples, counts.histograms, counts.exemplars] {
            put_uvarint(&mut out, count);
        }
        out.extend_from_slice(&newest_ms.to_be_bytes());
        put_uvarint(&mut out, body.len() as u64);
        out.extend_from_slice(body);
    }
    out
}

/// A record's body with its weight and time. One that begins as no round is a request of remote write 1.0, as
/// earlier versions wrote them.
///
/// # Errors
/// When it is neither.
pub fn decode(body: Vec<u8>, weight: u32, time_ms: i64) -> Result<Round, RoundError> {
    let body = Bytes::from(body);
    if body.first() != Some(&ROUND) {
        let counts = Counts { samples: weight.into(), ..Counts::default() };
        let part = Part { lane: 0, message: Message::One, counts, newest_ms: time_ms, body };
        return Ok(Round { place: None, parts: vec![part] });
    }
    let mut rest = &body[1..];
    if take::<1>(&mut rest)? != [VERSION] {
        return Err(RoundError("it is of another version"));
    }
    let place = match take(&mut rest)? {
        [0] => None,
        [1] => Some(Place { segment: number(&mut rest)?, offset: long(&mut rest)? }),
        _ => return Err(RoundError("its place is none")),
    };
    let many = long(&mut rest)?;
    if many > (rest.len() / LEAST_PART_BYTES) as u64 {
        return Err(CUT);
    }
    let mut parts = Vec::with_capacity(many as usize);
    for _ in 0..many {
        let lane = number(&mut rest)?;
        let [message] = take(&mut rest)?;
        let message = Message::of_number(message).ok_or(RoundError("it has an unknown message"))?;
        let (samples, histograms, exemplars) = (long(&mut rest)?, long(&mut rest)?, long(&mut rest)?);
        let newest_ms = i64::from_be_bytes(take(&mut rest)?);
        let len = usize::try_from(long(&mut rest)?).map_err(|_| CUT)?;
        let (of_part, behind) = rest.split_at_checked(len).ok_or(CUT)?;
        rest = behind;
        let counts = Counts { samples, histograms, exemplars };
        parts.push(Part { lane, message, counts, newest_ms, body: body.slice_ref(of_part) });
    }
    if rest.is_empty() { Ok(Round { place, parts }) } else { Err(RoundError("bytes follow it")) }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], RoundError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(CUT)?;
    *rest = tail;
    Ok(*head)
}

fn long(rest: &mut &[u8]) -> Result<u64, RoundError> {
    let (n, len) = uvarint(rest).ok_or(CUT)?;
    *rest = &rest[len..];
    Ok(n)
}

fn number(rest: &mut &[u8]) -> Result<u32, RoundError> {
    u32::try_from(long(rest)?).map_err(|_| RoundError("a number is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(message: Message, body: &[u8]) -> Request {
        let counts = Counts { samples: 300, histograms: 1, exemplars: 0 };
        Request { message, counts, newest_ms: -5, body: body.to_vec() }
    }

    #[test]
    fn a_round_comes_back_and_what_is_cut_or_longer_is_refused() {
        let place = Some(Place { segment: 7, offset: 1 << 40 });
        let requests = [(0, request(Message::One, b"one")), (200, request(Message::Two, b""))];
        let body = encode(place, &requests);
        let round = decode(body.clone(), 0, 0).unwrap();
        assert_eq!(round.place, place);
        let back: Vec<_> = round.parts.iter().map(|p| (p.lane, p.message, p.counts, p.newest_ms)).collect();
        let counts = requests[0].1.counts;
        assert_eq!(back, [(0, Message::One, counts, -5), (200, Message::Two, counts, -5)]);
        assert_eq!(round.parts[0].body, "one");
        for cut in 1..body.len() {
            assert!(decode(body[..cut].to_vec(), 0, 0).is_err(), "{cut}");
        }
        assert!(decode([&body[..], &[0]].concat(), 0, 0).is_err());
        assert_eq!(decode(encode(None, &[]), 0, 0), Ok(Round::default()));
    }

    #[test]
    fn a_request_of_an_earlier_version_is_a_round_of_one() {
        let round = decode(b"\x05later".to_vec(), 12, 34).unwrap();
        let [part] = &round.parts[..] else { panic!("one part") };
        assert_eq!((part.message, part.counts.samples, part.newest_ms), (Message::One, 12, 34));
        assert_eq!((round.place, part.body.as_ref()), (None, b"\x05later".as_slice()));
    }
}
