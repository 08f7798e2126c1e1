//! Where control groups are: one tree (version 2), or one for each controller (version 1), and which groups
//! are in it now. A folder is listed only when the number of its links says that there are folders in it.

use crate::source::{File, Paths, Root};

/// No more control groups than this are shown: a machine that has more needs a filter.
pub(super) const MAX_GROUPS: usize = 8192;

/// The controllers of version 1 that are read, each in a tree of its own.
pub(super) const CONTROLLERS: [&str; 6] = ["cpuacct", "memory", "pids", "cpu", "blkio", "cpuset"];

/// A set of trees, as bits.
pub(super) type Mask = u8;

/// How the trees are laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One tree.
    V2,
    /// The folders of the trees of `CONTROLLERS`, as far as they are mounted.
    V1([Option<String>; CONTROLLERS.len()]),
}

impl Layout {
    /// What this machine has.
    pub(super) fn of(paths: &Paths, file: &mut File) -> Option<Self> {
        if file.content(paths, Root::Sys, format_args!("fs/cgroup/cgroup.controllers")).is_some() {
            return Some(Self::V2);
        }
        let mut mounted = Vec::new();
        file.entries(paths, Root::Sys, format_args!("fs/cgroup"), |name, _| {
            mounted.extend(std::str::from_utf8(name).ok().map(str::to_owned));
        })?;
        // `cpu` is mounted with `cpuacct` on most machines, in a folder of both names.
        let folder = |controller: &str| {
            let with_others = || mounted.iter().find(|name| name.split(',').any(|part| part == controller));
            let exact = mounted.iter().find(|name| *name == controller).or_else(with_others)?;
            Some(format!("fs/cgroup/{exact}"))
        };
        let found = CONTROLLERS.map(folder);
        found.iter().any(Option::is_some).then_some(Self::V1(found))
    }

    /// The trees: their folders and bits.
    pub(super) fn trees(&self) -> impl Iterator<Item = (&str, Mask)> {
        let trees: &[Option<String>] = match self {
            Self::V2 => &[],
            Self::V1(trees) => trees,
        };
        let one = matches!(self, Self::V2).then_some(("fs/cgroup", 1));
        let many = trees.iter().enumerate();
        one.into_iter().chain(many.filter_map(|(at, tree)| Some((tree.as_deref()?, 1 << at))))
    }
}

/// A control group that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    start: usize,
    end: usize,
    /// The trees that have it.
    pub(super) mask: Mask,
    /// Its folder's number in the first of them: a group that went and came back has another.
    pub(super) inode: u64,
}

/// The control groups of the last walk, in buffers that are used again.
#[derive(Debug, Default)]
pub(super) struct Walk {
    text: String,
    found: Vec<Found>,
    /// The names in one folder, each with a slash behind it.
    names: String,
    file: File,
    /// Whether there were more groups than are shown.
    pub(super) was_cut: bool,
}

impl Walk {
    /// Finds all groups, sorted by their paths; the root's path is empty.
    pub(super) fn run(&mut self, paths: &Paths, layout: &Layout) {
        self.text.clear();
        self.found.clear();
        self.was_cut = false;
        for (tree, mask) in layout.trees() {
            self.tree(paths, tree, mask);
        }
        let Self { text, found, .. } = self;
        let path = |found: &Found| &text[found.start..found.end];
        found.sort_unstable_by(|a, b| path(a).cmp(path(b)).then(a.mask.cmp(&b.mask)));
        found.dedup_by(|next, first| {
            let is_same = path(next) == path(first);
            if is_same {
                first.mask |= next.mask;
            }
            is_same
        });
    }

    fn tree(&mut self, paths: &Paths, tree: &str, mask: Mask) {
        let first = self.found.len();
        self.found.push(Found { start: self.text.len(), end: self.text.len(), mask, inode: 0 });
        let mut next = first;
        while next < self.found.len() {
            let Found { start, end, .. } = self.found[next];
            let path = &self.text[start..end];
            let status = self.file.status(paths, Root::Sys, format_args!("{tree}{path}"));
            self.found[next].inode = status.map_or(0, |status| status.inode);
            next += 1;
            // Two links are `.` and the name itself. File systems that do not count them say 1.
            if status.is_none_or(|status| status.links == 2) {
                continue;
            }
            let Self { text, found, names, file, was_cut } = self;
            let room = MAX_GROUPS.saturating_sub(found.len() - first);
            names.clear();
            let listed = format_args!("{tree}{}", &text[start..end]);
            file.entries(paths, Root::Sys, listed, |name, is_folder| {
                if let (true, Ok(name)) = (is_folder.0, std::str::from_utf8(name)) {
                    names.push_str(name);
                    names.push('/');
                }
            });
            *was_cut |= names.matches('/').count() > room;
            for name in names.split_terminator('/').take(room) {
                let from = text.len();
                text.extend_from_within(start..end);
                text.push('/');
                text.push_str(name);
                found.push(Found { start: from, end: text.len(), mask, inode: 0 });
            }
        }
    }

    /// The groups found, with their paths.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&str, Found)> {
        self.found.iter().map(|found| (&self.text[found.start..found.end], *found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(names: &[&str]) -> (tempfile::TempDir, Paths) {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join("sys/fs/cgroup").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if name.ends_with('/') {
                std::fs::create_dir_all(path).unwrap();
            } else {
                std::fs::write(path, "").unwrap();
            }
        }
        let paths = Paths::below(folder.path().to_str().unwrap());
        (folder, paths)
    }

    fn found(walk: &Walk) -> Vec<(String, Mask)> {
        walk.groups().map(|(path, found)| (path.to_owned(), found.mask)).collect()
    }

    #[test]
    fn one_tree_is_walked_and_sorted() {
        let (folder, paths) = tree(&["cgroup.controllers", "b/c/", "a/", "a.mount/"]);
        let mut walk = Walk::default();
        let layout = Layout::of(&paths, &mut File::default()).unwrap();
        assert_eq!(layout, Layout::V2);
        walk.run(&paths, &layout);
        let names = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 1)).collect::<Vec<_>>();
        assert_eq!(found(&walk), names(&["", "/a", "/a.mount", "/b", "/b/c"]));
        std::fs::remove_dir(folder.path().join("sys/fs/cgroup/b/c")).unwrap();
        walk.run(&paths, &layout);
        assert_eq!(found(&walk), names(&["", "/a", "/a.mount", "/b"]));
    }

    #[test]
    fn the_trees_of_version_1_are_one_list() {
        let (_folder, paths) = tree(&["cpu,cpuacct/x/", "memory/x/", "memory/y/", "unified/z/"]);
        let layout = Layout::of(&paths, &mut File::default()).unwrap();
        let mut walk = Walk::default();
        walk.run(&paths, &layout);
        let of = |name: &str, mask| (name.to_owned(), mask);
        assert_eq!(found(&walk), [of("", 0b1011), of("/x", 0b1011), of("/y", 0b10)]);
    }

    #[test]
    fn a_machine_without_control_groups_has_no_layout() {
        let (_folder, paths) = tree(&["elsewhere/"]);
        assert_eq!(Layout::of(&paths, &mut File::default()), None);
        assert_eq!(Layout::of(&Paths::below("/nowhere"), &mut File::default()), None);
    }
}
