//! The directories of logs and chunk files: made durably, and where a full disk refuses them at the start, by
//! whoever first finds room. Knows nothing of what stands in them, and removes none that holds anything.

use skopos_base::fs::{File, Fs, OpenMode, or_here, parent};
use skopos_base::sync::atomic::{AtomicBool, Ordering};
use std::{io, path::Path};

/// Whether there may be room later.
pub(crate) fn is_no_room(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Makes the names of a directory's entries durable, its own, and those of the directories above it. Of those
/// above one that cannot be synchronised by this process is passed over, and a disk that fails is not.
pub(crate) fn settle_dirs(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    let not_ours = |e: &io::Error| {
        use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
        matches!(e.kind(), InvalidInput | PermissionDenied | ReadOnlyFilesystem | Unsupported)
    };
    fs.sync_dir(dir)?;
    dir.ancestors().skip(1).map(or_here).try_for_each(|above| match fs.sync_dir(&above) {
        Err(e) if not_ours(&e) => Ok(()),
        other => other,
    })
}

/// Makes a directory and those above it, so that no power loss takes one with all it holds. Where that fails
/// those that it has made go again, as long as they hold nothing: otherwise nobody would know later that they
/// are not durable. What somebody else has put there meanwhile stays.
pub(crate) fn create_dirs(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for path in dir.ancestors().map(or_here) {
        if fs.exists(&path)? {
            break;
        }
        missing.push(path);
    }
    if missing.is_empty() {
        return fs.create_dir_all(dir);
    }
    let mut made = Vec::new();
    let result = missing.iter().rev().try_for_each(|path| {
        fs.create_dir_all(path).map_err(|e| named(fs, path, e))?;
        made.push(path);
        fs.sync_dir(&parent(path))
    });
    if result.is_err() {
        for path in made.iter().rev() {
            let _ = fs.remove_dir(path);
        }
    }
    result
}

/// Says of what is there and is not that it is a link into the void.
fn named(fs: &dyn Fs, path: &Path, e: io::Error) -> io::Error {
    if e.kind() != io::ErrorKind::AlreadyExists || !matches!(fs.exists(path), Ok(false)) {
        return e;
    }
    let reason = format!(
        "{} is a link to something that is not there: mount what it leads to, or remove the link ({e})",
        path.display()
    );
    io::Error::new(e.kind(), reason)
}

/// Removes what has a name, a directory with all it holds or a file, if anything has it.
pub(crate) fn remove_any(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    match fs.remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => fs.remove_file(path),
        other => other,
    }
}

/// Makes a directory, but for one for which the disk has no room: whether it is there. The one above it has
/// to be there.
pub(crate) fn create_if_room(fs: &dyn Fs, dir: &Path) -> io::Result<bool> {
    match create_dirs(fs, dir) {
        Ok(()) => Ok(true),
        Err(e) if is_no_room(&e) && fs.exists(&parent(dir))? => Ok(false),
        Err(e) => Err(e),
    }
}

/// Whether a directory is missing since the start found no room for it. One that goes later, as with a disk
/// that is no longer mounted, is not made again: the next start would take what is written there for all.
#[derive(Debug, Default)]
pub(crate) struct LateDir(AtomicBool);

impl LateDir {
    /// To be asked at the start.
    pub(crate) fn look(fs: &dyn Fs, dir: &Path) -> io::Result<Self> {
        Ok(Self(AtomicBool::new(!fs.exists(dir)?)))
    }

