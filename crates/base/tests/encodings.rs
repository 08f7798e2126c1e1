//! The two encodings of the file formats: known values, round trips, and refusal of what is no number.

use proptest::prelude::*;
use skopos_base::{crc, varint};

#[test]
fn crc32c_gives_the_values_of_rfc_3720() {
    let ascending: Vec<u8> = (0..32).collect();
    let descending: Vec<u8> = (0..32).rev().collect();
    for (bytes, expected) in [
        (&[][..], 0),
        (b"123456789", 0xE306_9283),
        (&[0; 32], 0x8A91_36AA),
        (&[0xFF; 32], 0x62A8_AB43),
        (&ascending, 0x46DD_794E),
        (&descending, 0x113F_DB5C),
    ] {
        assert_eq!(crc::crc32c(bytes), expected, "{bytes:?}");
        for cut in 0..=bytes.len() {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(crc::crc32c_append(crc::crc32c(a), b), expected, "{bytes:?} cut at {cut}");
        }
    }
}

#[test]
fn unsigned_numbers_are_written_as_go_writes_them() {
    for (value, expected) in [
        (0, &[0][..]),
        (1, &[1]),
        (127, &[0x7f]),
        (128, &[0x80, 1]),
        (300, &[0xac, 2]),
        (16_383, &[0xff, 0x7f]),
        (16_384, &[0x80, 0x80, 1]),
        (u64::from(u32::MAX), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (1 << 63, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]),
        (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
    ] {
        let mut out = Vec::new();
        varint::put_uvarint(&mut out, value);
        assert_eq!(out, expected, "{value}");
        assert_eq!(varint::uvarint(&out), Some((value, expected.len())), "{value}");
    }
}

#[test]
fn signed_numbers_are_written_as_go_writes_them() {
    for (value, expected) in [
        (0, &[0][..]),
        (-1, &[1]),
        (1, &[2]),
        (-2, &[3]),
        (63, &[0x7e]),
        (-64, &[0x7f]),
        (64, &[0x80, 1]),
        (-65, &[0x81, 1]),
        (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
    ] {
        let mut out = Vec::new();
        varint::put_varint(&mut out, value);
        assert_eq!(out, expected, "{value}");
        assert_eq!(varint::varint(&out), Some((value, expected.len())), "{value}");
    }
}

#[test]
fn what_is_no_number_is_refused() {
    for bytes in [
        &[][..],
        &[0x80],
        &[0xff, 0xff],
        // Nine bytes that all say that more follows.
        &[0x80; 9],
        // The tenth byte has room for one bit.
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        &[0x80; 10],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
    ] {
        assert_eq!(varint::uvarint(bytes), None, "{bytes:?}");
        assert_eq!(varint::varint(bytes), None, "{bytes:?}");
    }
    // Longer than need be, but a number: Go reads it as well.
    assert_eq!(varint::uvarint(&[0x80, 0x00, 7]), Some((0, 2)));
}

proptest! {
    #[test]
    fn every_unsigned_number_comes_back(value: u64, shift in 0_u32..64, rest: Vec<u8>) {
        let value = value >> shift;
        let mut out = Vec::new();
        varint::put_uvarint(&mut out, value);
        prop_assert_eq!(out.len(), varint::uvarint_len(value));
        for cut in 0..out.len() {
            prop_assert_eq!(varint::uvarint(&out[..cut]), None);
        }
        let len = out.len();
        out.extend(rest);
        prop_assert_eq!(varint::uvarint(&out), Some((value, len)));
    }

    #[test]
    fn every_signed_number_comes_back(value: i64, shift in 0_u32..64) {
        let value = value >> shift;
        let mut out = Vec::new();
        varint::put_varint(&mut out, value);
        prop_assert_eq!(out.len(), varint::varint_len(value));
        prop_assert_eq!(varint::varint(&out), Some((value, out.len())));
    }

    #[test]
    fn any_bytes_are_a_number_or_refused(bytes: Vec<u8>) {
        if let Some((value, n)) = varint::uvarint(&bytes) {
            prop_assert!(n <= bytes.len() && n <= varint::MAX_LEN);
            prop_assert!(varint::uvarint_len(value) <= n);
        }
    }
}
