//! Bits in chunks: looking them up, appending them, and the variable-length forms that several encodings
//! share. Knows no sample and no layout.

/// How many bits of a looked-up word are surely the chunk's.
pub(crate) const WORD_BITS: u32 = 57;
/// Stands for "no window of significant bits was written yet".
pub(crate) const NO_WINDOW: u8 = u8::MAX;
/// Leading zeros are written in five bits.
const MAX_LEADING: u32 = 31;
/// The numbers of bits that an integer's forms have, the form being the number of ones in front.
const VARBIT_LENS: [u32; 8] = [3, 6, 9, 12, 18, 25, 56, 64];
/// A buffer grows by at least this, and else by a quarter: a million encoders live at once, so that
/// room to spare costs more than another copy of some hundred bytes.
const MIN_GROWTH: usize = 24;

/// The bits from `bit` on, the first one highest: `WORD_BITS` or more. Behind the end stand zeros.
#[inline(always)]
pub(crate) fn word_at(bytes: &[u8], bit: usize) -> u64 {
    let at = bit / 8;
    let word = match bytes.get(at..at + 8) {
        Some(eight) => eight.try_into().map_or(0, u64::from_be_bytes),
        None => word_at_end(bytes, at),
    };
    word << (bit % 8)
}

#[cold]
#[inline(never)]
fn word_at_end(bytes: &[u8], at: usize) -> u64 {
    match bytes.last_chunk::<8>() {
        // The last eight bytes without those before `at`.
        Some(eight) => {
            let before = at + 8 - bytes.len();
            u64::from_be_bytes(*eight).checked_shl(8 * before as u32).unwrap_or(0)
        }
        None => {
            let mut eight = [0; 8];
            for (to, from) in eight.iter_mut().zip(bytes.iter().skip(at)) {
                *to = *from;
            }
            u64::from_be_bytes(eight)
        }
    }
}

/// `len` bits from `bit` on, 1 to 64.
#[inline(always)]
pub(crate) fn read_long(bytes: &[u8], bit: usize, len: u32) -> u64 {
    let high = word_at(bytes, bit) >> 32;
    let low = word_at(bytes, bit + 32) >> 32;
    ((high << 32) | low) >> (64 - len)
}

/// Appends the lowest `len` bits of `bits`, of which the higher ones are 0. `len` is 1 to 120. `used` is
/// how many bits of the last byte are taken; 0 when all are.
pub(crate) fn put(buf: &mut Vec<u8>, used: &mut u8, bits: u128, len: u32) {
    let before = u32::from(*used);
    let mut word = bits << (128 - before - len);
    if before > 0
        && let Some(last) = buf.pop()
    {
        word |= u128::from(last) << 120;
    }
    let end = before + len;
    let bytes = end.div_ceil(8) as usize;
    grow_for(buf, bytes);
    buf.extend_from_slice(&word.to_be_bytes()[..bytes]);
    *used = (end % 8) as u8;
}

/// Makes room for so many bytes more.
pub(crate) fn grow_for(buf: &mut Vec<u8>, bytes: usize) {
    if buf.capacity() - buf.len() < bytes {
        buf.reserve_exact(bytes.max(MIN_GROWTH).max(buf.capacity() / 4));
    }
}

/// The form of a value that differs by `xor` from the one before, as bits and their number (at most 77).
pub(crate) fn xor_form(xor: u64, window_leading: &mut u8, window_trailing: &mut u8) -> (u128, u32) {
    let XorParts { head, head_len, significant, significant_len } =
        xor_parts(xor, window_leading, window_trailing);
    ((u128::from(head) << significant_len) | u128::from(significant), head_len + significant_len)
}

/// The form of a value: the bits that say how it is written, at most 13, and its own, at most 64.
#[derive(Clone, Copy, Debug)]
pub(crate) struct XorParts {
    pub(crate) head: u64,
    pub(crate) head_len: u32,
    pub(crate) significant: u64,
    pub(crate) significant_len: u32,
}

/// The same in two parts, each of which a word has room for.
#[inline(always)]
pub(crate) fn xor_parts(xor: u64, window_leading: &mut u8, window_trailing: &mut u8) -> XorParts {
    if xor == 0 {
        return XorParts { head: 0, head_len: 1, significant: 0, significant_len: 0 };
    }
    let leading = xor.leading_zeros().min(MAX_LEADING) as u8;
    let trailing = xor.trailing_zeros() as u8;
    if *window_leading != NO_WINDOW && leading >= *window_leading && trailing >= *window_trailing {
        let significant_len = u32::from(64 - *window_leading - *window_trailing);
        return XorParts { head: 0b10, head_len: 2, significant: xor >> *window_trailing, significant_len };
    }
    (*window_leading, *window_trailing) = (leading, trailing);
    let len = 64 - leading - trailing;
    // 64 has no room in six bits and is written as 0, which no value needs.
    let head = (0b11 << 11) | (u64::from(leading) << 6) | u64::from(len & 63);
    XorParts { head, head_len: 13, significant: xor >> trailing, significant_len: u32::from(len) }
}

