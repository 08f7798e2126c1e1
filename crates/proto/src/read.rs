//! A request of remote read as it comes, and the answer of plain samples. An answer is written series by
//! series: what is held of it is its bytes, not its messages.

use crate::{
    ProtoError,
    messages::{ReadRequest, TimeSeries},
};
use prost::Message as _;
use skopos_base::varint::{put_uvarint, uvarint, uvarint_len};

/// The most bytes of a request, before and after it is unpacked.
pub const REQUEST_MAX_BYTES: usize = 32 << 20;

/// The most queries, matchers and kinds of answers of a request. As messages they take up to fifty times the
/// bytes that they came in.
pub const REQUEST_MAX_PARTS: usize = 200_000;

/// The first field of a message, which is a message itself.
const FIRST_FIELD: u8 = 1 << 3 | 2;

/// The request in a body that snappy compressed.
///
/// # Errors
/// When it is not one, or longer than `REQUEST_MAX_BYTES`.
pub fn decode_request(body: &[u8]) -> Result<ReadRequest, ProtoError> {
    let snappy = |e: snap::Error| ProtoError::Snappy(e.to_string());
    let bytes = snap::raw::decompress_len(body).map_err(snappy)?;
    if bytes > REQUEST_MAX_BYTES {
        return Err(ProtoError::TooLong { bytes, max: REQUEST_MAX_BYTES });
    }
    // Three bytes of snappy stand for 64 at most: nobody makes us hold more by a number alone.
    if bytes > 22 * body.len() {
        return Err(ProtoError::Snappy(format!("{} bytes cannot unpack to {bytes}", body.len())));
    }
    let plain = snap::raw::Decoder::new().decompress_vec(body).map_err(snappy)?;
    let wrong = |e: prost::DecodeError| ProtoError::Message { message: "ReadRequest", reason: e.to_string() };
    let too_many = || ProtoError::Message {
        message: "ReadRequest",
        reason: format!("it has more than {REQUEST_MAX_PARTS} queries and matchers"),
    };
    // Bytes that are no message are left to the decoder, which says what is wrong with them.
    if parts(&plain).is_some_and(|count| count > REQUEST_MAX_PARTS) {
        return Err(too_many());
    }
    ReadRequest::decode(plain.as_slice()).map_err(wrong)
}

/// How many queries, matchers and kinds of answers a request has, without making anything of them.
fn parts(request: &[u8]) -> Option<usize> {
    let mut count = 0;
    each_field(request, |field, inner| {
        count += 1;
        match inner {
            Some(query) if field == 1 => drop(each_field(query, |_, _| count += 1)),
            // Kinds of answers stand together, most in one byte each.
            Some(packed) => count += packed.len(),
            None => {}
        }
    })?;
    Some(count)
}

/// Calls `see` with the number of every field, and with its bytes where it has a length. None where the bytes
/// are no message.
fn each_field<'b>(mut bytes: &'b [u8], mut see: impl FnMut(u64, Option<&'b [u8]>)) -> Option<()> {
    while !bytes.is_empty() {
        let (key, len) = uvarint(bytes)?;
        bytes = &bytes[len..];
        let inner = match key & 7 {
            0 => {
                bytes = &bytes[uvarint(bytes)?.1..];
                None
            }
            1 => {
                bytes = bytes.get(8..)?;
                None
            }
            2 => {
                let (length, len) = uvarint(bytes)?;
                let (inner, rest) = bytes[len..].split_at_checked(usize::try_from(length).ok()?)?;
                bytes = rest;
                Some(inner)
            }
            5 => {
                bytes = bytes.get(4..)?;
                None
            }
            _ => return None,
        };
        see(key >> 3, inner);
    }
    Some(())
}

/// The body that carries a request.
///
/// # Errors
/// When the request is longer than `REQUEST_MAX_BYTES`.
pub fn encode_request(request: &ReadRequest) -> Result<Vec<u8>, ProtoError> {
    let plain = request.encode_to_vec();
    let too_long = || ProtoError::TooLong { bytes: plain.len(), max: REQUEST_MAX_BYTES };
    if plain.len() > REQUEST_MAX_BYTES {
        return Err(too_long());
    }
    snap::raw::Encoder::new().compress_vec(&plain).map_err(|_| too_long())
}

/// A `ReadResponse` while it is written.
#[derive(Debug, Default)]
pub struct SampledAnswer {
    done: Vec<u8>,
    /// The series of the result that is being written.
    result: Vec<u8>,
}

impl SampledAnswer {
    /// Adds a series to the result of this query.
    pub fn push(&mut self, series: &TimeSeries) {
        self.result.push(FIRST_FIELD);
        put_uvarint(&mut self.result, series.encoded_len() as u64);
        series.encode_raw(&mut self.result);
    }

