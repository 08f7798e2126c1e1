//! A bus for tests: it greets, and answers calls from a list.

use super::{
    ERROR, FIELD_ERROR_NAME, FIELD_MEMBER, FIELD_PATH, FIELD_REPLY_SERIAL, FIELD_SIGNATURE, METHOD_RETURN,
    Value, read_message,
    wire::{Reader, Writer},
};
use crate::host::{Host, Stream, Uname, Usage};
use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

/// What is replied to a call.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The object and the method, with the arguments behind it: `Get a b`.
    pub(crate) call: (&'static str, String),
    /// The type of the body, or of an error's name with `!` in front.
    pub(crate) signature: &'static str,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(
        path: &'static str,
        call: &str,
        signature: &'static str,
        write: impl Fn(&mut Writer),
    ) -> Self {
        let mut body = Writer::default();
        write(&mut body);
        Self { call: (path, call.to_owned()), signature, body: body.bytes().to_vec() }
    }

    /// A property of the type text or boolean.
    pub(crate) fn property(path: &'static str, interface: &str, name: &str, value: &Value<'_>) -> Self {
        Self::new(path, &format!("Get {interface} {name}"), "v", |out| match value {
            Value::Text(text) => {
                out.signature("s");
                out.text(text);
            }
            Value::Bool(is_set) => {
                out.signature("b");
                out.word(u32::from(*is_set));
            }
            other => panic!("no property of the tests: {other:?}"),
        })
    }
}

/// A host whose every socket is this bus.
#[derive(Debug, Default)]
pub(crate) struct BusHost {
    /// What the bus knows.
    pub(crate) answers: Vec<Answer>,
}

impl Host for BusHost {
    fn uname(&self) -> Uname {
        Uname::default()
    }

    fn usage(&self, _: &str) -> io::Result<Usage> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn netlink(&self, _: crate::netlink::Request, _: &mut Vec<u8>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect(&self, _: &str, _: Duration) -> io::Result<Box<dyn Stream>> {
        let (ours, theirs) = UnixStream::pair()?;
        let answers = self.answers.clone();
        thread::spawn(move || serve(theirs, &answers));
        Ok(Box::new(ours))
    }
}

/// Serves until the peer goes.
fn serve(mut stream: UnixStream, answers: &[Answer]) {
    let mut greeting = Vec::new();
    while !greeting.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        greeting.push(byte[0]);
    }
    assert!(greeting.starts_with(b"\0AUTH EXTERNAL 30\r\n"), "{greeting:?}");
    stream.write_all(b"OK 1234deadbeef\r\n").unwrap();
    stream.read_exact(&mut [0; b"BEGIN\r\n".len()]).unwrap();
    let mut message = Vec::new();
    while read_message(&mut stream, &mut message).is_ok() {
        let (serial, path, call) = asked(&message);
        // Something that nobody asked for stands before each answer.
        stream.write_all(&reply(4, 0, "s", b"\x01\0\0\0x\0")).unwrap();
        let known = answers.iter().find(|answer| answer.call == (&*path, call.clone()));
        let sent = match known {
            _ if call == "Hello" => reply(METHOD_RETURN, serial, "s", b"\x04\0\0\0:1.7\0"),
            Some(answer) => reply(METHOD_RETURN, serial, answer.signature, &answer.body),
            None => reply(ERROR, serial, "s", b"\x07\0\0\0unknown\0"),
        };
        stream.write_all(&sent).unwrap();
    }
}

/// The serial, the object, and the method with its arguments.
fn asked(message: &[u8]) -> (u32, String, String) {
    let values = Reader::new(message, false).values("yyyyuua(yv)").unwrap();
    let [.., Value::Unsigned(body), Value::Unsigned(serial), Value::List(fields)] = &values[..] else {
        panic!()
    };
    let text = |wanted: u8| {
        fields.iter().find_map(|field| match field.list().unwrap() {
            [Value::Unsigned(code), Value::Variant(value)] if *code == u64::from(wanted) => value.text(),
            _ => None,
        })
    };
    let body = &message[message.len() - *body as usize..];
    let arguments = Reader::new(body, false).values(text(FIELD_SIGNATURE).unwrap_or("")).unwrap();
    let call: Vec<&str> =
        text(FIELD_MEMBER).into_iter().chain(arguments.iter().map(|value| value.text().unwrap())).collect();
    (*serial as u32, text(FIELD_PATH).unwrap().to_owned(), call.join(" "))
}

fn reply(kind: u8, to: u32, signature: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    for byte in [b'l', kind, 1, 1] {
        out.byte(byte);
    }
    for word in [body.len() as u32, 1, 0] {
        out.word(word);
    }
    out.byte(FIELD_REPLY_SERIAL);
    out.signature("u");
    out.word(to);
    if kind == ERROR {
        out.align(8);
        out.byte(FIELD_ERROR_NAME);
        out.signature("s");
        out.text("org.example.Unknown");
    }
    out.align(8);
    out.byte(FIELD_SIGNATURE);
    out.signature("g");
    out.signature(signature);
    out.set_word(12, (out.bytes().len() - 16) as u32);
    out.align(8);
    [out.bytes(), body].concat()
}
