//! The files that collectors read: three roots (proc, sys, the root file system) and reused buffers.
//! This is the only module that opens files, by `calls`; `kept` has those that stay open, `below` measures
//! folders. It never follows more than it is told to read, never reads more than `MAX_FILE_BYTES`, and never
//! waits for what is no file but a pipe.

mod below;
mod calls;
mod kept;

pub(crate) use self::below::bytes_below;
use self::kept::Kept;
use crate::error::CollectError;
use rustix::{
    buffer::spare_capacity,
    fs::{FileType, OFlags, RawDir},
    io::Errno,
};
use std::{
    fmt,
    fmt::Write as _,
    io,
    ops::{Deref, DerefMut},
};

/// No file of the kernel is larger; one that is, is not what it should be.
pub(crate) const MAX_FILE_BYTES: usize = 32 << 20;

/// The first read asks for this much: most files of the kernel fit into it.
const FIRST_READ_BYTES: usize = 4096;

/// A folder is read in pieces of this size.
const FOLDER_READ_BYTES: usize = 8192;

/// Where the machine's file systems are seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// `--path.procfs`.
    pub procfs: String,
    /// `--path.sysfs`.
    pub sysfs: String,
    /// `--path.rootfs`.
    pub rootfs: String,
    /// `--path.udev.data`.
    pub udev_data: String,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            rootfs: "/".into(),
            udev_data: "/run/udev/data".into(),
        }
    }
}

impl Paths {
    /// All roots below one folder, as test trees have them.
    pub fn below(folder: &str) -> Self {
        Self {
            procfs: format!("{folder}/proc"),
            sysfs: format!("{folder}/sys"),
            rootfs: folder.to_owned(),
            udev_data: format!("{folder}/run/udev/data"),
        }
    }

    /// The path of `name`, which starts with a slash, in the root file system.
    pub fn in_rootfs(&self, name: &str) -> String {
        format!("{}{name}", self.rootfs.trim_end_matches('/'))
    }

    /// What `mount_point`, as the kernel says it, is called below the root file system. A mount point
    /// outside of it keeps its name.
    pub fn strip_rootfs<'a>(&self, mount_point: &'a str) -> &'a str {
        let root = self.rootfs.trim_end_matches('/');
        match mount_point.strip_prefix(root) {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => mount_point,
        }
    }

    fn of(&self, root: Root) -> &str {
        match root {
            Root::Proc => &self.procfs,
            Root::Sys => &self.sysfs,
            Root::Rootfs => &self.rootfs,
            Root::Udev => &self.udev_data,
            Root::Given => "/",
        }
    }
}

/// One of the roots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Root {
    /// The process file system.
    Proc,
    /// The device file system.
    Sys,
    /// The root file system.
    Rootfs,
    /// The folder of udev's device data.
    Udev,
    /// No root: the path stands as it was given, without its first slash.
    #[default]
    Given,
}

/// What the system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// Its number in its file system.
    pub(crate) inode: u64,
    /// How many names it has; a folder of most file systems has two and one for each folder in it.
    pub(crate) links: u64,
    /// Its length.
    pub(crate) bytes: u64,
    /// When it was changed, in seconds since the Unix epoch.
    pub(crate) modified_s: i64,
}

/// Whether the process file system is the kernel's, or a folder that stands in for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcKind {
    /// The kernel's.
    Kernel,
    /// A folder of files.
    Folder,
}

impl ProcKind {
    /// What `--path.procfs` is.
    pub(crate) fn of(paths: &Paths) -> Self {
        const PROC_SUPER_MAGIC: u64 = 0x9fa0;
        let kind = calls::kind_of_file_system(Root::Proc, &paths.procfs);
        let is_kernel = kind.is_ok_and(|kind| kind == PROC_SUPER_MAGIC);
        if is_kernel { Self::Kernel } else { Self::Folder }
    }
}

/// Whether a name in a folder is a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IsFolder(pub(crate) bool);

/// How much of a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Most {
    /// What one read gives.
    OneRead,
    /// All of it, unless it is larger.
    Bytes(usize),
}

/// A file's path and content, in buffers that are used again and again.
#[derive(Debug, Default)]
pub(crate) struct File {
    path: String,
    /// Where the path begins.
    root: Root,
    data: Vec<u8>,
    kept: Option<Kept>,
}

impl File {
    /// Reads the file `name` below `root`; its content is then in `data`.
    pub(crate) fn read(
        &mut self,
        paths: &Paths,
        root: Root,
        name: fmt::Arguments<'_>,
    ) -> Result<(), CollectError> {
        self.locate(paths, root, name);
        self.fill(Most::Bytes(MAX_FILE_BYTES)).map_err(|error| self.unreadable(error))
    }