/// The float before, as bits, and the window of significant bits that the next one can reuse.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Xored {
    pub(crate) bits: u64,
    pub(crate) leading: u8,
    pub(crate) trailing: u8,
}

impl Xored {
    /// A first value, before any window.
    pub(crate) const fn first(bits: u64) -> Self {
        Self { bits, leading: NO_WINDOW, trailing: 0 }
    }

    pub(crate) const fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// Takes over a window as it was read; gives its number of significant bits, or both numbers when they
    /// are more than a float has.
    pub(crate) fn set_window(&mut self, leading: u32, significant: u32) -> Result<u32, Window> {
        // 64 significant bits are written as 0.
        let significant = significant.wrapping_sub(1) % 64 + 1;
        if leading + significant > 64 {
            return Err(Window { leading: leading as u8, significant: significant as u8 });
        }
        self.leading = leading as u8;
        self.trailing = (64 - leading - significant) as u8;
        Ok(significant)
    }

    /// How many bits a value takes that reuses the window; all 64 before the first.
    pub(crate) fn significant(&self) -> u32 {
        if self.leading == NO_WINDOW { 64 } else { u32::from(64 - self.leading - self.trailing) }
    }
}

/// A window that no float has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) leading: u8,
    pub(crate) significant: u8,
}

/// Reads bits one form after the other. Behind the end it reads zeros, so that one look at `is_over` after
/// several forms is enough.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// The next bit, counted from the start of `bytes`.
    pub(crate) bit: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) const fn new(bytes: &'a [u8], bit: usize) -> Self {
        Self { bytes, bit }
    }

    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether more was read than there is.
    pub(crate) const fn is_over(&self) -> bool {
        self.bit > self.bytes.len() * 8
    }

    pub(crate) const fn bits_left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.bit)
    }

    /// The next bits, the first one highest: `WORD_BITS` or more.
    #[inline(always)]
    pub(crate) fn peek(&self) -> u64 {
        word_at(self.bytes, self.bit)
    }

    /// The next `len` bits, 1 to 64.
    #[inline(always)]
    pub(crate) fn take(&mut self, len: u32) -> u64 {
        let bits = read_long(self.bytes, self.bit, len);
        self.bit += len as usize;
        bits
    }

    /// The bits of an integer's form, and their number; 0 of them stand for 0.
    #[inline(always)]
    fn take_form(&mut self) -> (u64, u32) {
        let word = self.peek();
        let ones = word.leading_ones();
        if ones == 0 {
            self.bit += 1;
            return (0, 0);
        }
        let len = VARBIT_LENS[ones.min(8) as usize - 1];
        let prefix = (ones + 1).min(8);
        let bits = if prefix + len < WORD_BITS {
            (word << prefix) >> (64 - len)
        } else {
            read_long(self.bytes, self.bit + prefix as usize, len)
        };
        self.bit += (prefix + len) as usize;
        (bits, len)
    }

    #[inline(always)]
    pub(crate) fn take_unsigned(&mut self) -> u64 {
        self.take_form().0
    }

    #[inline(always)]
    pub(crate) fn take_signed(&mut self) -> i64 {
        let (bits, len) = self.take_form();
        if len == 0 || len == 64 {
            return bits as i64;
        }
        // Each range is off the middle by one: only more than half of it is negative.
        let bits = bits as i64;
        if bits > 1 << (len - 1) { bits - (1 << len) } else { bits }
    }

    /// Reads the value behind `last` into it.
    #[inline(always)]
    pub(crate) fn take_xor(&mut self, last: &mut Xored) -> Result<(), Window> {
        let word = self.peek();
        if word >> 63 == 0 {
            self.bit += 1;
            return Ok(());
        }
        let significant = if word >> 62 == 0b10 {
            self.bit += 2;
            last.significant()
        } else {
            let significant = last.set_window((word >> 57) as u32 & 31, (word >> 51) as u32 & 63)?;
            self.bit += 13;
            significant
        };
        last.bits ^= self.take(significant) << last.trailing;
        Ok(())
    }

    /// An integer in bytes that need not begin at one. None when it has more than 64 bits.
    pub(crate) fn take_varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(8);
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Some(value)
    }

    /// The same in zigzag form.
    pub(crate) fn take_zigzag(&mut self) -> Option<i64> {
        self.take_varint().map(|value| (value >> 1) as i64 ^ -((value & 1) as i64))
    }
}

/// Appends bits one form after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    pub(crate) buf: Vec<u8>,
    /// How many bits of the last byte are taken; 0 when all are.
    pub(crate) used: u8,
}

impl BitWriter {
    pub(crate) const fn new() -> Self {
        Self { buf: Vec::new(), used: 0 }
    }

