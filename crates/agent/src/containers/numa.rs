//! The memory of a control group by the machine's nodes of memory: `memory.numa_stat` of both versions.

use crate::scan;

/// What cAdvisor shows.
const KINDS: [&str; 3] = ["anon", "file", "unevictable"];
/// What version 1 writes before a kind that counts groups below, too.
const BELOW: &[u8] = b"hierarchical_";

/// Memory of one kind on one node.
#[derive(Debug, PartialEq)]
pub(super) struct OnNode {
    pub(super) kind: &'static str,
    /// `container` is the group's own, `hierarchy` counts groups below, too.
    pub(super) scope: &'static str,
    pub(super) node: u32,
    pub(super) pages: f64,
}

/// Lines such as `file=30 N0=10 N1=20` of version 1, in pages.
pub(super) fn v1(content: &[u8], found: &mut Vec<OnNode>) {
    for line in whole_lines(content) {
        let (line, scope) = match line.strip_prefix(BELOW) {
            Some(line) => (line, "hierarchy"),
            None => (line, "container"),
        };
        if let Some((kind, _)) = scan::split_at(line, b'=') {
            add(kind, scope, line, 1.0, found);
        }
    }
}

/// Lines such as `file N0=40960 N1=81920` of version 2, in bytes, of the group and all below it.
pub(super) fn v2(content: &[u8], page_bytes: u64, found: &mut Vec<OnNode>) {
    for line in whole_lines(content) {
        add(scan::fields(line).next().unwrap_or_default(), "hierarchy", line, page_bytes as f64, found);
    }
}

/// A last line without its end may be cut.
fn whole_lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    scan::lines(memchr::memrchr(b'\n', content).map_or(&[][..], |end| &content[..end]))
}

fn add(kind: &[u8], scope: &'static str, line: &[u8], unit: f64, found: &mut Vec<OnNode>) {
    let Some(kind) = KINDS.iter().find(|known| known.as_bytes() == kind) else { return };
    for field in scan::fields(line).skip(1) {
        let of_node = field.strip_prefix(b"N").and_then(|field| scan::split_at(field, b'='));
        let numbers = of_node.and_then(|(node, value)| Some((scan::number(node)?, scan::number(value)?)));
        if let Some((node, value)) = numbers
            && let Ok(node) = u32::try_from(node)
        {
            found.push(OnNode { kind, scope, node, pages: value as f64 / unit });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn on_node(kind: &'static str, scope: &'static str, node: u32, pages: f64) -> OnNode {
        OnNode { kind, scope, node, pages }
    }

    #[test]
    fn memory_is_told_by_node() {
        let mut found = Vec::new();
        v1(b"total=9 N0=9\nfile=5 N0=3 N1=2\nhierarchical_anon=8 N0=8 N1=x\nunevictable=0 N0=0", &mut found);
        let own = [on_node("file", "container", 0, 3.0), on_node("file", "container", 1, 2.0)];
        assert_eq!(found[..2], own);
        assert_eq!(found[2..], [on_node("anon", "hierarchy", 0, 8.0)], "what is odd or cut is left out");
        found.clear();
        v2(b"anon N0=8192 N1=0\nfile_mapped N0=4096\nunevictable N0=4096\n", 4096, &mut found);
        let below = [("anon", 0, 2.0), ("anon", 1, 0.0), ("unevictable", 0, 1.0)];
        assert_eq!(found, below.map(|(kind, node, pages)| on_node(kind, "hierarchy", node, pages)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in "(anon|file|hierarchical_|=|N| |\\n|[0-9]|.){0,30}") {
            v1(text.as_bytes(), &mut Vec::new());
            v2(text.as_bytes(), 4096, &mut Vec::new());
        }
    }
}