    /// The next query's result begins.
    pub fn end_query(&mut self) {
        let length = self.result.len() as u64;
        self.done.reserve(1 + uvarint_len(length) + self.result.len());
        self.done.push(FIRST_FIELD);
        put_uvarint(&mut self.done, length);
        self.done.append(&mut self.result);
    }

    /// How long the answer is so far, before it is compressed.
    pub fn bytes(&self) -> u64 {
        (self.done.len() + self.result.len()) as u64
    }

    /// How many bytes it holds.
    pub fn held_bytes(&self) -> u64 {
        (self.done.capacity() + self.result.capacity()) as u64
    }

    /// How many bytes it takes at most to compress it.
    pub fn finish_bytes(&self) -> u64 {
        snap::raw::max_compress_len(self.done.len()) as u64
    }

    /// The whole answer, compressed by snappy.
    ///
    /// # Errors
    /// When it is longer than snappy can say, which is 4 GiB.
    pub fn finish(self) -> Result<Vec<u8>, ProtoError> {
        let compressed = snap::raw::Encoder::new().compress_vec(&self.done);
        compressed.map_err(|_| ProtoError::TooLong { bytes: self.done.len(), max: u32::MAX as usize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Label, Query, QueryResult, ReadResponse, ResponseType, Sample};

    #[test]
    fn an_answer_written_by_parts_is_the_message() {
        let series = |name: &str, values: usize| TimeSeries {
            labels: vec![Label { name: "n".to_owned(), value: name.to_owned() }],
            samples: (0..values).map(|i| Sample { value: i as f64, timestamp: -(i as i64) }).collect(),
            histograms: Vec::new(),
        };
        let results = [vec![series("a", 3), series("b", 400)], vec![], vec![series("c", 0)]];
        let mut answer = SampledAnswer::default();
        for result in &results {
            result.iter().for_each(|series| answer.push(series));
            answer.end_query();
        }
        let (bytes, held, finish) = (answer.bytes(), answer.held_bytes(), answer.finish_bytes());
        let compressed = answer.finish().unwrap();
        let plain = snap::raw::Decoder::new().decompress_vec(&compressed).unwrap();
        assert_eq!(bytes, plain.len() as u64);
        assert!(held >= bytes && finish >= compressed.len() as u64, "{bytes} {held} {finish}");
        let results = results.into_iter().map(|timeseries| QueryResult { timeseries }).collect();
        assert_eq!(plain, ReadResponse { results }.encode_to_vec());
    }

    fn request() -> ReadRequest {
        let query = Query { start_timestamp_ms: -1, end_timestamp_ms: 5, matchers: Vec::new(), hints: None };
        let accepted_response_types =
            vec![ResponseType::StreamedXorChunks.into(), ResponseType::Samples.into(), 77];
        ReadRequest { queries: vec![query], accepted_response_types }
    }

    #[test]
    fn requests_are_read_and_broken_ones_refused() {
        let plain = request().encode_to_vec();
        let body = encode_request(&request()).unwrap();
        assert_eq!(decode_request(&body), Ok(request()));
        for cut in 0..body.len() {
            assert!(decode_request(&body[..cut]).is_err(), "{cut}");
        }
        assert!(matches!(decode_request(&plain), Err(ProtoError::Snappy(_) | ProtoError::Message { .. })));
    }

    #[test]
    fn a_request_of_very_many_parts_is_refused_before_they_are_made() {
        let body = |plain: &[u8]| snap::raw::Encoder::new().compress_vec(plain).unwrap();
        let queries = |count: usize| [FIRST_FIELD, 0].repeat(count);
        assert_eq!(decode_request(&body(&queries(1000))).map(|r| r.queries.len()), Ok(1000));
        let mut matchers = [3 << 3 | 2, 0].repeat(REQUEST_MAX_PARTS);
        let mut one = vec![FIRST_FIELD];
        put_uvarint(&mut one, matchers.len() as u64);
        one.append(&mut matchers);
        for plain in [queries(REQUEST_MAX_PARTS + 1), one] {
            let refused = decode_request(&body(&plain)).unwrap_err().to_string();
            assert_eq!(refused, "the body is no ReadRequest: it has more than 200000 queries and matchers");
        }
    }

    #[test]
    fn a_length_is_not_believed() {
        let mut body = Vec::new();
        put_uvarint(&mut body, u64::from(u32::MAX));
        let refused = decode_request(&body);
        let max = REQUEST_MAX_BYTES;
        assert_eq!(refused, Err(ProtoError::TooLong { bytes: u32::MAX as usize, max }));
    }
}
