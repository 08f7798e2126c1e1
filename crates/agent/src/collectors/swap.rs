//! `swap`: the places that memory is swapped to, from `/proc/swaps`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType;
use std::borrow::Cow;

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Swap {
    file: File,
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
struct Place<'a> {
    device: Cow<'a, str>,
    kind: Cow<'a, str>,
    size_kib: u64,
    used_kib: u64,
    priority: f64,
}

/// A metric, its help, and its value of a place.
type Column = (&'static str, &'static str, fn(&Place<'_>) -> f64);

const COLUMNS: [Column; 3] = [
    ("node_swap_size_bytes", "The size of each swap device.", |place| place.size_kib as f64 * 1024.0),
    ("node_swap_used_bytes", "How much of each swap device is used.", |place| place.used_kib as f64 * 1024.0),
    ("node_swap_priority", "The priority of each swap device; the highest is filled first.", |place| {
        place.priority
    }),
];

impl Collector for Swap {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("swaps"))?;
        if !self.file.data().starts_with(b"Filename") {
            return Err(self.file.malformed("the head of the table is expected"));
        }
        let mut places: Vec<Place<'_>> = Vec::new();
        for line in self.file.lines()?.skip(1) {
            let place = parse(line).ok_or_else(|| self.file.bad_line(line, "a swap device is expected"))?;
            if places.iter().any(|known| (&known.device, &known.kind) == (&place.device, &place.kind)) {
                return Err(self.file.bad_line(line, "a swap device stands twice: again"));
            }
            places.push(place);
        }
        for (name, help, value) in COLUMNS {
            let mut family = context.out.family(name, MetricType::Gauge, help);
            for place in &places {
                family.sample(&[("device", &place.device), ("swap_type", &place.kind)], value(place));
            }
        }
        Ok(())
    }
}

/// A line such as `/dev/sda2 partition 8388604 1024 -2`. The kernel writes blanks in names as `\040`.
fn parse(line: &[u8]) -> Option<Place<'_>> {
    let mut fields = scan::fields(line);
    let (device, kind) = (scan::text(fields.next()?), scan::text(fields.next()?));
    let (size_kib, used_kib) = (fields.number()?, fields.number()?);
    let priority = fields.next()?;
    let magnitude = scan::number(priority.strip_prefix(b"-").unwrap_or(priority))? as f64;
    let priority = if priority.starts_with(b"-") { -magnitude } else { magnitude };
    Some(Place { device, kind, size_kib, used_kib, priority })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_devices() {
        let place = parse(b"/dev/zram0                              partition\t4194300\t0\t100").unwrap();
        assert_eq!((&*place.device, &*place.kind, place.priority), ("/dev/zram0", "partition", 100.0));
        assert_eq!(parse(b"/swap file 8 4 -2").map(|place| place.priority), Some(-2.0));
        for line in ["", "/swap file 8 4", "/swap file 8 x 1", "/swap file 8 4 --2"] {
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
