//! The wire format of protocol buffers, as far as remote write and read use it. Knows no message.

/// A message being written.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn uint(&mut self, field: u32, value: u64) {
        self.tag(field, 0);
        varint(&mut self.0, value);
    }

    /// `int64`: two's complement.
    pub(super) fn int(&mut self, field: u32, value: i64) {
        self.uint(field, value as u64);
    }

    /// `sint32` and `sint64`.
    pub(super) fn sint(&mut self, field: u32, value: i64) {
        self.uint(field, zigzag(value));
    }

    pub(super) fn double_bits(&mut self, field: u32, bits: u64) {
        self.tag(field, 1);
        self.0.extend_from_slice(&bits.to_le_bytes());
    }

    pub(super) fn double(&mut self, field: u32, value: f64) {
        self.double_bits(field, value.to_bits());
    }

    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, 2);
        varint(&mut self.0, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn message(&mut self, field: u32, message: &Message) {
        self.bytes(field, &message.0);
    }

    pub(super) fn packed_uints(&mut self, field: u32, values: impl IntoIterator<Item = u64>) {
        let mut packed = Vec::new();
        values.into_iter().for_each(|value| varint(&mut packed, value));
        self.bytes(field, &packed);
    }

    pub(super) fn packed_sints(&mut self, field: u32, values: impl IntoIterator<Item = i64>) {
        self.packed_uints(field, values.into_iter().map(zigzag));
    }

    pub(super) fn packed_doubles(&mut self, field: u32, values: &[f64]) {
        let packed: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.bytes(field, &packed);
    }

    fn tag(&mut self, field: u32, kind: u64) {
        varint(&mut self.0, u64::from(field) << 3 | kind);
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field of a message that is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Field::Number(number) => Some(number),
            Field::Bytes(_) => None,
        }
    }

    pub(super) fn sint(self) -> Option<i64> {
        self.number().map(unzigzag)
    }

    pub(super) fn double(self) -> Option<f64> {
        self.number().map(f64::from_bits)
    }

    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Field::Bytes(bytes) => Some(bytes),
            Field::Number(_) => None,
        }
    }

    pub(super) fn text(self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

/// The fields of `message` in order.
pub(super) fn fields(message: &[u8]) -> Option<Vec<(u32, Field<'_>)>> {
    let mut rest = message;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let tag = take_varint(&mut rest)?;
        let field = match tag & 7 {
            0 => Field::Number(take_varint(&mut rest)?),
            1 => {
                let (bytes, behind) = rest.split_first_chunk()?;
                rest = behind;
                Field::Number(u64::from_le_bytes(*bytes))
            }
            2 => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                let (bytes, behind) = rest.split_at_checked(length)?;
                rest = behind;
                Field::Bytes(bytes)
            }
            _ => return None,
        };
        all.push((u32::try_from(tag >> 3).ok()?, field));
    }
    Some(all)
}

/// Packed numbers of type `sint64`.
pub(super) fn unpack_sints(mut packed: &[u8]) -> Option<Vec<i64>> {
    let mut all = Vec::new();
    while !packed.is_empty() {
        all.push(unzigzag(take_varint(&mut packed)?));
    }
    Some(all)
}

/// Packed floats.
pub(super) fn unpack_doubles(packed: &[u8]) -> Option<Vec<f64>> {
    let (doubles, rest) = packed.as_chunks();
    rest.is_empty().then(|| doubles.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_they_were_written() {
        let mut message = Message::default();
        message.uint(1, u64::MAX);
        message.int(2, -1);
        message.sint(3, i64::MIN);
        message.double(4, -0.0);
        message.bytes(99, b"abc");
        message.packed_sints(5, [0, -1, 1, i64::MAX]);
        message.packed_doubles(6, &[1.5, f64::INFINITY]);
        let bytes = message.finish();
        let all = fields(&bytes).unwrap();
        let numbers: Vec<u32> = all.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 99, 5, 6]);
        assert_eq!((all[0].1.number(), all[1].1.number()), (Some(u64::MAX), Some(u64::MAX)));
        assert_eq!((all[2].1.sint(), all[3].1.double().map(f64::to_bits)), (Some(i64::MIN), Some(1 << 63)));
        assert_eq!(all[4].1.text().as_deref(), Some("abc"));
        assert_eq!(unpack_sints(all[5].1.bytes().unwrap()), Some(vec![0, -1, 1, i64::MAX]));
        assert_eq!(unpack_doubles(all[6].1.bytes().unwrap()), Some(vec![1.5, f64::INFINITY]));
        for cut in 1..bytes.len() {
            assert!(fields(&bytes[..cut]).is_none_or(|some| some.len() < all.len()), "cut at {cut}");
        }
    }
}
