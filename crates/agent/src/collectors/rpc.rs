//! Part of `nfs` and `nfsd`: the lines of the kernel's statistics of remote procedure calls, and the names of
//! the procedures.

use crate::{error::CollectError, scan, source::File, table::Table};

/// A version of the protocol: its line, what it is called, its procedures in the kernel's order.
pub(super) type Version = (&'static str, &'static str, &'static [&'static str]);

/// The numbers of the line `key`, if there is such a line.
pub(super) fn numbers(file: &File, key: &str) -> Result<Option<Vec<u64>>, CollectError> {
    numbers_in(file.lines()?, key).map_err(|line| file.bad_line(line, "numbers are expected"))
}

/// As `numbers`; `Err` with the line when it has other than numbers.
fn numbers_in<'a>(lines: impl Iterator<Item = &'a [u8]>, key: &str) -> Result<Option<Vec<u64>>, &'a [u8]> {
    for line in lines {
        let mut fields = scan::fields(line);
        if fields.next() == Some(key.as_bytes()) {
            let numbers: Option<Vec<u64>> = fields.map(scan::number).collect();
            return numbers.map(Some).ok_or(line);
        }
    }
    Ok(None)
}

/// Puts the procedures of these versions into `requests`, with the labels procedure and version. An older
/// kernel has no counters of newer procedures.
pub(super) fn read_requests(
    file: &File,
    versions: &[Version],
    requests: &mut Table,
    is_shown: fn(&str) -> bool,
) -> Result<(), CollectError> {
    requests.clear();
    for (key, version, names) in versions {
        let Some(numbers) = numbers(file, key)? else { continue };
        let counters = procedures(&numbers)
            .ok_or_else(|| file.malformed(format_args!("the line {key} has another length")))?;
        for (at, name) in names.iter().enumerate().filter(|(_, name)| is_shown(name)) {
            let count = counters.get(at).copied().unwrap_or(0);
            requests.row(&[name, version])[0] = Some(count as f64);
        }
    }
    Ok(())
}

/// The counters of a line of procedures: how many there are, and then they themselves. `None` when there are
/// more or fewer.
fn procedures(numbers: &[u64]) -> Option<&[u64]> {
    let (count, counters) = numbers.split_first()?;
    (usize::try_from(*count) == Ok(counters.len())).then_some(counters)
}

/// The procedures of NFS 2, in the kernel's order.
pub(super) const V2: &[&str] = &[
    "Null", "GetAttr", "SetAttr", "Root", "Lookup", "ReadLink", "Read", "WrCache", "Write", "Create",
    "Remove", "Rename", "Link", "SymLink", "MkDir", "RmDir", "ReadDir", "FsStat",
];

/// The procedures of NFS 3, in the kernel's order.
pub(super) const V3: &[&str] = &[
    "Null",
    "GetAttr",
    "SetAttr",
    "Lookup",
    "Access",
    "ReadLink",
    "Read",
    "Write",
    "Create",
    "MkDir",
    "SymLink",
    "MkNod",
    "Remove",
    "RmDir",
    "Rename",
    "Link",
    "ReadDir",
    "ReadDirPlus",
    "FsStat",
    "FsInfo",
    "PathConf",
    "Commit",
];

/// The procedures of NFS 4 that a client calls, in the kernel's order.
pub(super) const V4_CLIENT: &[&str] = &[
    "Null",
    "Read",
    "Write",
    "Commit",
    "Open",
    "OpenConfirm",
    "OpenNoattr",
    "OpenDowngrade",
    "Close",
    "Setattr",
    "FsInfo",
    "Renew",
    "SetClientID",
    "SetClientIDConfirm",
    "Lock",
    "Lockt",
    "Locku",
    "Access",
    "Getattr",
    "Lookup",
    "LookupRoot",
    "Remove",
    "Rename",
    "Link",
    "Symlink",
    "Create",
    "Pathconf",
    "StatFs",
    "ReadLink",
    "ReadDir",
    "ServerCaps",
    "DelegReturn",
    "GetACL",
    "SetACL",
    "FsLocations",
    "ReleaseLockowner",
    "Secinfo",
    "FsidPresent",
    "ExchangeID",
    "CreateSession",
    "DestroySession",
    "Sequence",
    "GetLeaseTime",
    "ReclaimComplete",
    "GetDeviceInfo",
    "LayoutGet",
    "LayoutCommit",
    "LayoutReturn",
    "SecinfoNoName",
    "TestStateID",
    "FreeStateID",
    "GetDeviceList",
    "BindConnToSession",
    "DestroyClientID",
    "Seek",
    "Allocate",
    "DeAllocate",
    "LayoutStats",
    "Clone",
];

/// The operations of NFS 4 that a server does, in the kernel's order. Those without a name are not shown.
pub(super) const V4_SERVER: &[&str] = &[
    "",
    "",
    "",
    "Access",
    "Close",
    "Commit",
    "Create",
    "DelegPurge",
    "DelegReturn",
    "GetAttr",
    "GetFH",
    "Link",
    "Lock",
    "Lockt",
    "Locku",
    "Lookup",
    "LookupRoot",
    "Nverify",
    "Open",
    "OpenAttr",
    "OpenConfirm",
    "OpenDgrd",
    "PutFH",
    "",
    "",
    "Read",
    "ReadDir",
    "ReadLink",
    "Remove",
    "Rename",
    "Renew",
    "RestoreFH",
    "SaveFH",
    "SecInfo",
    "SetAttr",
    "",
    "",
    "Verify",
    "Write",
    "RelLockOwner",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_their_numbers() {
        let text = b"net 1 2\nth 8 0 0.000\nproc2 2 5 6\n";
        for (key, numbers_of_line) in
            [("net", Ok(Some(vec![1, 2]))), ("th", Err(&b"th 8 0 0.000"[..])), ("ra", Ok(None))]
        {
            assert_eq!(numbers_in(scan::lines(text), key), numbers_of_line, "{key}");
        }
        assert_eq!(procedures(&[2, 5, 6]), Some(&[5, 6][..]));
        for wrong in [&[][..], &[2, 5], &[1, 5, 6], &[u64::MAX]] {
            assert_eq!(procedures(wrong), None, "{wrong:?}");
        }
    }
}
