//! `meminfo`: every field of `/proc/meminfo`, in bytes where the kernel gives kilobytes.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{KeptFile, Root},
};
use skopos_model::MetricType;

const KILOBYTE: f64 = 1024.0;

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct MemInfo {
    file: KeptFile,
    name: String,
}

impl Collector for MemInfo {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("meminfo"))?;
        for line in self.file.lines()? {
            let field = parse(line).ok_or_else(|| self.file.bad_line(line, "a field is expected"))?;
            write_name(&mut self.name, &field);
            context
                .out
                .family(&self.name, MetricType::Gauge, "A field of /proc/meminfo.")
                .sample(&[], field.value);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Field<'a> {
    key: &'a [u8],
    /// In bytes, or in pages when it is not a size.
    value: f64,
    is_size: bool,
}

/// A line such as `Active(anon):  1596 kB` or `HugePages_Free:  0`.
fn parse(line: &[u8]) -> Option<Field<'_>> {
    let (key, rest) = scan::split_at(line, b':')?;
    let is_key_byte = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'(' | b')');
    if key.is_empty() || !key.iter().all(is_key_byte) {
        return None;
    }
    let mut fields = scan::fields(rest);
    let value = fields.number()? as f64;
    match (fields.next(), fields.next()) {
        (None, _) => Some(Field { key, value, is_size: false }),
        (Some(b"kB"), None) => Some(Field { key, value: value * KILOBYTE, is_size: true }),
        _ => None,
    }
}

/// `Active(anon)` becomes `node_memory_Active_anon_bytes`.
fn write_name(name: &mut String, field: &Field<'_>) {
    name.clear();
    name.push_str("node_memory_");
    for byte in field.key {
        match byte {
            b'(' => name.push('_'),
            b')' => {}
            _ => name.push(char::from(*byte)),
        }
    }
    if field.is_size {
        name.push_str("_bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_values() {
        for (line, name, value) in [
            ("MemTotal:       24684084 kB", "node_memory_MemTotal_bytes", 25_276_502_016.0),
            ("Active(anon):       1596 kB", "node_memory_Active_anon_bytes", 1_634_304.0),
            ("HugePages_Total:       3", "node_memory_HugePages_Total", 3.0),
        ] {
            let field = parse(line.as_bytes()).unwrap();
            let mut written = String::new();
            write_name(&mut written, &field);
            assert_eq!((written.as_str(), field.value), (name, value));
        }
        for line in
            ["", "MemTotal 1 kB", "Mem Total: 1 kB", "MemTotal: kB", "MemTotal: -1 kB", "MemTotal: 1 MB"]
        {
            assert!(parse(line.as_bytes()).is_none(), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(field) = parse(&line) {
                let mut name = String::new();
                write_name(&mut name, &field);
                prop_assert!(scan::is_name(name.as_bytes()));
            }
        }
    }
}
