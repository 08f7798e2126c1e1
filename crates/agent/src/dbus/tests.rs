//! Calls on a bus, and what becomes of a peer that speaks nonsense.

use super::{
    testing::{Answer, BusHost},
    *,
};
use proptest::prelude::*;

fn call<'a>(member: &'a str, arguments: &'a [&'a str]) -> Call<'a> {
    Call { destination: "org.example", path: "/a", interface: "org.example.A", member, arguments }
}

#[test]
fn a_call_gives_the_values_of_its_reply() {
    let units = Answer::new("/a", "List x y", "a(su)t", |out| {
        // The array's length does not count what stands before its first element.
        out.word(14);
        out.align(8);
        out.text("one");
        out.word(1);
        out.align(8);
        out.set_word(0, 12);
        out.word(9);
        out.word(0);
    });
    let host = BusHost { answers: vec![units] };
    let mut connection = Connection::system(&host, SYSTEM_BUS, Duration::MAX).unwrap();
    let row = Value::List(vec![Value::Text("one"), Value::Unsigned(1)]);
    for _ in 0..2 {
        let values = connection.call(&call("List", &["x", "y"])).unwrap();
        assert_eq!(values, [Value::List(vec![row.clone()]), Value::Unsigned(9)]);
    }
}

#[test]
fn a_property_is_what_the_variant_holds() {
    let text = Value::Text("tty");
    let host = BusHost { answers: vec![Answer::property("/a", "org.example.A", "Type", &text)] };
    let mut connection = Connection::direct(&host, "/run/x", Duration::MAX).unwrap();
    let found = connection.property("", "/a", ["org.example.A", "Type"]).unwrap();
    assert_eq!(found, text);
    let error = connection.property("", "/a", ["org.example.A", "Other"]).unwrap_err();
    assert!(matches!(&error, DbusError::Refused { name, .. } if name == "org.example.Unknown"), "{error}");
    assert_eq!(error.to_string(), "org.example.Unknown: unknown");
}

#[test]
fn a_body_that_is_not_of_its_type_is_an_error() {
    let host = BusHost { answers: vec![Answer::new("/a", "Get", "as", |out| out.word(99))] };
    let mut connection = Connection::system(&host, SYSTEM_BUS, Duration::MAX).unwrap();
    let error = connection.call(&call("Get", &[])).unwrap_err();
    assert!(matches!(error, DbusError::Malformed(_)), "{error}");
}

#[test]
fn the_socket_of_an_address() {
    for (address, socket) in [
        ("unix:path=/run/bus", Some("/run/bus")),
        ("unix:guid=1,path=/run/bus", Some("/run/bus")),
        ("tcp:host=x;unix:path=/a,guid=2", Some("/a")),
        ("unix:abstract=/a", None),
        ("", None),
    ] {
        assert_eq!(socket_of(address), socket, "{address}");
    }
}

/// A peer that says what it was told to.
#[derive(Debug)]
struct Scripted {
    says: io::Cursor<Vec<u8>>,
}

impl io::Read for Scripted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.says.read(out)
    }
}

impl io::Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_peer_may_say_anything(header in proptest::collection::vec(0_u8..9, 16..200), kind in 1_u8..5) {
        let mut says = header;
        says[..4].copy_from_slice(&[b'l', kind, 0, 1]);
        let stream = Box::new(Scripted { says: io::Cursor::new(says) });
        let (request, message) = (Writer::default(), Vec::new());
        let mut connection = Connection { stream, serial: 0, request, message };
        prop_assert!(connection.call(&call("Get", &[])).is_err());
    }

    #[test]
    fn any_message_is_taken_apart_without_panic(message in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Some(head) = Head::read(&message) {
            let _ = head.into_values();
        }
        let _ = message_bytes(&message);
    }
}
