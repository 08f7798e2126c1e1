//! A client of D-Bus, of what collectors need: connect, call a method, read the reply. It waits for one
//! reply at a time, never serves objects, never listens to signals.

mod silence;
mod wire;

use crate::{
    error::CollectError,
    host::{Host, Stream},
};
pub(crate) use silence::Silence;
use std::{borrow::Cow, io, time::Duration};
pub(crate) use wire::Value;
use wire::{Reader, Writer};

/// Where the system's bus is unless `DBUS_SYSTEM_BUS_ADDRESS` says otherwise.
const SYSTEM_BUS: &str = "/var/run/dbus/system_bus_socket";
/// A message that is larger is not taken: it is more than 10,000 units of systemd.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// A line of the greeting is shorter.
const MAX_LINE_BYTES: usize = 1024;
/// A peer that sends more of other things than this before it replies is not talking to us.
const MAX_FOREIGN_MESSAGES: usize = 1000;

const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

const FIELD_PATH: u8 = 1;
const FIELD_INTERFACE: u8 = 2;
const FIELD_MEMBER: u8 = 3;
const FIELD_ERROR_NAME: u8 = 4;
const FIELD_REPLY_SERIAL: u8 = 5;
const FIELD_DESTINATION: u8 = 6;
const FIELD_SIGNATURE: u8 = 8;

const FIXED_HEADER_BYTES: usize = 16;

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DbusError {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer does not speak as it should.
    #[error("the peer sent no right message: {0}")]
    Malformed(&'static str),
    /// The peer refused the call.
    #[error("{name}: {message}")]
    Refused {
        /// The error's name, such as `org.freedesktop.DBus.Error.UnknownObject`.
        name: String,
        /// What the peer said beside it.
        message: String,
    },
}

impl DbusError {
    /// The collector's error for a failed `call`.
    pub(crate) fn of(self, call: &'static str) -> CollectError {
        let error = match self {
            Self::Io(error) => error,
            other => io::Error::other(other),
        };
        CollectError::System { call, error }
    }
}

/// A method and its arguments, which are texts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// Who is called; empty on a connection that has no bus between.
    pub(crate) destination: &'a str,
    /// The object.
    pub(crate) path: &'a str,
    /// The interface.
    pub(crate) interface: &'a str,
    /// The method.
    pub(crate) member: &'a str,
    /// The arguments.
    pub(crate) arguments: &'a [&'a str],
}

/// A connection.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    serial: u32,
    request: Writer,
    message: Vec<u8>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects to the system's bus, which listens on `socket`. The whole conversation takes no longer than
    /// `patience`.
    pub(crate) fn system(host: &dyn Host, socket: &str, patience: Duration) -> Result<Self, DbusError> {
        let mut connection = Self::direct(host, socket, patience)?;
        let hello =
            Call { destination: BUS, path: BUS_PATH, interface: BUS, member: "Hello", arguments: &[] };
        connection.call(&hello)?;
        Ok(connection)
    }

    /// The same, to the service behind the socket at `path`, without a bus between.
    pub(crate) fn direct(host: &dyn Host, path: &str, patience: Duration) -> Result<Self, DbusError> {
        let mut stream = host.connect(path, patience)?;
        greet(&mut *stream, host.user_id())?;
        Ok(Self { stream, serial: 0, request: Writer::default(), message: Vec::new() })
    }

    /// Calls a method; the values of its reply.
    pub(crate) fn call(&mut self, call: &Call<'_>) -> Result<Vec<Value<'_>>, DbusError> {
        self.serial += 1;
        write_call(&mut self.request, self.serial, call);
        self.stream.write_all(self.request.bytes())?;
        for _ in 0..MAX_FOREIGN_MESSAGES {
            read_message(&mut *self.stream, &mut self.message)?;
            // The head is read twice for our reply only: what is returned may not be borrowed in a loop.
            let head = Head::read(&self.message).ok_or(DbusError::Malformed("a header"))?;
            if head.reply_serial == Some(self.serial) {
                let head = Head::read(&self.message).ok_or(DbusError::Malformed("a header"))?;
                return head.into_values();
            }
        }
        Err(DbusError::Malformed("no reply among many messages"))
    }

    /// A property of an object.
    pub(crate) fn property(
        &mut self,
        destination: &str,
        path: &str,
        [interface, name]: [&str; 2],
    ) -> Result<Value<'_>, DbusError> {
        let arguments = &[interface, name];
        let call = Call { destination, path, interface: PROPERTIES, member: "Get", arguments };
        let value = self.call(&call)?.into_iter().next().ok_or(DbusError::Malformed("no value"))?;
        Ok(value.into_inner())
    }
}

/// Where the system's bus listens.
pub(crate) fn system_socket() -> Cow<'static, str> {
    let address = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_default();
    socket_of(&address).map_or(Cow::Borrowed(SYSTEM_BUS), |path| Cow::Owned(path.to_owned()))
}

/// The socket of an address such as `unix:path=/run/dbus/system_bus_socket,guid=1`.
fn socket_of(address: &str) -> Option<&str> {
    address
        .split(';')
        .find_map(|one| one.strip_prefix("unix:")?.split(',').find_map(|key| key.strip_prefix("path=")))
}

