//! D-Bus's marshalling, of what collectors need: calls whose arguments are texts, replies of any type.
//! Reading never panics, never trusts a length, and copies no text. Source: the D-Bus specification.

/// How deep values may be nested; the specification's own bound.
const MAX_DEPTH: usize = 64;
/// A reply of more values is not taken: it is more than 40,000 units of systemd, and a value takes more
/// memory than bytes of the message.
const MAX_VALUES: usize = 1 << 19;

/// A value of a reply. Texts are borrowed from the message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// `b`
    Bool(bool),
    /// `y`, `q`, `u`, `t` and file handles.
    Unsigned(u64),
    /// `n`, `i`, `x`
    Signed(i64),
    /// `d`
    Double(f64),
    /// `s`, `o`, `g`
    Text(&'a str),
    /// `ay`
    Bytes(&'a [u8]),
    /// Any other array, and a struct or a dictionary's entry.
    List(Vec<Value<'a>>),
    /// `v`
    Variant(Box<Value<'a>>),
}

impl<'a> Value<'a> {
    /// The text, if it is one.
    pub(crate) const fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of an array or a struct.
    pub(crate) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// What a variant holds; another value is itself.
    pub(crate) fn into_inner(self) -> Self {
        match self {
            Self::Variant(inner) => *inner,
            other => other,
        }
    }
}

/// Reads values of a message.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    /// From the start of the message's part, since alignment counts from there.
    bytes: &'a [u8],
    at: usize,
    big_endian: bool,
    values_left: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8], big_endian: bool) -> Self {
        Self { bytes, at: 0, big_endian, values_left: MAX_VALUES }
    }

    /// All values of `signature`. `None` when the bytes are no such values.
    pub(crate) fn values(mut self, signature: &str) -> Option<Vec<Value<'a>>> {
        let mut types = signature.as_bytes();
        let mut values = Vec::new();
        while !types.is_empty() {
            values.push(self.value(&mut types, 0)?);
        }
        Some(values)
    }

    /// The value of the first complete type of `types`, which is taken off.
    fn value(&mut self, types: &mut &[u8], depth: usize) -> Option<Value<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.values_left = self.values_left.checked_sub(1)?;
        let (kind, rest) = types.split_first()?;
        *types = rest;
        Some(match kind {
            b'y' => Value::Unsigned(u64::from(self.take(1)?[0])),
            b'b' => Value::Bool(self.word()? != 0),
            b'n' => Value::Signed(i64::from(self.half()? as i16)),
            b'q' => Value::Unsigned(u64::from(self.half()?)),
            b'i' => Value::Signed(i64::from(self.word()? as i32)),
            b'u' | b'h' => Value::Unsigned(u64::from(self.word()?)),
            b'x' => Value::Signed(self.double_word()? as i64),
            b't' => Value::Unsigned(self.double_word()?),
            b'd' => Value::Double(f64::from_bits(self.double_word()?)),
            b's' | b'o' => Value::Text(self.text()?),
            b'g' => Value::Text(self.signature()?),
            b'v' => {
                let mut inner = self.signature()?.as_bytes();
                let value = self.value(&mut inner, depth + 1)?;
                if !inner.is_empty() {
                    return None;
                }
                Value::Variant(Box::new(value))
            }
            b'a' => self.array(types, depth)?,
            b'(' => Value::List(self.members(types, b')', depth)?),
            b'{' => Value::List(self.members(types, b'}', depth)?),
            _ => return None,
        })
    }

    fn array(&mut self, types: &mut &[u8], depth: usize) -> Option<Value<'a>> {
        let len = self.word()? as usize;
        self.align(alignment(*types.first()?)?)?;
        if types.first() == Some(&b'y') {
            *types = &types[1..];
            return Some(Value::Bytes(self.take(len)?));
        }
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len())?;
        let element = *types;
        // The type is read once even when there is no element, to know where it ends.
        *types = &element[complete_type(element, 0)?..];
        let mut items = Vec::new();
        while self.at < end {
            items.push(self.value(&mut { element }, depth + 1)?);
        }
        (self.at == end).then_some(Value::List(items))
    }

    fn members(&mut self, types: &mut &[u8], close: u8, depth: usize) -> Option<Vec<Value<'a>>> {
        self.align(8)?;
        let mut members = Vec::new();
        loop {
            if *types.first()? == close {
                *types = &types[1..];
                // An empty struct is no type; without it each element of an array takes some bytes.
                return (!members.is_empty()).then_some(members);
            }
            members.push(self.value(types, depth + 1)?);
        }
    }

    fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.next_multiple_of(to);
        (self.at <= self.bytes.len()).then_some(())
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    fn half(&mut self) -> Option<u16> {
        self.align(2)?;
        let bytes = self.take(2)?.try_into().ok()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn word(&mut self) -> Option<u32> {
        self.align(4)?;
        let bytes = self.take(4)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn double_word(&mut self) -> Option<u64> {
        self.align(8)?;
        let bytes = self.take(8)?.try_into().ok()?;
        Some(if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.word()? as usize;
        self.terminated(len)
    }

    fn signature(&mut self) -> Option<&'a str> {
        let len = usize::from(self.take(1)?[0]);
        self.terminated(len)
    }

    fn terminated(&mut self, len: usize) -> Option<&'a str> {
        let bytes = self.take(len)?;
        (self.take(1)? == b"\0").then_some(())?;
        std::str::from_utf8(bytes).ok()
    }
}

