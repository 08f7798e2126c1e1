//! A folder as one compressed file: `.tar.gz` as every `tar` reads it, the same bytes for the same folder.
//! What a file holds as zeros up to its end takes no room, in the archive and after unpacking. Keeps no
//! owners and times.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// The unit of a tar file.
const BLOCK: usize = 512;
/// The longest name that stands in a header.
const NAME_BYTES: usize = 100;

/// Compresses all that is below `folder`.
///
/// # Errors
/// If a file cannot be read, or a name is too long or not UTF-8.
pub fn pack(folder: &Path) -> io::Result<Vec<u8>> {
    let mut tar = Vec::new();
    add_folder(&mut tar, folder, "")?;
    tar.resize(tar.len() + 2 * BLOCK, 0);
    compress(&tar)
}

/// Writes what `archive` holds into `folder`, which must be there.
///
/// # Errors
/// If `archive` is not of `pack`, or a file cannot be written.
pub fn unpack(archive: &[u8], folder: &Path) -> io::Result<()> {
    let tar = decompress(archive)?;
    let mut rest = tar.as_slice();
    let mut size_of_next = None;
    while let Some((header, behind)) = rest.split_at_checked(BLOCK) {
        let Some(entry) = Entry::read(header)? else { return Ok(()) };
        let stored = entry.stored_bytes;
        let content = behind.get(..stored).ok_or_else(|| broken("ends within a file"))?;
        rest = behind.get(stored.next_multiple_of(BLOCK)..).ok_or_else(|| broken("ends within a file"))?;
        let path = folder.join(&entry.name);
        match entry.kind {
            b'5' => fs::create_dir_all(path)?,
            b'x' => size_of_next = Some(sparse_size(content)?),
            _ => {
                let file = File::create(path)?;
                (&file).write_all(content)?;
                file.set_len(size_of_next.take().unwrap_or(stored as u64))?;
            }
        }
    }
    Err(broken("has no end"))
}

/// Compresses bytes as `gzip` does, the same for the same bytes.
///
/// # Errors
/// Never in fact: memory is written.
pub fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::best());
    out.write_all(bytes)?;
    out.finish()
}

/// Reverses `compress`.
///
/// # Errors
/// If `bytes` are damaged.
pub fn decompress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut out)?;
    Ok(out)
}

fn add_folder(tar: &mut Vec<u8>, folder: &Path, prefix: &str) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().map_err(|_| broken("has a name that is no text"))?;
        let name = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            let name = format!("{name}/");
            add_header(tar, &name, b'5', 0)?;
            add_folder(tar, &entry.path(), &name)?;
        } else {
            add_file(tar, &name, &fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

fn add_file(tar: &mut Vec<u8>, name: &str, content: &[u8]) -> io::Result<()> {
    let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if used == content.len() {
        add_header(tar, name, b'0', used)?;
        add_content(tar, content);
        return Ok(());
    }
    // GNU tar's words for a file with a hole, here one at the end.
    let records: String = [
        ("GNU.sparse.size", content.len().to_string()),
        ("GNU.sparse.numblocks", "2".to_owned()),
        ("GNU.sparse.map", format!("0,{used},{},0", content.len())),
    ]
    .iter()
    .map(|(key, value)| pax_record(key, value))
    .collect();
    add_header(tar, "sparse", b'x', records.len())?;
    add_content(tar, records.as_bytes());
    add_header(tar, name, b'0', used)?;
    add_content(tar, &content[..used]);
    Ok(())
}

/// `LENGTH KEY=VALUE\n`, where the length counts all of it.
fn pax_record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while length < rest.len() + length.to_string().len() {
        length += 1;
    }
    format!("{length}{rest}")
}

fn sparse_size(records: &[u8]) -> io::Result<u64> {
    let text = String::from_utf8_lossy(records);
    let size = text.lines().find_map(|line| line.split_once(" GNU.sparse.size=")?.1.parse().ok());
    size.ok_or_else(|| broken("has a file whose size is missing"))
}

fn add_content(tar: &mut Vec<u8>, content: &[u8]) {
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
}

fn add_header(tar: &mut Vec<u8>, name: &str, kind: u8, size: usize) -> io::Result<()> {
    if name.len() >= NAME_BYTES {
        return Err(broken("has a name that is too long"));
    }
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, if kind == b'5' { "0000755\0" } else { "0000644\0" });
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    // The sum counts its own field as spaces.
    put(148, "        ");
    put(257, "ustar\x0000");
    header[156] = kind;
    let sum = checksum(&header);
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend_from_slice(&header);
    Ok(())
}