/// Says who we are. The kernel vouches for it, so no secret is needed.
fn greet(stream: &mut dyn Stream, user_id: u32) -> Result<(), DbusError> {
    let mut line = b"\0AUTH EXTERNAL ".to_vec();
    for digit in user_id.to_string().bytes() {
        line.extend_from_slice(format!("{digit:02x}").as_bytes());
    }
    line.extend_from_slice(b"\r\n");
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        answer.extend_from_slice(&byte);
        if answer.len() > MAX_LINE_BYTES {
            return Err(DbusError::Malformed("a long line before the first message"));
        }
    }
    if !answer.starts_with(b"OK ") {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the bus does not let us in").into());
    }
    stream.write_all(b"BEGIN\r\n")?;
    Ok(())
}

fn write_call(out: &mut Writer, serial: u32, call: &Call<'_>) {
    const BODY_LEN_AT: usize = 4;
    const FIELDS_LEN_AT: usize = 12;
    out.clear();
    for byte in [b'l', METHOD_CALL, 0, 1] {
        out.byte(byte);
    }
    for word in [0, serial, 0] {
        out.word(word);
    }
    let signature = "s".repeat(call.arguments.len());
    for (field, kind, text) in [
        (FIELD_PATH, "o", call.path),
        (FIELD_DESTINATION, "s", call.destination),
        (FIELD_INTERFACE, "s", call.interface),
        (FIELD_MEMBER, "s", call.member),
        (FIELD_SIGNATURE, "g", &signature),
    ] {
        if text.is_empty() {
            continue;
        }
        out.align(8);
        out.byte(field);
        out.signature(kind);
        if kind == "g" { out.signature(text) } else { out.text(text) }
    }
    out.set_word(FIELDS_LEN_AT, (out.bytes().len() - FIXED_HEADER_BYTES) as u32);
    out.align(8);
    let body = out.bytes().len();
    for argument in call.arguments {
        out.text(argument);
    }
    out.set_word(BODY_LEN_AT, (out.bytes().len() - body) as u32);
}

/// Reads one whole message.
fn read_message(stream: &mut dyn Stream, message: &mut Vec<u8>) -> Result<(), DbusError> {
    message.clear();
    message.resize(FIXED_HEADER_BYTES, 0);
    stream.read_exact(message)?;
    let len = message_bytes(message).ok_or(DbusError::Malformed("a header's lengths"))?;
    message.resize(len, 0);
    stream.read_exact(&mut message[FIXED_HEADER_BYTES..])?;
    Ok(())
}

/// How long the message is that begins with this fixed header.
fn message_bytes(header: &[u8]) -> Option<usize> {
    let big_endian = is_big_endian(header)?;
    let lengths = Reader::new(header, big_endian).values("yyyyuuu")?;
    let (Some(Value::Unsigned(body)), Some(Value::Unsigned(fields))) = (lengths.get(4), lengths.get(6))
    else {
        return None;
    };
    let head = FIXED_HEADER_BYTES + usize::try_from(*fields).ok()?;
    let len = head.next_multiple_of(8).checked_add(usize::try_from(*body).ok()?)?;
    (len <= MAX_MESSAGE_BYTES).then_some(len)
}

fn is_big_endian(header: &[u8]) -> Option<bool> {
    match header.first()? {
        b'l' => Some(false),
        b'B' => Some(true),
        _ => None,
    }
}

/// What a message's header says.
#[derive(Debug)]
struct Head<'a> {
    kind: u8,
    big_endian: bool,
    reply_serial: Option<u32>,
    error_name: &'a str,
    signature: &'a str,
    body: &'a [u8],
}

impl<'a> Head<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let big_endian = is_big_endian(message)?;
        let values = Reader::new(message, big_endian).values("yyyyuua(yv)")?;
        let Value::Unsigned(body_len) = values[4] else { return None };
        let body = message.len().checked_sub(usize::try_from(body_len).ok()?)?;
        let mut head = Self {
            kind: message[1],
            big_endian,
            reply_serial: None,
            error_name: "",
            signature: "",
            body: &message[body..],
        };
        for field in values.last()?.list()? {
            let [Value::Unsigned(code), Value::Variant(value)] = field.list()? else { return None };
            match (*code as u8, &**value) {
                (FIELD_REPLY_SERIAL, Value::Unsigned(serial)) => head.reply_serial = Some(*serial as u32),
                (FIELD_ERROR_NAME, Value::Text(name)) => head.error_name = name,
                (FIELD_SIGNATURE, Value::Text(signature)) => head.signature = signature,
                _ => {}
            }
        }
        Some(head)
    }

    fn into_values(self) -> Result<Vec<Value<'a>>, DbusError> {
        let values = Reader::new(self.body, self.big_endian).values(self.signature);
        let values = values.ok_or(DbusError::Malformed("a body that is not of its type"))?;
        match self.kind {
            METHOD_RETURN => Ok(values),
            ERROR => Err(DbusError::Refused {
                name: self.error_name.to_owned(),
                message: values.first().and_then(Value::text).unwrap_or_default().to_owned(),
            }),
            _ => Err(DbusError::Malformed("a reply of unknown kind")),
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