/// How values of a type are aligned.
const fn alignment(kind: u8) -> Option<usize> {
    match kind {
        b'y' | b'g' | b'v' => Some(1),
        b'n' | b'q' => Some(2),
        b'b' | b'i' | b'u' | b'h' | b's' | b'o' | b'a' => Some(4),
        b'x' | b't' | b'd' | b'(' | b'{' => Some(8),
        _ => None,
    }
}

/// How many bytes the first complete type of `types` takes.
fn complete_type(types: &[u8], depth: usize) -> Option<usize> {
    if depth > MAX_DEPTH {
        return None;
    }
    let close = match types.first()? {
        b'a' => return Some(1 + complete_type(&types[1..], depth + 1)?),
        b'(' => b')',
        b'{' => b'}',
        kind => return alignment(*kind).map(|_| 1),
    };
    let mut at = 1;
    while *types.get(at)? != close {
        at += complete_type(&types[at..], depth + 1)?;
    }
    (at > 1).then_some(at + 1)
}

/// Writes values, always with the lower byte first.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(crate) fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn word(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.word(text.len() as u32);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    pub(crate) fn signature(&mut self, signature: &str) {
        self.bytes.push(signature.len() as u8);
        self.bytes.extend_from_slice(signature.as_bytes());
        self.bytes.push(0);
    }

    /// Puts `value` where a word of zero was written before.
    pub(crate) fn set_word(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read<'a>(signature: &str, bytes: &'a [u8]) -> Option<Vec<Value<'a>>> {
        Reader::new(bytes, false).values(signature)
    }

    #[test]
    fn a_message_of_too_many_values_is_not_read() {
        let array = |len: usize| [&((2 * len) as u32).to_le_bytes()[..], &vec![0; 2 * len]].concat();
        let count = |bytes: &[u8]| read("aq", bytes).map(|values| values[0].list().unwrap().len());
        assert_eq!(count(&array(MAX_VALUES - 1)), Some(MAX_VALUES - 1));
        assert_eq!(count(&array(MAX_VALUES)), None);
    }

    #[test]
    fn values_of_each_type() {
        let text = b"\x02\0\0\0hi\0";
        for (signature, bytes, value) in [
            ("y", &b"\x07"[..], Value::Unsigned(7)),
            ("b", b"\x01\0\0\0", Value::Bool(true)),
            ("n", b"\xff\xff", Value::Signed(-1)),
            ("q", b"\xff\xff", Value::Unsigned(65535)),
            ("i", b"\xfe\xff\xff\xff", Value::Signed(-2)),
            ("u", b"\x01\0\0\0", Value::Unsigned(1)),
            ("x", b"\xff\xff\xff\xff\xff\xff\xff\xff", Value::Signed(-1)),
            ("t", b"\x02\0\0\0\0\0\0\0", Value::Unsigned(2)),
            ("d", b"\0\0\0\0\0\0\xf8\x3f", Value::Double(1.5)),
            ("s", text, Value::Text("hi")),
            ("g", b"\x01s\0", Value::Text("s")),
            ("ay", b"\x02\0\0\0ab", Value::Bytes(b"ab")),
            ("aq", b"\x04\0\0\0\x01\0\x02\0", Value::List(vec![Value::Unsigned(1), Value::Unsigned(2)])),
            ("at", b"\0\0\0\0\0\0\0\0", Value::List(vec![])),
            ("a{sv}", b"\0\0\0\0\0\0\0\0", Value::List(vec![])),
            ("(yq)", b"\x01\0\x02\0", Value::List(vec![Value::Unsigned(1), Value::Unsigned(2)])),
            ("v", b"\x01y\0\x09", Value::Variant(Box::new(Value::Unsigned(9)))),
        ] {
            assert_eq!(read(signature, bytes), Some(vec![value]), "{signature}");
        }
        assert_eq!(Reader::new(b"\0\x01", true).values("q"), Some(vec![Value::Unsigned(1)]));
    }

    #[test]
    fn what_is_no_value() {
        for (signature, bytes) in [
            ("y", &b""[..]),
            ("s", b"\xff\xff\xff\xffhi\0"),
            ("s", b"\x02\0\0\0hi!"),
            ("s", b"\x01\0\0\0\xff\0"),
            ("aq", b"\x03\0\0\0\x01\0\x02\0"),
            ("aq", b"\xff\xff\xff\xff\x01\0\x02\0"),
            ("a", b"\0\0\0\0"),
            ("()", b""),
            ("a()", b"\x08\0\0\0\0\0\0\0"),
            ("(y", b"\x01"),
            ("v", b"\x02yy\0\x01"),
            ("z", b"\0\0\0\0"),
        ] {
            assert_eq!(read(signature, bytes), None, "{signature}");
        }
        let deep = "(".repeat(200) + "y" + &")".repeat(200);
        assert_eq!(read(&deep, b"\x01"), None);
        assert_eq!(read(&("a".repeat(200) + "y"), &[0; 1000]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            signature in "[ybnqiuxtdsogva(){}h]{0,12}",
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            big_endian in any::<bool>(),
        ) {
            let _ = Reader::new(&bytes, big_endian).values(&signature);
        }

        #[test]
        fn small_lengths_are_read_without_panic(
            signature in "(a?\\((s|q|v|ay|t){1,4}\\)|a\\{sv\\}|as|aas)",
            bytes in proptest::collection::vec(0_u8..12, 0..120),
        ) {
            let _ = Reader::new(&bytes, false).values(&signature);
        }
    }
}