    /// Reads the file at `path`, wherever that is, unless it is larger than `most_bytes`; its content is then
    /// in `data`.
    pub(crate) fn read_path(&mut self, path: &str, most_bytes: usize) -> Result<(), CollectError> {
        self.root = Root::Given;
        self.path.clear();
        self.path.push_str(path);
        self.fill(Most::Bytes(most_bytes)).map_err(|error| self.unreadable(error))
    }

    /// As `read`, but a file that does not exist is not an error: then it returns `false`.
    pub(crate) fn read_if_exists(
        &mut self,
        paths: &Paths,
        root: Root,
        name: fmt::Arguments<'_>,
    ) -> Result<bool, CollectError> {
        match self.read(paths, root, name) {
            Ok(()) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a file of one small value and returns it without the white space around it. `None` when
    /// the file does not exist or refuses to be read, as many files of sysfs do.
    pub(crate) fn value(&mut self, paths: &Paths, root: Root, name: fmt::Arguments<'_>) -> Option<&[u8]> {
        self.locate(paths, root, name);
        self.fill(Most::OneRead).ok()?;
        Some(self.data.trim_ascii())
    }

    /// As `value`, for a whole number.
    pub(crate) fn number(&mut self, paths: &Paths, root: Root, name: fmt::Arguments<'_>) -> Option<u64> {
        self.value(paths, root, name).and_then(crate::scan::number)
    }

    /// The whole content of a file, or `None` if it cannot be read: no error is made, so that what comes
    /// and goes (control groups, processes) costs nothing.
    pub(crate) fn content(&mut self, paths: &Paths, root: Root, name: fmt::Arguments<'_>) -> Option<&[u8]> {
        self.try_content(paths, root, name).ok()
    }

    /// The same, with the reason if there is none.
    pub(crate) fn try_content(
        &mut self,
        paths: &Paths,
        root: Root,
        name: fmt::Arguments<'_>,
    ) -> io::Result<&[u8]> {
        self.locate(paths, root, name);
        self.fill(Most::Bytes(MAX_FILE_BYTES))?;
        Ok(&self.data)
    }

    /// What the symbolic link `name` points to.
    pub(crate) fn link(&mut self, paths: &Paths, root: Root, name: fmt::Arguments<'_>) -> Option<&[u8]> {
        self.locate(paths, root, name);
        let target = calls::link(root, &self.path).ok()?;
        self.data.clear();
        self.data.extend_from_slice(target.as_bytes());
        Some(&self.data)
    }

    /// What the system says of the file or folder `name` itself; links are followed.
    pub(crate) fn status(&mut self, paths: &Paths, root: Root, name: fmt::Arguments<'_>) -> Option<Status> {
        self.locate(paths, root, name);
        let found = calls::status(root, &self.path).ok()?;
        Some(Status {
            inode: found.st_ino,
            links: u64::from(found.st_nlink as u32),
            bytes: u64::try_from(found.st_size).unwrap_or(0),
            modified_s: found.st_mtime,
        })
    }

    /// Calls `each` with the names in the folder `name`, in the folder's order, and whether the name is a
    /// folder itself. `None` when the folder cannot be read.
    pub(crate) fn entries(
        &mut self,
        paths: &Paths,
        root: Root,
        name: fmt::Arguments<'_>,
        mut each: impl FnMut(&[u8], IsFolder),
    ) -> Option<()> {
        self.locate(paths, root, name);
        let fd = calls::open(root, &self.path, OFlags::DIRECTORY).ok()?;
        self.data.clear();
        self.data.reserve(FIRST_READ_BYTES);
        let mut folder = RawDir::new(fd, self.data.spare_capacity_mut());
        while let Some(entry) = folder.next() {
            let entry = calls::noted(root, &self.path, entry).ok()?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                each(name, IsFolder(entry.file_type() == FileType::Directory));
            }
        }
        Some(())
    }

    /// Reads a file of the process file system that is one whole number and a line feed.
    pub(crate) fn proc_number(&mut self, paths: &Paths, name: &str) -> Result<u64, CollectError> {
        self.read(paths, Root::Proc, format_args!("{name}"))?;
        let line = self.lines()?.next().unwrap_or_default().trim_ascii();
        crate::scan::number(line).ok_or_else(|| self.bad_line(line, "a number is expected"))
    }

    /// The content last read.
    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// The content's lines. A table of the kernel ends with a line feed; a content that does not was
    /// cut, and its last number may be half a number.
    pub(crate) fn lines(&self) -> Result<impl Iterator<Item = &[u8]>, CollectError> {
        match self.data.strip_suffix(b"\n") {
            Some(data) => Ok(crate::scan::lines(data)),
            None if self.data.is_empty() => Err(self.malformed("the file is empty")),
            None => Err(self.malformed("the file ends in the middle of a line")),
        }
    }

    /// The error that says what is wrong with this file.
    pub(crate) fn malformed(&self, what: impl fmt::Display) -> CollectError {
        CollectError::Malformed { path: self.path.clone(), what: what.to_string() }
    }

    /// The error that shows the line that is wrong.
    pub(crate) fn bad_line(&self, line: &[u8], what: &str) -> CollectError {
        const SHOWN: usize = 80;
        let shown = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]);
        self.malformed(format_args!("{what} in the line {shown:?}"))
    }

    fn unreadable(&self, error: io::Error) -> CollectError {
        CollectError::Read { path: self.path.clone(), error }
    }

    fn locate(&mut self, paths: &Paths, root: Root, name: fmt::Arguments<'_>) {
        self.root = root;
        self.path.clear();
        self.path.push_str(paths.of(root).trim_end_matches('/'));
        self.path.push('/');
        self.path.write_fmt(name).expect("invariant: writing to a String cannot fail");
    }

    /// Reads the file at `path` into `data`. One that is too large leaves no large buffer behind.
    fn fill(&mut self, most: Most) -> io::Result<()> {
        let Self { path, root, data, kept } = self;
        if let Some(open) = kept {
            let read = open.get(path).map(|fd| read_whole(data, most, |data| kept::read_at_end(fd, data)));
            match read {
                Some(Err(error)) if kept::has_gone(&error) => open.forget(path),
                Some(read) => return calls::noted(*root, path, read),
                None => {}
            }
        }
        // A pipe in the place of a file would block until somebody writes into it.
        data.clear();
        let open = || calls::open(*root, path, OFlags::NOCTTY | OFlags::NONBLOCK);
        let mut opened = open();
        // What is kept for later costs nobody what is wanted now.
        if opened.as_ref().is_err_and(kept::is_out_of_files) && kept.as_mut().is_some_and(Kept::let_go) {
            opened = open();
        }
        let fd = opened?;
        let read = read_whole(data, most, |data| rustix::io::read(&fd, spare_capacity(data)));
        let read = calls::noted(*root, path, read);
        if let Some(kept) = kept {
            kept.keep(path, fd);
        }
        read
    }
}

