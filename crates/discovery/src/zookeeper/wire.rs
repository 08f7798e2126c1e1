//! What is said to ZooKeeper and what it answers, as bytes: numbers with the highest byte first, texts and
//! lists behind their lengths. Opens no connection.
//!
//! Source: the definition of its records, `zookeeper.jute` of Apache ZooKeeper 3.9.

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// What is kept at a path, now and when it changes.
    Data(&'a str),
    /// The names below it, the same way.
    Children(&'a str),
    /// Whether it is there, the same way.
    Exists(&'a str),
    /// Nothing: that we are there.
    Ping,
}

/// The number of what was not asked for: a change.
const OF_CHANGE: i32 = -1;
/// The number of pings.
const OF_PING: i32 = -2;
/// There is nothing at the path.
const NO_NODE: i32 = -101;

/// What begins a session that is to last so long without a word.
pub(crate) fn hello(timeout_ms: i32) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(0_i32.to_be_bytes());
    out.extend(0_i64.to_be_bytes());
    out.extend(timeout_ms.to_be_bytes());
    out.extend(0_i64.to_be_bytes());
    put_bytes(&mut out, &[0; 16]);
    out.push(0);
    out
}

/// A request of this number.
pub(crate) fn request(number: i32, asked: Asked<'_>) -> Vec<u8> {
    let (number, kind, path) = match asked {
        Asked::Exists(path) => (number, 3_i32, Some(path)),
        Asked::Data(path) => (number, 4, Some(path)),
        Asked::Children(path) => (number, 8, Some(path)),
        Asked::Ping => (OF_PING, 11, None),
    };
    let mut out = Vec::new();
    out.extend(number.to_be_bytes());
    out.extend(kind.to_be_bytes());
    if let Some(path) = path {
        put_bytes(&mut out, path.as_bytes());
        out.push(1);
    }
    out
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // A path is part of a configuration or of an answer, which are bounded far below.
    out.extend(i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes());
    out.extend(bytes);
}

/// How long the session may be silent, as the server has it.
pub(crate) fn read_welcome(frame: &[u8]) -> Option<i32> {
    let mut rest = frame;
    let _version = take_i32(&mut rest)?;
    let timeout = take_i32(&mut rest)?;
    (timeout > 0).then_some(timeout)
}

/// What a server sends once a session has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Something changed that we asked about.
    Change,
    /// It knows that we are there.
    Pong,
    /// An answer: to which request, and what stands in it, if there is anything at the path.
    Answer {
        /// The number of the request.
        number: i32,
        /// What stands behind the head.
        body: Option<Vec<u8>>,
    },
    /// It refuses, by this number.
    Refused(i32),
}

pub(crate) fn read_sent(frame: &[u8]) -> Option<Sent> {
    let mut rest = frame;
    let number = take_i32(&mut rest)?;
    let _transaction = take(&mut rest, 8)?;
    let error = take_i32(&mut rest)?;
    Some(match (number, error) {
        (OF_CHANGE, _) => Sent::Change,
        (OF_PING, _) => Sent::Pong,
        (number, 0) => Sent::Answer { number, body: Some(rest.to_vec()) },
        (number, NO_NODE) => Sent::Answer { number, body: None },
        (_, error) => Sent::Refused(error),
    })
}

/// What is kept at a path.
pub(crate) fn read_data(body: &[u8]) -> Option<Vec<u8>> {
    take_bytes(&mut &*body).map(<[u8]>::to_vec)
}

/// The names below a path.
pub(crate) fn read_children(body: &[u8]) -> Option<Vec<String>> {
    let mut rest = body;
    let count = take_i32(&mut rest)?;
    let mut names = Vec::new();
    for _ in 0..count {
        let name = String::from_utf8(take_bytes(&mut rest)?.to_vec()).ok()?;
        if name.is_empty() || name.contains('/') {
            return None;
        }
        names.push(name);
    }
    Some(names)
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(head)
}

fn take_i32(rest: &mut &[u8]) -> Option<i32> {
    take(rest, 4).map(|bytes| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// Nothing where the length is below zero, as that of what was never written is.
fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take_i32(rest)?;
    take(rest, usize::try_from(len).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_read() {
        let frame = |number: i32, error: i32, body: &[u8]| {
            let head = [&number.to_be_bytes()[..], &[0; 8], &error.to_be_bytes()].concat();
            read_sent(&[&head, body].concat())
        };
        assert_eq!(frame(-1, 0, b"..."), Some(Sent::Change));
        assert_eq!(frame(-2, 0, b""), Some(Sent::Pong));
        assert_eq!(frame(3, -101, b""), Some(Sent::Answer { number: 3, body: None }));
        assert_eq!(frame(3, -112, b""), Some(Sent::Refused(-112)));
        assert_eq!(read_sent(&[0; 15]), None);
        let body =
            [&2_i32.to_be_bytes()[..], &1_i32.to_be_bytes(), b"a", &2_i32.to_be_bytes(), b"bc"].concat();
        assert_eq!(read_children(&body), Some(vec!["a".to_owned(), "bc".to_owned()]));
        assert_eq!(read_children(&body[..body.len() - 1]), None);
        assert_eq!(read_data(&(-1_i32).to_be_bytes()), Some(Vec::new()));
        assert_eq!(read_children(&i32::MAX.to_be_bytes()), None);
    }

    #[test]
    fn requests_have_the_form_of_the_protocol() {
        let expected = [&7_i32.to_be_bytes()[..], &4_i32.to_be_bytes(), &2_i32.to_be_bytes(), b"/a", &[1]];
        assert_eq!(request(7, Asked::Data("/a")), expected.concat());
        assert_eq!(request(7, Asked::Ping), [(-2_i32).to_be_bytes(), 11_i32.to_be_bytes()].concat());
        assert_eq!(hello(10).len(), 45);
        assert_eq!(read_welcome(&hello(10)[..8]), None);
    }
}
