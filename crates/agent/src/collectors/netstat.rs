//! `netstat`: the chosen counters of the protocols, from `/proc/net/netstat`, `/proc/net/snmp` and
//! `/proc/net/snmp6`. Which are chosen is decided once for each head of the tables, as heads stay the same.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    output::Output,
    scan,
    source::{KeptFile, Root},
};
use regex::bytes::Regex;
use skopos_model::MetricType;

const TABLES: [&str; 2] = ["net/netstat", "net/snmp"];

/// The collector.
#[derive(Debug)]
pub(crate) struct NetStat {
    file: KeptFile,
    fields: Regex,
    /// The heads of each table, in the table's order.
    heads: [Vec<Head>; TABLES.len()],
    /// The lines of the table of IPv6.
    lines: Vec<Line>,
}

/// A line of names, above a line of values.
#[derive(Debug, Default)]
struct Head {
    text: Vec<u8>,
    columns: usize,
    /// The chosen columns, and their families.
    chosen: Vec<(usize, String)>,
}

/// A name of the table of IPv6.
#[derive(Debug, Default)]
struct Line {
    name: Vec<u8>,
    /// Its family, if it is chosen.
    family: Option<String>,
}

impl Head {
    fn read(&mut self, text: &[u8], fields: &Regex) -> Option<()> {
        if self.text == text {
            return Some(());
        }
        self.text.clear();
        self.chosen.clear();
        let mut names = scan::fields(text);
        let protocol = names.next()?.strip_suffix(b":")?;
        self.columns = 0;
        for (at, name) in names.enumerate() {
            self.columns += 1;
            self.chosen.extend(family(protocol, name, fields).map(|family| (at, family)));
        }
        self.text.extend_from_slice(text);
        Some(())
    }

    /// Writes the values of the line below the head; its chosen columns stand in the line's order.
    fn write(&self, line: &[u8], out: &mut Output<'_>) -> Option<()> {
        let protocol = scan::fields(&self.text).next()?;
        let mut values = scan::fields(line);
        if values.next()? != protocol || values.clone().count() != self.columns {
            return None;
        }
        let mut next = 0;
        for (at, family) in &self.chosen {
            let value = scan::signed_decimal(values.nth(at - next)?)?;
            next = at + 1;
            write(family, value, out);
        }
        Some(())
    }
}

/// The family of the field, if it is chosen.
fn family(protocol: &[u8], name: &[u8], fields: &Regex) -> Option<String> {
    if !scan::is_name(protocol) || !scan::is_name(name) {
        return None;
    }
    let field = format!("{}_{}", scan::text(protocol), scan::text(name));
    fields.is_match(field.as_bytes()).then(|| format!("node_netstat_{field}"))
}

fn write(family: &str, value: f64, out: &mut Output<'_>) {
    // The kernel does not say which of these count and which do not.
    out.family(family, MetricType::Unknown, "A field of the kernel's statistics of protocols.")
        .sample(&[], value);
}

impl NetStat {
    pub(crate) fn new(fields: &Regex) -> Self {
        Self {
            file: KeptFile::default(),
            fields: fields.clone(),
            heads: TABLES.map(|_| Vec::new()),
            lines: Vec::new(),
        }
    }

    fn table(&mut self, at: usize, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("{}", TABLES[at]))?;
        let heads = &mut self.heads[at];
        let mut lines = self.file.lines()?;
        let mut count = 0;
        while let Some(names) = lines.next() {
            let values = lines.next().unwrap_or_default();
            if heads.len() == count {
                heads.push(Head::default());
            }
            let head = &mut heads[count];
            count += 1;
            head.read(names, &self.fields)
                .ok_or_else(|| self.file.bad_line(names, "the names of a protocol's fields are expected"))?;
            head.write(values, &mut context.out)
                .ok_or_else(|| self.file.bad_line(values, "as many values as names are expected"))?;
        }
        Ok(())
    }

    /// Reads the table of IPv6, which a kernel without IPv6 does not have.
    fn table_6(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !self.file.read_if_exists(context.paths, Root::Proc, format_args!("net/snmp6"))? {
            return Ok(());
        }
        for (at, line) in self.file.lines()?.enumerate() {
            let mut fields = scan::fields(line);
            if self.lines.len() == at {
                self.lines.push(Line::default());
            }
            let (Some(name), Some(value)) = (fields.next(), fields.next()) else { continue };
            let known = &mut self.lines[at];
            if known.name != name {
                known.name.clear();
                known.name.extend_from_slice(name);
                let end = name.iter().position(|b| *b == b'6').map(|end| end + 1);
                known.family = end.and_then(|end| family(&name[..end], &name[end..], &self.fields));
            }
            if let Some(family) = &known.family {
                let value = scan::signed_decimal(value)
                    .ok_or_else(|| self.file.bad_line(line, "a name and a number are expected"))?;
                write(family, value, &mut context.out);
            }
        }
        Ok(())
    }
}

impl Collector for NetStat {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        for at in 0..TABLES.len() {
            self.table(at, context)?;
        }
        self.table_6(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skopos_exposition::Format;

    #[test]
    fn a_head_decides_once_what_is_chosen() {
        let fields = Regex::new("^Tcp_(A|C)").unwrap();
        let mut head = Head::default();
        for (names, values, page) in [
            ("Tcp: A B C", "Tcp: 1 2 -3", Some("A 1 C -3")),
            ("Tcp: A B C", "Tcp: 4 5 6", Some("A 4 C 6")),
            ("Tcp: B C", "Tcp: 7 8", Some("C 8")),
            ("Tcp: B C", "Tcp: 7", None),
            ("Tcp: B C", "Udp: 7 8", None),
            ("Tcp: B C", "Tcp: 7 x", None),
        ] {
            head.read(names.as_bytes(), &fields).unwrap();
            let mut written = Vec::new();
            let ok = head.write(values.as_bytes(), &mut Output::new(Format::Text, &mut written));
            let text = String::from_utf8(written).unwrap();
            let samples = text.lines().filter_map(|line| line.strip_prefix("node_netstat_Tcp_"));
            let samples: Vec<&str> = samples.collect();
            assert_eq!(ok.map(|()| samples.join(" ")).as_deref(), page, "{names} {values}");
        }
        assert_eq!(head.read(b"Tcp", &fields), None);
    }

    proptest! {
        #[test]
        fn any_lines_are_read_without_panic(
            names in proptest::collection::vec(any::<u8>(), 0..80),
            values in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut head = Head::default();
            if head.read(&names, &Regex::new(".").unwrap()).is_some() {
                head.write(&values, &mut Output::new(Format::Text, &mut Vec::new()));
            }
        }
    }
}