fn checksum(header: &[u8]) -> u32 {
    let own = 148..156;
    header.iter().enumerate().map(|(at, byte)| if own.contains(&at) { 32 } else { u32::from(*byte) }).sum()
}

struct Entry {
    name: String,
    kind: u8,
    stored_bytes: usize,
}

impl Entry {
    /// Nothing for the end of the archive.
    fn read(header: &[u8]) -> io::Result<Option<Entry>> {
        if header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let text = |from: usize, to: usize| {
            let field = String::from_utf8_lossy(&header[from..to]).into_owned();
            field.trim_end_matches(['\0', ' ']).to_owned()
        };
        let octal =
            |from, to| usize::from_str_radix(&text(from, to), 8).map_err(|_| broken("has a broken header"));
        if octal(148, 156)? != checksum(header) as usize {
            return Err(broken("has a damaged header"));
        }
        let name = text(0, NAME_BYTES);
        if name.starts_with('/') || name.split('/').any(|part| part == "..") {
            return Err(broken("names a file outside"));
        }
        Ok(Some(Entry { name, kind: header[156], stored_bytes: octal(124, 136)? }))
    }
}

fn broken(how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the archive {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::process::Command;

    fn made() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("wal/checkpoint.00000003")).unwrap();
        fs::create_dir(folder.path().join("empty")).unwrap();
        let noise: Vec<u8> = (0..5000_u32).map(|i| (i * i) as u8 | 1).collect();
        let files: [(&str, &[u8]); 5] = [
            ("lock", b""),
            ("zeros", &[0; 700]),
            ("meta.json", b"{}"),
            ("wal/00000004", &[&noise[..], &[0; 32_000]].concat()),
            ("wal/checkpoint.00000003/00000000", &noise),
        ];
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let large = File::options().append(true).open(folder.path().join("zeros")).unwrap();
        large.set_len(20 << 20).unwrap();
        folder
    }

    /// All below the folder, with contents; folders have none.
    fn tree(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut all = BTreeMap::new();
        let mut left = vec![folder.to_owned()];
        while let Some(next) = left.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(folder).unwrap().to_owned();
                if path.is_dir() {
                    left.push(path);
                    all.insert(name, None);
                } else {
                    all.insert(name, Some(fs::read(path).unwrap()));
                }
            }
        }
        all
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let (from, to) = (made(), tempfile::tempdir().unwrap());
        let archive = pack(from.path()).unwrap();
        assert!(archive.len() < 12_000, "{} bytes", archive.len());
        assert_eq!(archive, pack(from.path()).unwrap());
        unpack(&archive, to.path()).unwrap();
        assert!(tree(from.path()) == tree(to.path()));
        assert_eq!(tree(to.path()).len(), 8);
    }

    #[test]
    fn tar_unpacks_it_too() {
        let (from, to) = (made(), tempfile::tempdir().unwrap());
        let archive = tempfile::NamedTempFile::new().unwrap();
        fs::write(archive.path(), pack(from.path()).unwrap()).unwrap();
        let tar = Command::new("tar").arg("xzf").arg(archive.path()).arg("-C").arg(to.path()).status();
        assert!(tar.unwrap().success());
        assert!(tree(from.path()) == tree(to.path()));
    }

    #[test]
    fn broken_archives_are_errors() {
        let tar = decompress(&pack(made().path()).unwrap()).unwrap();
        let to = tempfile::tempdir().unwrap();
        for cut in [0, 100, BLOCK + 3, tar.len() - 2 * BLOCK] {
            assert!(unpack(&compress(&tar[..cut]).unwrap(), to.path()).is_err(), "cut at {cut}");
        }
        let mut bad = tar.clone();
        bad[3] ^= 1;
        assert!(unpack(&compress(&bad).unwrap(), to.path()).is_err());
        let mut outside = Vec::new();
        add_header(&mut outside, "a/../../b", b'0', 0).unwrap();
        assert!(unpack(&compress(&outside).unwrap(), to.path()).is_err());
    }
}
