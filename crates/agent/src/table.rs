//! Rows of values that become families: collectors find them device by device, pages have them family by
//! family. Buffers are kept from scrape to scrape.

use crate::output::Output;
use skopos_model::MetricType;

/// A family.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: MetricType,
    pub(crate) help: &'static str,
}

/// A family that goes up and down.
pub(crate) const fn gauge(name: &'static str, help: &'static str) -> Column {
    Column { name, kind: MetricType::Gauge, help }
}

/// A family that only grows.
pub(crate) const fn counter(name: &'static str, help: &'static str) -> Column {
    Column { name, kind: MetricType::Counter, help }
}

/// The rows of one scrape.
#[derive(Debug)]
pub(crate) struct Table {
    labels: &'static [&'static str],
    columns: &'static [Column],
    /// The label values of all rows, one behind the other, and where each ends.
    text: String,
    ends: Vec<usize>,
    values: Vec<Option<f64>>,
    /// The rows in the order of their labels.
    order: Vec<usize>,
}

impl Table {
    /// A table of these families, which have these labels.
    pub(crate) fn new(labels: &'static [&'static str], columns: &'static [Column]) -> Self {
        let (text, ends) = (String::new(), Vec::new());
        Self { labels, columns, text, ends, values: Vec::new(), order: Vec::new() }
    }

    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.values.clear();
    }

    /// Adds a row, whose values are to be filled in: one for each column. There is a label value for each
    /// label.
    pub(crate) fn row(&mut self, labels: &[&str]) -> &mut [Option<f64>] {
        assert_eq!(labels.len(), self.labels.len(), "invariant: a row has as many labels as the table");
        for label in labels {
            self.text.push_str(label);
            self.ends.push(self.text.len());
        }
        let start = self.values.len();
        self.values.resize(start + self.columns.len(), None);
        &mut self.values[start..]
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.columns.len()
    }

    fn label(&self, row: usize, at: usize) -> &str {
        let at = row * self.labels.len() + at;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }

    /// Writes the families, with the rows in the order of their labels. Of two rows with the same labels the
    /// first one counts.
    pub(crate) fn write(&mut self, out: &mut Output<'_>) {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(0..self.len());
        let this = &*self;
        let labels = move |row: usize| (0..this.labels.len()).map(move |at| this.label(row, at));
        order.sort_by(|a, b| labels(*a).cmp(labels(*b)));
        order.dedup_by(|later, first| labels(*later).eq(labels(*first)));
        let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(this.labels.len());
        for (at, column) in this.columns.iter().enumerate() {
            let mut family = out.family(column.name, column.kind, column.help);
            for row in &order {
                let Some(value) = this.values[row * this.columns.len() + at] else { continue };
                pairs.clear();
                pairs.extend(this.labels.iter().copied().zip(labels(*row)));
                family.sample(&pairs, value);
            }
        }
        self.order = order;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_exposition::Format;

    const COLUMNS: &[Column] = &[counter("a_total", "A."), gauge("b", "B."), gauge("c", "C.")];

    #[test]
    fn rows_become_families_sorted_and_once() {
        let mut table = Table::new(&["x", "y"], COLUMNS);
        for _ in 0..2 {
            table.clear();
            table.row(&["eth1", ""])[0] = Some(1.0);
            table.row(&["eth0", "z"]).copy_from_slice(&[Some(2.0), Some(3.0), None]);
            table.row(&["eth0", "z"])[0] = Some(9.0);
            table.row(&["eth0", "a"])[0] = Some(4.0);
            assert_eq!(table.len(), 4);
            let mut page = Vec::new();
            table.write(&mut Output::new(Format::Text, &mut page));
            let expected = "# HELP a_total A.\n# TYPE a_total counter\n\
                a_total{x=\"eth0\",y=\"a\"} 4\na_total{x=\"eth0\",y=\"z\"} 2\na_total{x=\"eth1\",y=\"\"} 1\n\
                # HELP b B.\n# TYPE b gauge\nb{x=\"eth0\",y=\"z\"} 3\n";
            assert_eq!(String::from_utf8(page).unwrap(), expected);
        }
    }

    #[test]
    fn a_table_without_labels_has_one_row() {
        let mut table = Table::new(&[], COLUMNS);
        table.row(&[])[1] = Some(1.0);
        let mut page = Vec::new();
        table.write(&mut Output::new(Format::Text, &mut page));
        assert_eq!(String::from_utf8(page).unwrap(), "# HELP b B.\n# TYPE b gauge\nb 1\n");
    }
}
