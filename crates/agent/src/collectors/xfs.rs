//! `xfs`: what each XFS file system did, from `/sys/fs/xfs/*/stats/stats`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, names_in},
};
use skopos_model::MetricType;

const FOLDER: &str = "fs/xfs";

/// A number of a line, and its family.
#[derive(Debug)]
struct Column {
    line: &'static [u8],
    field: usize,
    name: &'static str,
    help: &'static str,
}

macro_rules! columns {
    ($($line:literal [$field:literal] $name:literal $help:literal;)+) => {
        [$(Column {
            line: $line,
            field: $field,
            name: concat!("node_xfs_", $name, "_total"),
            help: $help,
        }),+]
    };
}

const COLUMNS: [Column; 39] = columns! {
    b"abt"[1] "allocation_btree_compares" "Comparisons in the trees of free space.";
    b"abt"[0] "allocation_btree_lookups" "Look-ups in the trees of free space.";
    b"abt"[3] "allocation_btree_records_deleted" "Records deleted from the trees of free space.";
    b"abt"[2] "allocation_btree_records_inserted" "Records put into the trees of free space.";
    b"bmbt"[1] "block_map_btree_compares" "Comparisons in the trees of files' blocks.";
    b"bmbt"[0] "block_map_btree_lookups" "Look-ups in the trees of files' blocks.";
    b"bmbt"[3] "block_map_btree_records_deleted" "Records deleted from the trees of files' blocks.";
    b"bmbt"[2] "block_map_btree_records_inserted" "Records put into the trees of files' blocks.";
    b"blk_map"[6] "block_mapping_extent_list_compares" "Comparisons in lists of extents.";
    b"blk_map"[4] "block_mapping_extent_list_deletions" "Extents deleted from lists.";
    b"blk_map"[3] "block_mapping_extent_list_insertions" "Extents put into lists.";
    b"blk_map"[5] "block_mapping_extent_list_lookups" "Look-ups in lists of extents.";
    b"blk_map"[0] "block_mapping_reads" "Blocks mapped to read.";
    b"blk_map"[2] "block_mapping_unmaps" "Blocks taken from files.";
    b"blk_map"[1] "block_mapping_writes" "Blocks mapped to write.";
    b"dir"[1] "directory_operation_create" "Entries of directories made.";
    b"dir"[3] "directory_operation_getdents" "Directories listed.";
    b"dir"[0] "directory_operation_lookup" "Names looked up that the kernel's cache did not have.";
    b"dir"[2] "directory_operation_remove" "Entries of directories removed.";
    b"extent_alloc"[1] "extent_allocation_blocks_allocated" "Blocks allocated.";
    b"extent_alloc"[3] "extent_allocation_blocks_freed" "Blocks freed.";
    b"extent_alloc"[0] "extent_allocation_extents_allocated" "Extents allocated.";
    b"extent_alloc"[2] "extent_allocation_extents_freed" "Extents freed.";
    b"ig"[0] "inode_operation_attempts" "Inodes looked for in the cache.";
    b"ig"[6] "inode_operation_attribute_changes" "Attributes of inodes changed.";
    b"ig"[4] "inode_operation_duplicates" "Inodes that another task put into the cache first.";
    b"ig"[1] "inode_operation_found" "Inodes found in the cache.";
    b"ig"[3] "inode_operation_missed" "Inodes that the cache did not have.";
    b"ig"[5] "inode_operation_reclaims" "Inodes dropped from the cache.";
    b"ig"[2] "inode_operation_recycled" "Inodes found in the cache that were about to be dropped.";
    b"rw"[1] "read_calls" "Calls that read from files.";
    b"vnodes"[0] "vnode_active" "Vnodes that are in use.";
    b"vnodes"[1] "vnode_allocate" "Vnodes allocated.";
    b"vnodes"[2] "vnode_get" "Vnodes fetched.";
    b"vnodes"[3] "vnode_hold" "Vnodes held.";
    b"vnodes"[5] "vnode_reclaim" "Vnodes reclaimed.";
    b"vnodes"[4] "vnode_release" "Vnodes released.";
    b"vnodes"[6] "vnode_remove" "Vnodes removed.";
    b"rw"[0] "write_calls" "Calls that write to files.";
};

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Xfs {
    file: File,
    devices: Vec<(String, [Option<u64>; COLUMNS.len()])>,
}

impl Collector for Xfs {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.devices.clear();
        for device in names_in(context.paths, Root::Sys, FOLDER)? {
            let path = format_args!("{FOLDER}/{device}/stats/stats");
            match self.file.read(context.paths, Root::Sys, path) {
                Ok(()) => {}
                // `stats` and `debug` stand beside the devices.
                Err(CollectError::Read { error, .. }) if is_no_device(&error) => continue,
                Err(error) => return Err(error),
            }
            let mut values = [None; COLUMNS.len()];
            for line in self.file.lines()? {
                read(line, &mut values)
                    .ok_or_else(|| self.file.bad_line(line, "a name and numbers are expected"))?;
            }
            self.devices.push((device, values));
        }
        for (i, column) in COLUMNS.iter().enumerate() {
            let mut family = context.out.family(column.name, MetricType::Counter, column.help);
            for (device, values) in &self.devices {
                if let Some(value) = values[i] {
                    family.sample(&[("device", device)], value as f64);
                }
            }
        }
        Ok(())
    }
}

fn is_no_device(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// A line such as `extent_alloc 92447 97589 92448 93751`.
fn read(line: &[u8], values: &mut [Option<u64>; COLUMNS.len()]) -> Option<()> {
    let mut fields = scan::fields(line);
    let Some(name) = fields.next() else { return Some(()) };
    if COLUMNS.iter().all(|column| column.line != name) {
        return Some(());
    }
    for (field, text) in fields.enumerate() {
        let number = scan::number(text)?;
        let at = COLUMNS.iter().position(|column| column.line == name && column.field == field);
        if let Some(at) = at {
            values[at] = Some(number);
        }
    }
    Some(())
}
