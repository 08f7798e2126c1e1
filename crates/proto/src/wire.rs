//! `Fields`: the wire format of protocol buffers, field by field, borrowing the bytes. Knows no message;
//! never trusts a length.

use skopos_base::varint::uvarint;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireError(pub(crate) &'static str);

impl WireError {
    /// For this reason.
    pub const fn new(reason: &'static str) -> Self {
        Self(reason)
    }
}

const CUT_OFF: WireError = WireError("it is cut off");
const WRONG_TYPE: WireError = WireError("a field is of another type than it should be");

/// What a field has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A number of variable length.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// A text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// A number; a negative one wraps.
    ///
    /// # Errors
    /// When it is none.
    #[inline]
    pub fn uint(self) -> Result<u64, WireError> {
        if let Self::Varint(n) = self { Ok(n) } else { Err(WRONG_TYPE) }
    }

    /// `int64`.
    ///
    /// # Errors
    /// When it is none.
    #[inline]
    pub fn int(self) -> Result<i64, WireError> {
        self.uint().map(|n| n as i64)
    }

    /// `sint64` and `sint32`.
    ///
    /// # Errors
    /// When it is none.
    #[inline]
    pub fn sint(self) -> Result<i64, WireError> {
        self.uint().map(un_zig_zag)
    }

    /// A float.
    ///
    /// # Errors
    /// When it is none.
    #[inline]
    pub fn double(self) -> Result<f64, WireError> {
        self.fixed64().map(f64::from_bits)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// When there are not so many.
    #[inline]
    pub fn fixed64(self) -> Result<u64, WireError> {
        if let Self::Fixed64(bits) = self { Ok(bits) } else { Err(WRONG_TYPE) }
    }

    /// Bytes.
    ///
    /// # Errors
    /// When it has none.
    #[inline]
    pub fn bytes(self) -> Result<&'a [u8], WireError> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(WRONG_TYPE) }
    }

    /// A text.
    ///
    /// # Errors
    /// When it is none, or not UTF-8.
    pub fn text(self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError("a text is not UTF-8"))
    }

    /// Calls `each` with every number of a repeated field, whether they are packed or stand alone.
    ///
    /// # Errors
    /// When it has no numbers, or what `each` says.
    pub fn uints<E: From<WireError>>(self, mut each: impl FnMut(u64) -> Result<(), E>) -> Result<(), E> {
        let mut packed = match self {
            Self::Bytes(packed) => packed,
            other => return each(other.uint()?),
        };
        while !packed.is_empty() {
            let (n, len) = uvarint(packed).ok_or(CUT_OFF)?;
            packed = &packed[len..];
            each(n)?;
        }
        Ok(())
    }

    /// Appends every `sint64` of a repeated field.
    ///
    /// # Errors
    /// When it has none.
    pub fn push_sints(self, out: &mut Vec<i64>) -> Result<(), WireError> {
        self.uints(|n| {
            out.push(un_zig_zag(n));
            Ok(())
        })
    }

    /// Appends all eight bytes of a repeated field, as `of` takes them.
    ///
    /// # Errors
    /// When it has none.
    pub fn push_fixed64s<T>(self, out: &mut Vec<T>, of: impl Fn(u64) -> T) -> Result<(), WireError> {
        let Self::Bytes(packed) = self else {
            out.push(of(self.fixed64()?));
            return Ok(());
        };
        let (all, rest) = packed.as_chunks();
        if !rest.is_empty() {
            return Err(CUT_OFF);
        }
        out.extend(all.iter().map(|bytes| of(u64::from_le_bytes(*bytes))));
        Ok(())
    }
}

fn un_zig_zag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// The fields of a message in order.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Those of `message`.
    pub fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field with its number; none at the end.
    ///
    /// # Errors
    /// When the bytes are no message. Groups, which nobody writes any more, are none.
    #[inline]
    pub fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (key, len) = uvarint(self.rest).ok_or(CUT_OFF)?;
        let rest = &self.rest[len..];
        let (value, rest) = match key & 7 {
            0 => {
                let (n, len) = uvarint(rest).ok_or(CUT_OFF)?;
                (Value::Varint(n), &rest[len..])
            }
            1 => {
                let (bytes, rest) = rest.split_first_chunk().ok_or(CUT_OFF)?;
                (Value::Fixed64(u64::from_le_bytes(*bytes)), rest)
            }
            2 => {
                let (length, len) = uvarint(rest).ok_or(CUT_OFF)?;
                let length = usize::try_from(length).map_err(|_| CUT_OFF)?;
                let (bytes, rest) = rest[len..].split_at_checked(length).ok_or(CUT_OFF)?;
                (Value::Bytes(bytes), rest)
            }
            5 => {
                let (bytes, rest) = rest.split_first_chunk().ok_or(CUT_OFF)?;
                (Value::Fixed32(u32::from_le_bytes(*bytes)), rest)
            }
            _ => return Err(WireError("a field is of no known type")),
        };
        let number = u32::try_from(key >> 3).ok().filter(|n| *n > 0);
        self.rest = rest;
        Ok(Some((number.ok_or(WireError("a field has no number"))?, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_as_they_stand_and_nothing_else_does() {
        let message =
            [0x08, 0x96, 0x01, 0x11, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x1a, 2, b'h', b'i', 0x25, 1, 0, 0, 0];
        let mut fields = Fields::of(&message);
        let mut all = Vec::new();
        while let Some(field) = fields.next_field().unwrap() {
            all.push(field);
        }
        assert_eq!(
            all,
            [
                (1, Value::Varint(150)),
                (2, Value::Fixed64(1.5_f64.to_bits())),
                (3, Value::Bytes(b"hi")),
                (4, Value::Fixed32(1)),
            ]
        );
        assert_eq!((all[2].1.text(), all[1].1.double()), (Ok("hi"), Ok(1.5)));
        for cut in [1, 2, 5, 13, 15, 17] {
            let mut fields = Fields::of(&message[..cut]);
            let end = loop {
                match fields.next_field() {
                    Ok(Some(_)) => {}
                    end => break end,
                }
            };
            assert!(end.is_err(), "cut at {cut}");
        }
        // A group, a field without a number, a length that nothing can have.
        for bad in [&[0x0b][..], &[0x00, 0], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
        {
            assert!(Fields::of(bad).next_field().is_err());
        }
    }

    #[test]
    fn repeated_numbers_are_read_packed_and_alone() {
        let mut numbers = Vec::new();
        Value::Bytes(&[0, 1, 2, 0x80, 0x01]).push_sints(&mut numbers).unwrap();
        Value::Varint(3).push_sints(&mut numbers).unwrap();
        assert_eq!(numbers, [0, -1, 1, 64, -2]);
        let mut floats = Vec::new();
        Value::Bytes(&[0; 16]).push_fixed64s(&mut floats, f64::from_bits).unwrap();
        Value::Fixed64(1.0_f64.to_bits()).push_fixed64s(&mut floats, f64::from_bits).unwrap();
        assert_eq!(floats, [0.0, 0.0, 1.0]);
        assert!(Value::Bytes(&[0; 9]).push_fixed64s(&mut floats, f64::from_bits).is_err());
        assert!(Value::Bytes(&[0x80]).push_sints(&mut numbers).is_err());
    }
}
