//! `mdadm`: the kernel's own RAID arrays, from `/proc/mdstat` and `/sys/block`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, exists, names_in},
    table::{self, Column, Table},
};

const ARRAYS: &[Column] = &[
    table::gauge("node_md_blocks", "Blocks of each array, of 1024 bytes."),
    table::gauge("node_md_blocks_synced", "Blocks of each array that are in agreement."),
    table::gauge("node_md_disks_required", "Disks that each array is made for."),
];
const DISKS: &[Column] = &[table::gauge("node_md_disks", "Disks of each array, by their state.")];
const STATES: &[Column] = &[table::gauge("node_md_state", "The state of each array: 1 if it is this one.")];
const SYSFS: &[Column] = &[
    table::gauge("node_md_degraded", "Disks that each array lacks."),
    table::gauge("node_md_raid_disks", "Disks that each array is set up for."),
];

/// The collector.
#[derive(Debug)]
pub(crate) struct MdAdm {
    file: File,
    arrays: Table,
    disks: Table,
    states: Table,
    sysfs: Table,
}

/// An array.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Array<'a> {
    name: &'a [u8],
    state: &'static str,
    required: u64,
    active: u64,
    failed: u64,
    spare: u64,
    blocks: u64,
    synced: u64,
}

const STATE_NAMES: [&str; 5] = ["active", "check", "inactive", "recovering", "resync"];

impl MdAdm {
    pub(crate) fn new() -> Self {
        Self {
            file: File::default(),
            arrays: Table::new(&["device"], ARRAYS),
            disks: Table::new(&["device", "state"], DISKS),
            states: Table::new(&["device", "state"], STATES),
            sysfs: Table::new(&["device"], SYSFS),
        }
    }

    fn add(&mut self) -> Result<(), CollectError> {
        let arrays = parse(self.file.lines()?)
            .map_err(|line| self.file.bad_line(line, "an array, or what it consists of, is expected"))?;
        for array in arrays {
            let name = scan::text(array.name);
            let counts = [array.blocks, array.synced, array.required];
            self.arrays.row(&[&name]).copy_from_slice(&counts.map(|count| Some(count as f64)));
            for (state, count) in [("active", array.active), ("failed", array.failed), ("spare", array.spare)]
            {
                self.disks.row(&[&name, state])[0] = Some(count as f64);
            }
            for state in STATE_NAMES {
                self.states.row(&[&name, state])[0] = Some(f64::from(u8::from(state == array.state)));
            }
        }
        Ok(())
    }

    fn add_sysfs(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        for block in names_in(context.paths, Root::Sys, "block")? {
            let folder = format!("block/{block}/md");
            if !block.starts_with("md") || !exists(context.paths, Root::Sys, &folder) {
                continue;
            }
            let mut number =
                |name: &str| self.file.number(context.paths, Root::Sys, format_args!("{folder}/{name}"));
            // An array without redundancy lacks nothing and has no file that says so.
            let (degraded, disks) = (number("degraded").unwrap_or(0), number("raid_disks"));
            let values = [Some(degraded as f64), disks.map(|disks| disks as f64)];
            self.sysfs.row(&[&block]).copy_from_slice(&values);
        }
        Ok(())
    }
}

/// The arrays in these lines, or the line that is wrong. An array is a line that begins with its name, one
/// that begins with its blocks, and perhaps others.
fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Array<'a>>, &'a [u8]> {
    let mut arrays: Vec<Array<'a>> = Vec::new();
    // The line with the name of an array whose blocks are still to come.
    let mut begun: Option<&[u8]> = None;
    for line in lines {
        let is_indented = line.first().is_none_or(u8::is_ascii_whitespace);
        if is_indented && line.trim_ascii().is_empty() {
            continue;
        }
        if !is_indented {
            if let Some(line) = begun {
                return Err(line);
            }
            if !line.starts_with(b"Personalities") && !line.starts_with(b"unused") {
                arrays.push(head(line).ok_or(line)?);
                begun = Some(line);
            }
        } else if let Some(array) = arrays.last_mut() {
            match begun.take() {
                Some(head) => array.read_blocks(head, line).ok_or(line)?,
                None => array.read_progress(line).ok_or(line)?,
            }
        }
    }
    begun.map_or(Ok(arrays), Err)
}

/// A line such as `md3 : active raid6 sda1[8] sdh1[7](F) sdi1[12](S)`.
fn head(line: &[u8]) -> Option<Array<'_>> {
    let mut fields = scan::fields(line);
    let name = fields.next()?;
    fields.next().filter(|colon| *colon == b":")?;
    let state = match fields.next()? {
        b"active" => "active",
        b"inactive" => "inactive",
        _ => "",
    };
    let with = |end: &[u8]| fields.clone().filter(|field| field.ends_with(end)).count() as u64;
    Some(Array { name, state, failed: with(b"(F)"), spare: with(b"(S)"), ..Array::default() })
}

