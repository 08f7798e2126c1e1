//! CRC-32C (Castagnoli, RFC 3720 appendix B.4), the checksum of every file format here. Never used against
//! forgery: it finds accidents only.

/// The checksum of `bytes`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    ::crc32c::crc32c(bytes)
}

/// The checksum of the bytes that `crc` is of, followed by `bytes`.
#[inline]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    ::crc32c::crc32c_append(crc, bytes)
}
