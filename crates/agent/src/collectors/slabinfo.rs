//! `slabinfo`: the kernel's caches of equal objects, from `/proc/slabinfo`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    filter::Filter,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType;

/// The numbers of a cache, in the order of the file: metric and help.
const COLUMNS: [(&str, &str); 5] = [
    ("node_slabinfo_active_objects", "Objects of each slab cache that are in use."),
    ("node_slabinfo_objects", "Objects of each slab cache, in use and free."),
    ("node_slabinfo_object_size_bytes", "The size of an object of each slab cache, in bytes."),
    ("node_slabinfo_objects_per_slab", "How many objects a slab of each cache holds."),
    ("node_slabinfo_pages_per_slab", "How many pages a slab of each cache takes."),
];

/// A cache's name and numbers.
type Cache<'a> = (&'a [u8], [u64; COLUMNS.len()]);

/// The collector.
#[derive(Debug)]
pub(crate) struct SlabInfo {
    file: File,
    caches: Filter,
}

impl SlabInfo {
    pub(crate) fn new(caches: &Filter) -> Self {
        Self { file: File::default(), caches: caches.clone() }
    }

    /// The caches that are shown, by name. The kernel can have several of one name: the first counts.
    fn shown(&self) -> Result<Vec<Cache<'_>>, CollectError> {
        let is_head = |line: &&[u8]| line.starts_with(b"slabinfo ") || line.starts_with(b"#");
        let mut caches = Vec::new();
        for line in self.file.lines()?.skip_while(is_head) {
            let cache = parse(line);
            let cache = cache.ok_or_else(|| self.file.bad_line(line, "a name and 5 numbers are expected"))?;
            if self.caches.admits(cache.0) {
                caches.push(cache);
            }
        }
        caches.sort_by_key(|cache| cache.0);
        caches.dedup_by_key(|cache| cache.0);
        Ok(caches)
    }
}

impl Collector for SlabInfo {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("slabinfo"))?;
        if !self.file.data().starts_with(b"slabinfo - version: 2.") {
            return Err(self.file.malformed("version 2 of the table is expected"));
        }
        let caches = self.shown()?;
        for (column, (name, help)) in COLUMNS.iter().enumerate() {
            let mut family = context.out.family(name, MetricType::Gauge, help);
            for (cache, numbers) in &caches {
                family.sample(&[("slab", &scan::text(cache))], numbers[column] as f64);
            }
        }
        Ok(())
    }
}

/// A line such as `dentry 27 42 192 21 1 : tunables …`. Names have no blanks.
fn parse(line: &[u8]) -> Option<Cache<'_>> {
    let mut fields = scan::fields(line);
    let name = fields.next()?;
    let mut numbers = [0; COLUMNS.len()];
    for number in &mut numbers {
        *number = fields.number()?;
    }
    (fields.next()? == b":").then_some((name, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_caches() {
        let line = b"kmalloc-8k  136 136 8192 4 8 : tunables 0 0 0 : slabdata 34 34 0";
        assert_eq!(parse(line), Some((&b"kmalloc-8k"[..], [136, 136, 8192, 4, 8])));
        for line in
            ["", "dentry", "dentry 1 2 3 4 :", "dentry 1 2 3 4 x :", "dentry 1 2 3 4 5", "a 1 2 3 4 5 6 :"]
        {
            assert_eq!(parse(line.as_bytes()), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..120)) {
            parse(&line);
        }
    }
}