impl Array<'_> {
    /// A line such as `5853468288 blocks super 1.2 level 6, 64k chunk, algorithm 2 [8/7] [UUUUUU_U]`.
    fn read_blocks(&mut self, head: &[u8], line: &[u8]) -> Option<()> {
        let mut fields = scan::fields(line);
        self.blocks = fields.number()?;
        self.synced = self.blocks;
        fields.next().filter(|word| *word == b"blocks")?;
        let mut words = scan::fields(head);
        if words.any(|word| matches!(word, b"raid0" | b"linear")) {
            // All disks are needed, so those that are there are those that work.
            self.required = scan::fields(head).filter(|word| word.contains(&b'[')).count() as u64;
            self.active = self.required;
            return Some(());
        }
        if self.state == "inactive" {
            return Some(());
        }
        let (required, active) = fields.find_map(disks)?;
        (self.required, self.active) = (required, active);
        Some(())
    }

    /// A line such as `[=>...]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec`, or
    /// one that says something else.
    fn read_progress(&mut self, line: &[u8]) -> Option<()> {
        let has = |word: &[u8]| memchr::memmem::find(line, word).is_some();
        self.state = match (has(b"recovery"), has(b"check"), has(b"resync")) {
            (true, ..) => "recovering",
            (_, true, _) => "check",
            (.., true) => "resync",
            // Others, such as the bitmap or a change of shape.
            _ => return Some(()),
        };
        if has(b"PENDING") || has(b"DELAYED") {
            self.synced = 0;
            return Some(());
        }
        let inner = |field: &'_ [u8]| -> Option<u64> {
            let inner = field.strip_prefix(b"(")?.strip_suffix(b")")?;
            scan::number(scan::split_at(inner, b'/')?.0)
        };
        self.synced = scan::fields(line).find_map(inner)?;
        Some(())
    }
}

/// The numbers in `[8/7]`.
fn disks(field: &[u8]) -> Option<(u64, u64)> {
    let inner = field.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let (required, active) = scan::split_at(inner, b'/')?;
    Some((scan::number(required)?, scan::number(active)?))
}

impl Collector for MdAdm {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !self.file.read_if_exists(context.paths, Root::Proc, format_args!("mdstat"))? {
            return Err(CollectError::NoData("the kernel has no RAID arrays".into()));
        }
        [&mut self.arrays, &mut self.disks, &mut self.states, &mut self.sysfs]
            .into_iter()
            .for_each(Table::clear);
        self.add()?;
        self.add_sysfs(context)?;
        for table in [&mut self.arrays, &mut self.disks, &mut self.states, &mut self.sysfs] {
            table.write(&mut context.out);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn arrays_in_all_their_states() {
        let array = |name: &'static str, state, required, active, blocks, synced| Array {
            name: name.as_bytes(),
            state,
            required,
            active,
            blocks,
            synced,
            ..Array::default()
        };
        for (text, expected) in [
            (
                "md3 : active raid6 sda1[8] sdh1[7](F) sdi1[12](S)\n 5 blocks super 1.2 [8/7] [UU_]\n",
                Array { failed: 1, spare: 1, ..array("md3", "active", 8, 7, 5, 5) },
            ),
            (
                "md0 : active raid0 sdi1[0] sdh1[1]\n 40 blocks 512k chunks\n",
                array("md0", "active", 2, 2, 40, 40),
            ),
            ("md1 : inactive sdb2[2]\n 40 blocks super 1.2\n", array("md1", "inactive", 0, 0, 40, 40)),
            (
                "md6 : active raid1 b[2] a[0]\n 195 blocks [2/1] [U_]\n [=>] recovery = 8.5% (16/195) x\n",
                array("md6", "recovering", 2, 1, 195, 16),
            ),
            (
                "md8 : active raid1 b[1] a[0]\n 195 blocks [2/2] [UU]\n bitmap: 0/1\n\tresync=DELAYED\n",
                array("md8", "resync", 2, 2, 195, 0),
            ),
            (
                "md9 : active raid1 b[1] a[0]\n 195 blocks [2/2] [UU]\n [=>] check = 5.7% (12/195) x\n\n",
                array("md9", "check", 2, 2, 195, 12),
            ),
        ] {
            let text = format!("Personalities : [raid1]\n{text}unused devices: <none>\n");
            assert_eq!(parse(scan::lines(text.as_bytes())), Ok(vec![expected]), "{text}");
        }
        for text in
            ["md0\n", "md0 : active raid1 a[0]\n", "md0 : active raid1 a[0]\n 5 blocks\n", "x y z\n 1\n"]
        {
            assert!(parse(scan::lines(text.as_bytes())).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(scan::lines(&data));
        }
    }
}