/// Reads a file into `data`; `more` appends a piece.
fn read_whole(
    data: &mut Vec<u8>,
    most: Most,
    more: impl Fn(&mut Vec<u8>) -> Result<usize, Errno>,
) -> io::Result<()> {
    data.clear();
    loop {
        if data.capacity() - data.len() < FIRST_READ_BYTES {
            data.reserve(FIRST_READ_BYTES.max(data.len()));
        }
        match (more(data), most) {
            (Ok(0), _) | (Ok(_), Most::OneRead) => return Ok(()),
            (Ok(_), Most::Bytes(bytes)) if data.len() > bytes => {
                *data = Vec::new();
                return Err(io::Error::other(format!("the file is larger than {bytes} bytes")));
            }
            (Ok(_) | Err(Errno::INTR), _) => {}
            (Err(error), _) => return Err(error.into()),
        }
    }
}

/// A `File` that keeps the files open which it reads: for those of `/proc` and `/sys` that are read in every
/// scrape. Of a folder whose name another may get, `forget_below` has to be told.
#[derive(Debug)]
pub(crate) struct KeptFile(File);

impl Default for KeptFile {
    fn default() -> Self {
        Self(File { kept: Some(Kept::default()), ..File::default() })
    }
}

impl Deref for KeptFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for KeptFile {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

impl KeptFile {
    /// The folder `name`, and all in it, may be another's now.
    pub(crate) fn forget_below(&mut self, paths: &Paths, root: Root, name: fmt::Arguments<'_>) {
        self.0.locate(paths, root, name);
        if let Some(kept) = &mut self.0.kept {
            kept.forget_below(&self.0.path);
        }
    }
}

/// A folder whose names are numbers, in buffers that are used again and again.
#[derive(Debug, Default)]
pub(crate) struct NumberedFolder {
    path: String,
    buffer: Vec<u8>,
}

impl NumberedFolder {
    /// Puts the numbers in the folder `name` below `root` into `numbers`; other names are passed over. A
    /// folder that has gone, as those of processes do, has none.
    pub(crate) fn read(
        &mut self,
        paths: &Paths,
        root: Root,
        name: fmt::Arguments<'_>,
        numbers: &mut Vec<u32>,
    ) -> Result<(), CollectError> {
        numbers.clear();
        self.path.clear();
        self.path.push_str(paths.of(root).trim_end_matches('/'));
        self.path.push('/');
        self.path.write_fmt(name).expect("invariant: writing to a String cannot fail");
        let gone = [Errno::NOENT, Errno::SRCH];
        match self.fill(root, numbers) {
            Err(error) if !Errno::from_io_error(&error).is_some_and(|error| gone.contains(&error)) => {
                Err(CollectError::Read { path: self.path.clone(), error })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn fill(&mut self, root: Root, numbers: &mut Vec<u32>) -> io::Result<()> {
        let fd = calls::open(root, &self.path, OFlags::DIRECTORY)?;
        self.buffer.clear();
        self.buffer.reserve(FOLDER_READ_BYTES);
        let mut entries = RawDir::new(fd, self.buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = calls::noted(root, &self.path, entry)?;
            let number = crate::scan::number(entry.file_name().to_bytes());
            numbers.extend(number.and_then(|number| u32::try_from(number).ok()));
        }
        Ok(())
    }
}

/// Where the symbolic link `name` below `root` leads, or nothing if it is none.
pub(crate) fn link_target(paths: &Paths, root: Root, name: &str) -> Option<String> {
    read_link(paths, root, name).ok()
}

/// Where the symbolic link `name` below `root` leads, in UTF-8.
pub(crate) fn read_link(paths: &Paths, root: Root, name: &str) -> io::Result<String> {
    let target = calls::link(root, &path_of(paths, root, name))?;
    target.into_string().map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The path of `name` below `root`.
pub(crate) fn path_of(paths: &Paths, root: Root, name: &str) -> String {
    format!("{}/{name}", paths.of(root).trim_end_matches('/'))
}

/// Where the links of `name` below `root` lead in the end. `None` when that is nowhere.
pub(crate) fn target_of(paths: &Paths, root: Root, name: &str) -> Option<String> {
    let target = calls::real_path(root, &path_of(paths, root, name)).ok()?;
    target.into_os_string().into_string().ok()
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// When it was changed last, in seconds since 1970.
    pub(crate) modified_seconds: i64,
    modified_nanoseconds: i64,
    /// When anything of it was changed last, who may read it among it. Nobody can set that time.
    changed: (i64, i64),
    bytes: u64,
    inode: u64,
    pub(crate) is_folder: bool,
}

/// The state of the file or folder at `path`; links are followed. A pipe or a device is none.
pub(crate) fn stamp_of(path: &str) -> io::Result<Stamp> {
    let found = calls::status(Root::Given, path)?;
    let kind = FileType::from_raw_mode(found.st_mode);
    if !matches!(kind, FileType::RegularFile | FileType::Directory) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(Stamp {
        modified_seconds: found.st_mtime,
        modified_nanoseconds: found.st_mtime_nsec as i64,
        changed: (found.st_ctime, found.st_ctime_nsec as i64),
        bytes: u64::try_from(found.st_size).unwrap_or(0),
        inode: found.st_ino,
        is_folder: kind == FileType::Directory,
    })
}

/// The names in the folder at `path`, wherever that is, sorted.
pub(crate) fn names_at(path: &str) -> io::Result<Vec<String>> {
    let mut names = calls::names(Root::Given, path)?;
    names.sort_unstable();
    Ok(names)
}

/// Whether there is something at `path`, wherever that is.
pub(crate) fn exists_at(path: &str) -> bool {
    calls::exists(Root::Given, path)
}

/// The names in a folder, sorted. A folder that does not exist has none.
pub(crate) fn names_in(paths: &Paths, root: Root, name: &str) -> Result<Vec<String>, CollectError> {
    let path = path_of(paths, root, name);
    match calls::names(root, &path) {
        Ok(mut names) => {
            names.sort_unstable();
            Ok(names)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(CollectError::Read { path, error }),
    }
}

/// The last two names of the path that `name` below `root` really is, the very last one first.
pub(crate) fn real_names(paths: &Paths, root: Root, name: &str) -> Option<[String; 2]> {
    let path = calls::real_path(root, &path_of(paths, root, name)).ok()?;
    let text = |name: Option<&std::ffi::OsStr>| {
        name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    Some([text(path.file_name()), text(path.parent().and_then(std::path::Path::file_name))])
}

/// Whether `name` exists below `root`.
pub(crate) fn exists(paths: &Paths, root: Root, name: &str) -> bool {
    calls::exists(root, &path_of(paths, root, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_lose_the_prefix_of_the_root_file_system() {
        for (rootfs, mount_point, stripped) in [
            ("/", "/", "/"),
            ("/", "/home", "/home"),
            ("/rootfs", "/rootfs", "/"),
            ("/rootfs", "/rootfs/home", "/home"),
            ("/rootfs/", "/rootfs/home", "/home"),
            ("/rootfs", "/rootfs2/home", "/rootfs2/home"),
            ("/rootfs", "/etc/hosts", "/etc/hosts"),
        ] {
            let paths = Paths { rootfs: rootfs.into(), ..Paths::default() };
            assert_eq!(paths.strip_rootfs(mount_point), stripped, "{rootfs} {mount_point}");
        }
    }

    #[test]
    fn a_missing_file_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path().to_str().unwrap());
        let mut file = File::default();
        let error = file.read(&paths, Root::Proc, format_args!("stat")).unwrap_err();
        assert!(error.is_missing());
        assert!(error.to_string().contains("/proc/stat"), "{error}");
        assert!(!file.read_if_exists(&paths, Root::Proc, format_args!("stat")).unwrap());
        assert_eq!(file.number(&paths, Root::Sys, format_args!("cpu{}/online", 3)), None);
    }

    #[test]
    fn a_file_is_read_whole_into_the_same_buffer() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("proc")).unwrap();
        let paths = Paths::below(folder.path().to_str().unwrap());
        let content = "a line of some length\n".repeat(5000);
        std::fs::write(folder.path().join("proc/big"), &content).unwrap();
        std::fs::write(folder.path().join("proc/small"), "7\n").unwrap();
        let mut file = File::default();
        file.read(&paths, Root::Proc, format_args!("big")).unwrap();
        assert_eq!(file.data(), content.as_bytes());
        assert_eq!(file.lines().unwrap().count(), 5000);
        assert_eq!(file.number(&paths, Root::Proc, format_args!("small")), Some(7));
    }

    #[test]
    fn what_never_ends_is_given_up_and_what_never_begins_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("proc")).unwrap();
        let paths = Paths::below(folder.path().to_str().unwrap());
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("proc/endless")).unwrap();
        let pipe = folder.path().join("proc/pipe");
        let read_write = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, read_write).unwrap();
        let mut file = File::default();
        let error = file.read(&paths, Root::Proc, format_args!("endless")).unwrap_err();
        assert!(error.to_string().contains("larger than"), "{error}");
        assert_eq!(file.data.capacity(), 0);
        assert!(file.value(&paths, Root::Proc, format_args!("endless")).is_some());
        // Nobody has it open for writing, then somebody has and does not write.
        file.read(&paths, Root::Proc, format_args!("pipe")).unwrap();
        assert!(file.lines().is_err());
        let _writer = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
        assert!(file.read(&paths, Root::Proc, format_args!("pipe")).is_err());
        assert!(stamp_of(pipe.to_str().unwrap()).is_err());
    }

