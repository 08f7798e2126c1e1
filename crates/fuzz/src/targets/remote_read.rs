//! Remote read: a request that is read is read again as it was, and frames come out as they went in.

use skopos_model::matcher::Regexes;
use skopos_proto::{convert, frame, messages::ReadRequest, read};

pub(super) fn request_and_frames(bytes: &[u8]) -> bool {
    let request = read::decode_request(bytes);
    let mut is_read = request.is_ok();
    if let Ok(request) = request {
        let mut regexes = Regexes::default();
        for query in &request.queries {
            if let Ok(matchers) = convert::matchers(&query.matchers, &mut regexes) {
                assert_eq!(matchers.len(), query.matchers.len());
            }
        }
        assert_eq!(read::decode_request(&packed(&request)), Ok(request));
    }
    let (mut offset, mut again) = (0, Vec::new());
    while let Ok(Some((message, next))) = frame::read(bytes, offset) {
        assert!(next > offset && next <= bytes.len(), "a frame ends at {next} of {}", bytes.len());
        again.clear();
        frame::write(message, &mut again);
        assert_eq!(frame::read(&again, 0), Ok(Some((message, again.len()))));
        offset = next;
        is_read = true;
    }
    is_read
}

fn packed(request: &ReadRequest) -> Vec<u8> {
    read::encode_request(request).expect("a request that was read is not too long")
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    use skopos_proto::messages::{LabelMatcher, Query, ReadHints};
    let matcher =
        |kind: i32, value: &str| LabelMatcher { r#type: kind, name: "n".to_owned(), value: value.to_owned() };
    let matchers =
        vec![matcher(0, ""), matcher(1, "a"), matcher(2, "a|b.*"), matcher(3, "("), matcher(9, "")];
    let hints = Some(ReadHints { start_ms: i64::MIN, end_ms: 7 });
    let query = Query { start_timestamp_ms: -1, end_timestamp_ms: i64::MAX, matchers, hints };
    let request = ReadRequest { queries: vec![query.clone(), query], accepted_response_types: vec![1, 0, 7] };
    let mut frames = Vec::new();
    for message in [&b"one"[..], b"", &[7; 200]] {
        frame::write(message, &mut frames);
    }
    vec![packed(&ReadRequest::default()), packed(&request), frames]
}
