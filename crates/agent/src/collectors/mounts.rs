//! Reading `mountinfo`: which file system is mounted where.

use crate::scan;
use std::borrow::Cow;

/// A mounted file system, as the kernel says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount<'a> {
    /// The number of the device, `major:minor`.
    pub(crate) major: u64,
    pub(crate) minor: u64,
    /// Where it is mounted; escapes are undone.
    pub(crate) mount_point: Cow<'a, [u8]>,
    /// The type of file system.
    pub(crate) fs_type: &'a [u8],
    /// The device, as the kernel writes it.
    pub(crate) device: &'a [u8],
    /// Whether the mount or the file system itself may only be read.
    pub(crate) read_only: bool,
    /// The options of the file system itself, with commas between them.
    pub(crate) options: &'a [u8],
}

/// A line of `mountinfo`, as proc(5) describes it:
/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`.
/// Between the options and the dash stand any number of fields.
pub(crate) fn parse(line: &[u8]) -> Option<Mount<'_>> {
    let mut fields = scan::fields(line);
    fields.number()?;
    fields.number()?;
    let (major, minor) = scan::split_at(fields.next()?, b':')?;
    fields.next()?;
    let mount_point = fields.next()?;
    let options = fields.next()?;
    fields.by_ref().find(|field| *field == b"-")?;
    let fs_type = fields.next()?;
    let device = fields.next()?;
    // Some file systems have no options of their own.
    let super_options = fields.next().unwrap_or_default();
    Some(Mount {
        major: scan::number(major)?,
        minor: scan::number(minor)?,
        mount_point: unescape(mount_point),
        fs_type,
        device,
        read_only: has_ro(options) || has_ro(super_options),
        options: super_options,
    })
}

fn has_ro(options: &[u8]) -> bool {
    options.split(|b| *b == b',').any(|option| option == b"ro")
}

/// The kernel writes blanks, tabs, line feeds and backslashes as three octal digits behind a backslash.
pub(crate) fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] if *byte == b'\\' => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                plain.push(*byte);
                rest = tail;
            }
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_mountinfo() {
        let plain = parse(b"22 27 0:21 / /proc rw,relatime - proc proc rw").unwrap();
        assert_eq!((plain.major, plain.minor, plain.read_only), (0, 21, false));
        assert_eq!(
            (&*plain.mount_point, plain.fs_type, plain.device),
            (&b"/proc"[..], &b"proc"[..], &b"proc"[..])
        );
        for (line, mount_point, read_only) in [
            ("1 2 98:0 / /a\\040b\\011c\\134 rw shared:1 master:2 - ext3 /dev/root rw", "/a b\tc\\", false),
            ("1 2 98:0 / /mnt ro,nosuid - ext4 /dev/sda rw", "/mnt", true),
            ("1 2 98:0 / /mnt rw - ext4 /dev/sda ro,errors=remount-ro", "/mnt", true),
            ("1 2 98:0 / /mnt rw,errors=remount-ro - ext4 /dev/sda", "/mnt", false),
            ("1 2 98:0 / /x\\04 rw - ext4 /dev/sda rw", "/x\\04", false),
        ] {
            let mount = parse(line.as_bytes()).unwrap();
            assert_eq!((&*mount.mount_point, mount.read_only), (mount_point.as_bytes(), read_only), "{line}");
        }
        for line in ["", "1 2 98:0 / /mnt rw ext4 /dev/sda rw", "1 2 980 / /mnt rw - ext4 /dev/sda rw", "a"] {
            assert_eq!(parse(line.as_bytes()), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..160)) {
            parse(&line);
        }

        #[test]
        fn escapes_of_any_text_are_undone(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut escaped = Vec::new();
            for byte in &text {
                if matches!(byte, b' ' | b'\t' | b'\n' | b'\\') {
                    escaped.extend_from_slice(format!("\\{byte:03o}").as_bytes());
                } else {
                    escaped.push(*byte);
                }
            }
            prop_assert_eq!(unescape(&escaped).into_owned(), text);
        }
    }
}