    pub(crate) fn is_missing(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Begins a file in it, and first the directory where the start could not.
    pub(crate) fn create_file(&self, fs: &dyn Fs, path: &Path) -> io::Result<Box<dyn File>> {
        if self.is_missing() {
            let dir = parent(path);
            create_dirs(fs, &dir)?;
            // Where it is there by now, who made it may not have made it durable.
            fs.sync_dir(&parent(&dir))?;
            self.0.store(false, Ordering::Release);
            tracing::info!(dir = %dir.display(), "there is room for this directory now");
        }
        fs.open(path, OpenMode::CreateNew).map_err(|e| {
            if e.kind() != io::ErrorKind::NotFound {
                return e;
            }
            let reason = format!("{e}: its directory was there at the start; is its disk still mounted?");
            io::Error::new(e.kind(), reason)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::{
        Env,
        fs::{Layer, append_all, read_all},
        sim::{
            SimFs,
            fs::{Failure, OpKind},
        },
    };
    use std::path::PathBuf;

    /// Another process makes the directory behind the back of the one that looks for it, whose next
    /// synchronisation of a directory fails.
    #[derive(Debug)]
    struct Other {
        below: skopos_base::fs::SharedFs,
        file: PathBuf,
    }

    impl Layer for Other {
        fn below(&self) -> &dyn Fs {
            &*self.below
        }

        fn exists(&self, path: &Path) -> io::Result<bool> {
            let there = self.below.exists(path)?;
            if !there && path == parent(&self.file) {
                self.below.create_dir_all(path)?;
                append_all(&mut *self.below.open(&self.file, OpenMode::CreateNew)?, b"live")?;
            }
            Ok(there)
        }

        fn sync_dir(&self, _: &Path) -> io::Result<()> {
            Err(io::Error::other("the disk refuses"))
        }
    }

    #[test]
    fn what_another_process_put_into_a_directory_stays_when_making_it_fails() {
        let (env, temp) = (Env::real(), tempfile::tempdir().unwrap());
        let dir = temp.path().join("above/data");
        let other = Other { below: env.fs.clone(), file: dir.join("log") };
        create_dirs(&other, &dir).unwrap_err();
        assert_eq!(read_all(&*env.fs, &dir.join("log")).unwrap(), b"live");
    }

    #[test]
    fn directories_that_are_not_durable_go_again() {
        let (env, temp) = (Env::real(), tempfile::tempdir().unwrap());
        let other = Other { below: env.fs.clone(), file: temp.path().join("none/log") };
        create_dirs(&other, &temp.path().join("a/b/c")).unwrap_err();
        assert_eq!(env.fs.read_dir(temp.path()).unwrap(), []);
    }

    #[test]
    fn a_link_into_the_void_stays_and_is_named() {
        let (env, temp) = (Env::real(), tempfile::tempdir().unwrap());
        let link = temp.path().join("wal");
        std::os::unix::fs::symlink(temp.path().join("not/mounted"), &link).unwrap();
        for dir in [link.clone(), link.join("below")] {
            let error = create_dirs(&*env.fs, &dir).unwrap_err().to_string();
            assert!(error.contains(&format!("{} is a link", link.display())), "{error}");
            assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        }
    }

    #[test]
    fn a_directory_that_another_has_made_meanwhile_is_durable_before_it_is_used() {
        let fs = SimFs::new(1);
        fs.create_dir_all(Path::new("/data")).unwrap();
        fs.settle();
        let (dir, path) = (Path::new("/data/wal"), Path::new("/data/wal/0"));
        let late = LateDir::look(&fs, dir).unwrap();
        fs.create_dir_all(dir).unwrap();
        late.create_file(&fs, path).unwrap().sync().unwrap();
        fs.sync_dir(dir).unwrap();
        for lost in fs.crash_states(20, 1) {
            assert!(lost.exists(path).unwrap(), "{}", lost.origin());
        }
    }

    #[test]
    fn a_directory_that_could_not_be_made_durable_is_made_so_before_the_next_attempt_uses_it() {
        let fs = SimFs::new(1);
        fs.create_dir_all(Path::new("/data")).unwrap();
        fs.settle();
        let (dir, path) = (Path::new("/data/wal"), Path::new("/data/wal/0"));
        let late = LateDir::look(&fs, dir).unwrap();
        fs.create_dir_all(dir).unwrap();
        fs.fail_nth(OpKind::SyncDir, 1, Failure::Io);
        late.create_file(&fs, path).unwrap_err();
        late.create_file(&fs, path).unwrap().sync().unwrap();
        fs.sync_dir(dir).unwrap();
        for lost in fs.crash_states(20, 1) {
            assert!(lost.exists(path).unwrap(), "{}", lost.origin());
        }
    }

    #[test]
    fn directories_above_that_may_not_be_synchronised_are_passed_over_and_failing_ones_are_not() {
        #[derive(Debug)]
        struct Refusing(SimFs, PathBuf, io::ErrorKind);

        impl Layer for Refusing {
            fn below(&self) -> &dyn Fs {
                &self.0
            }

            fn sync_dir(&self, path: &Path) -> io::Result<()> {
                if path == self.1 { Err(self.2.into()) } else { self.0.sync_dir(path) }
            }
        }

        use io::ErrorKind::{Other, PermissionDenied};
        let dir = Path::new("/a/b/data");
        for (at, kind, is_ok) in [
            ("/a", PermissionDenied, true),
            ("/", PermissionDenied, true),
            ("/a", Other, false),
            ("/a/b/data", PermissionDenied, false),
        ] {
            let fs = SimFs::new(1);
            fs.create_dir_all(dir).unwrap();
            let result = settle_dirs(&Refusing(fs, at.into(), kind), dir);
            assert_eq!(result.is_ok(), is_ok, "{at} {kind:?}");
        }
    }

    #[test]
    fn only_a_directory_that_the_start_found_missing_is_made_later() {
        let (env, temp) = (Env::real(), tempfile::tempdir().unwrap());
        let dir = temp.path().join("wal");
        let late = LateDir::look(&*env.fs, &dir).unwrap();
        drop(late.create_file(&*env.fs, &dir.join("0")).unwrap());
        drop(late.create_file(&*env.fs, &dir.join("1")).unwrap());
        for found in [late, LateDir::look(&*env.fs, &dir).unwrap()] {
            env.fs.create_dir_all(&dir).unwrap();
            env.fs.remove_dir_all(&dir).unwrap();
            let error = found.create_file(&*env.fs, &dir.join("2")).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(error.to_string().contains("mounted"), "{error}");
            assert!(!env.fs.exists(&dir).unwrap());
        }
    }
}
