//! Integers, texts and labels as records have them. Takers never trust a length and leave `rest` behind
//! what they took.

use super::RecordError;
use skopos_base::varint;
use skopos_model::{Labels, LabelsBuilder};

pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], RecordError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(RecordError::Truncated)?;
    *rest = tail;
    Ok(*head)
}

pub(super) fn take_f64(rest: &mut &[u8]) -> Result<f64, RecordError> {
    Ok(f64::from_bits(u64::from_be_bytes(take(rest)?)))
}

#[inline]
pub(crate) fn take_uvarint(rest: &mut &[u8]) -> Result<u64, RecordError> {
    let Some((n, len)) = varint::uvarint(rest) else {
        let cut = rest.len() < varint::MAX_LEN && rest.iter().all(|b| *b >= 0x80);
        return Err(if cut { RecordError::Truncated } else { RecordError::Overflow });
    };
    *rest = &rest[len..];
    Ok(n)
}

#[inline]
pub(crate) fn take_varint(rest: &mut &[u8]) -> Result<i64, RecordError> {
    let n = take_uvarint(rest)?;
    Ok((n >> 1) as i64 ^ -((n & 1) as i64))
}

/// How many entries follow, of which each takes at least `entry_bytes`: never more than there is room for.
pub(super) fn take_count(rest: &mut &[u8], entry_bytes: usize) -> Result<usize, RecordError> {
    let count = usize::try_from(take_uvarint(rest)?).map_err(|_| RecordError::Truncated)?;
    if count > rest.len() / entry_bytes {
        return Err(RecordError::Truncated);
    }
    Ok(count)
}

/// The bytes behind their length.
pub(crate) fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], RecordError> {
    let len = usize::try_from(take_uvarint(rest)?).map_err(|_| RecordError::Truncated)?;
    let (bytes, tail) = rest.split_at_checked(len).ok_or(RecordError::Truncated)?;
    *rest = tail;
    Ok(bytes)
}

pub(super) fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, RecordError> {
    std::str::from_utf8(take_bytes(rest)?).map_err(|_| RecordError::NotUtf8)
}

pub(crate) fn take_labels(rest: &mut &[u8], builder: &mut LabelsBuilder) -> Result<Labels, RecordError> {
    builder.clear();
    for _ in 0..take_count(rest, 2)? {
        let name = take_text(rest)?;
        let value = take_text(rest)?;
        if name.is_empty() {
            return Err(RecordError::NoName);
        }
        builder.set(name, value);
    }
    Ok(builder.build())
}

pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    varint::put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    varint::put_uvarint(out, labels.len() as u64);
    for (name, value) in labels {
        push_text(out, name);
        push_text(out, value);
    }
}