    #[test]
    fn a_folder_of_numbers_gives_its_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["1", "42", "self", "4294967296", "-3", "7x"] {
            std::fs::create_dir_all(folder.path().join("proc").join(name)).unwrap();
        }
        let paths = Paths::below(folder.path().to_str().unwrap());
        let (mut numbered, mut numbers) = (NumberedFolder::default(), vec![9]);
        numbered.read(&paths, Root::Proc, format_args!(""), &mut numbers).unwrap();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 42]);
        numbered.read(&paths, Root::Proc, format_args!("{}/task", 42), &mut numbers).unwrap();
        assert!(numbers.is_empty(), "a folder that has gone");
        let mut file = File::default();
        std::fs::write(folder.path().join("given"), "5\n").unwrap();
        let path = format!("{}/given", folder.path().display());
        assert_eq!(file.number(&paths, Root::Given, format_args!("{}", &path[1..])), Some(5));
    }

    #[test]
    fn a_table_that_was_cut_is_not_read() {
        for (data, ok) in [("", false), ("a 1", false), ("a 1\nb", false), ("a 1\nb 2\n", true)] {
            let file = File { path: "/proc/x".into(), data: data.as_bytes().to_vec(), ..File::default() };
            assert_eq!(file.lines().is_ok(), ok, "{data:?}");
        }
    }
}