    /// Goes on behind the first `end_bit` bits.
    pub(crate) fn behind(bytes: &[u8], end_bit: usize) -> Self {
        let mut buf = bytes[..end_bit.div_ceil(8)].to_vec();
        let used = (end_bit % 8) as u8;
        if used > 0
            && let Some(last) = buf.last_mut()
        {
            // Later bits are put in with OR.
            *last &= 0xff << (8 - used);
        }
        Self { buf, used }
    }

    pub(crate) fn put(&mut self, bits: u128, len: u32) {
        put(&mut self.buf, &mut self.used, bits, len);
    }

    pub(crate) fn put_unsigned(&mut self, value: u64) {
        if value == 0 {
            return self.put(0, 1);
        }
        let len = u64::BITS - value.leading_zeros();
        self.put_form(VARBIT_LENS.iter().position(|l| len <= *l).unwrap_or(7), u128::from(value));
    }

    pub(crate) fn put_signed(&mut self, value: i64) {
        if value == 0 {
            return self.put(0, 1);
        }
        // n bits hold from -(2^(n-1) - 1) to 2^(n-1).
        let fits = |len: u32| len == 64 || (1 - (1i64 << (len - 1))..=1i64 << (len - 1)).contains(&value);
        self.put_form(VARBIT_LENS.iter().position(|l| fits(*l)).unwrap_or(7), u128::from(value as u64));
    }

    fn put_form(&mut self, form: usize, value: u128) {
        let len = VARBIT_LENS[form];
        let ones = form as u32 + 1;
        let prefix = (ones + 1).min(8);
        let head = ((1u128 << ones) - 1) << (prefix - ones);
        self.put((head << len) | (value & ((1 << len) - 1)), prefix + len);
    }

    /// An integer in zigzag form, in bytes that need not begin at one.
    pub(crate) fn put_zigzag(&mut self, value: i64) {
        let mut rest = (value << 1 ^ value >> 63) as u64;
        while rest >= 0x80 {
            self.put(u128::from(rest & 0x7f | 0x80), 8);
            rest >>= 7;
        }
        self.put(u128::from(rest), 8);
    }

    pub(crate) fn put_xor(&mut self, last: &mut Xored, bits: u64) {
        let (form, len) = xor_form(bits ^ last.bits, &mut last.leading, &mut last.trailing);
        self.put(form, len);
        last.bits = bits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back_in_the_shortest_form() {
        for (value, len) in [
            (0, 1usize),
            (-3, 5),
            (4, 5),
            (5, 9),
            (-4, 9),
            (32, 9),
            (33, 13),
            (-255, 13),
            (2048, 17),
            (-2048, 24),
            (131_072, 24),
            (131_073, 32),
            (-(1 << 24), 64),
            (1 << 24, 32),
            (1 << 55, 64),
            ((1 << 55) + 1, 72),
            (i64::MIN, 72),
            (i64::MAX, 72),
        ] {
            for offset in 0..8 {
                let mut out = BitWriter::new();
                (0..offset).for_each(|_| out.put(1, 1));
                out.put_signed(value);
                assert_eq!(out.buf.len(), (offset + len).div_ceil(8));
                let mut reader = BitReader::new(&out.buf, offset);
                assert_eq!(
                    (reader.take_signed(), reader.bit, reader.is_over()),
                    (value, offset + len, false)
                );
            }
        }
        for (value, len) in [(0, 1), (7, 5), (8, 9), (511, 13), (4095, 17), (262_143, 24), (33_554_431, 32)] {
            let mut out = BitWriter::new();
            out.put_unsigned(value);
            let mut reader = BitReader::new(&out.buf, 0);
            assert_eq!((reader.take_unsigned(), reader.bit), (value, len));
        }
        for value in [33_554_432, (1 << 56) - 1, 1 << 56, u64::MAX] {
            let mut out = BitWriter::new();
            out.put_unsigned(value);
            assert_eq!(BitReader::new(&out.buf, 0).take_unsigned(), value);
        }
    }

    #[test]
    fn zigzag_integers_come_back_wherever_they_begin() {
        for value in [0, -1, 1, 63, 64, -64, -65, 1000, i64::MAX, i64::MIN] {
            for offset in 0..8 {
                let mut out = BitWriter::new();
                (0..offset).for_each(|_| out.put(1, 1));
                out.put_zigzag(value);
                out.put(1, 1);
                let mut reader = BitReader::new(&out.buf, offset);
                assert_eq!((reader.take_zigzag(), reader.take(1)), (Some(value), 1));
            }
        }
    }

    #[test]
    fn zigzag_integers_of_more_than_64_bits_are_none() {
        assert_eq!(BitReader::new(&[0xd0, 0x0f], 0).take_zigzag(), Some(1000));
        assert_eq!(BitReader::new(&[0xff; 12], 3).take_zigzag(), None);
    }
}
