//! Rounds of requests, the records of queues of remote write: what is read is what another one gives back.

use skopos_remote::{
    Counts, Message, Request,
    round::{self, Place},
};

/// Whether it was read as a round.
pub(super) fn record(bytes: &[u8]) -> bool {
    let Ok(round) = round::decode(bytes.to_vec(), 7, 9) else { return false };
    let of = |part: &round::Part| {
        let (message, counts, newest_ms) = (part.message, part.counts, part.newest_ms);
        (part.lane, Request { message, counts, newest_ms, body: part.body.to_vec() })
    };
    let requests: Vec<_> = round.parts.iter().map(of).collect();
    let again = round::decode(round::encode(round.place, &requests), 0, 0);
    assert_eq!(again.as_ref(), Ok(&round), "it comes back");
    true
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let request = |message, body: &[u8]| Request {
        message,
        counts: Counts { samples: 300, histograms: 1, exemplars: 2 },
        newest_ms: 1_700_000_000_000,
        body: body.to_vec(),
    };
    let both = [(0, request(Message::One, b"one")), (300, request(Message::Two, &[9; 40]))];
    let place = Some(Place { segment: 17, offset: 1 << 40 });
    vec![round::encode(place, &both), round::encode(None, &both[..1]), round::encode(place, &[])]
}
