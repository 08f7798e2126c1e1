//! Lines of values between commas, and the `format` that says what each column is, as VictoriaMetrics has it:
//! `2:label:host,3:metric:temperature,1:time:unix_s`.

use skopos_model::{TimestampMs, name::METRIC_NAME};

/// Columns up to this one may be named.
const COLUMNS_MAX: u32 = 1000;

/// What each column is.
#[derive(Clone, Debug, PartialEq)]
pub struct CsvFormat {
    text: String,
    columns: Vec<(u32, Column)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Column {
    Metric(String),
    Label(String),
    Time(Time),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Time {
    Seconds,
    Milliseconds,
    Nanoseconds,
    Rfc3339,
}

/// Why a format is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("format {part:?}: {reason}")]
pub struct FormatError {
    part: String,
    reason: &'static str,
}

/// A line, taken apart.
#[derive(Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) timestamp: Option<TimestampMs>,
    /// Columns with their values; what is empty is left out.
    pub(crate) values: Vec<(u32, f64)>,
}

impl CsvFormat {
    /// Reads a format.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let columns: Result<Vec<_>, _> = text.split(',').map(column).collect();
        let columns = columns?;
        let wrong = |reason| FormatError { part: text.to_owned(), reason };
        if !columns.iter().any(|(_, column)| matches!(column, Column::Metric(_))) {
            return Err(wrong("there is no column `N:metric:NAME`"));
        }
        if columns.iter().filter(|(_, column)| matches!(column, Column::Time(_))).count() > 1 {
            return Err(wrong("there are two columns of time"));
        }
        Ok(Self { text: text.to_owned(), columns })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The metric's name in this column.
    pub(crate) fn metric(&self, wanted: u32) -> Option<&str> {
        self.columns.iter().find_map(|(at, column)| match column {
            Column::Metric(name) if *at == wanted => Some(name.as_str()),
            _ => None,
        })
    }

    /// Takes a line apart.
    ///
    /// # Errors
    /// When a column is missing or is not what it should be.
    pub(crate) fn row(&self, line: &[u8]) -> Result<Row, &'static str> {
        let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
        let cells = cells(line)?;
        let mut row = Row { labels: Vec::new(), timestamp: None, values: Vec::new() };
        for (at, column) in &self.columns {
            let cell = cells.get(*at as usize - 1).ok_or("there are fewer columns than the format has")?;
            match column {
                Column::Label(name) => row.labels.push((name.clone(), cell.clone())),
                Column::Metric(_) if cell.is_empty() => {}
                Column::Metric(_) => {
                    row.values.push((*at, cell.parse().map_err(|_| "a value is no number")?));
                }
                Column::Time(time) => row.timestamp = Some(time.read(cell)?),
            }
        }
        Ok(row)
    }
}

fn column(part: &str) -> Result<(u32, Column), FormatError> {
    let wrong = |reason| FormatError { part: part.to_owned(), reason };
    let mut words = part.splitn(3, ':');
    let (at, kind, context) = (words.next(), words.next(), words.next());
    let (Some(at), Some(kind), Some(context)) = (at, kind, context) else {
        return Err(wrong("write COLUMN:TYPE:CONTEXT"));
    };
    let at: Option<u32> = at.parse().ok().filter(|at| (1..=COLUMNS_MAX).contains(at));
    let at = at.ok_or(wrong("a column is a number from 1 to 1000"))?;
    let name = || match context {
        "" => Err(wrong("it has no name")),
        METRIC_NAME => Err(wrong("write `N:metric:NAME`")),
        name => Ok(name.to_owned()),
    };
    let column = match kind {
        "metric" => Column::Metric(name()?),
        "label" => Column::Label(name()?),
        "time" => Column::Time(match context {
            "unix_s" => Time::Seconds,
            "unix_ms" => Time::Milliseconds,
            "unix_ns" => Time::Nanoseconds,
            "rfc3339" => Time::Rfc3339,
            _ => return Err(wrong("a time is unix_s, unix_ms, unix_ns or rfc3339")),
        }),
        _ => return Err(wrong("a type is metric, label or time")),
    };
    Ok((at, column))
}

impl Time {
    fn read(self, cell: &str) -> Result<TimestampMs, &'static str> {
        const NO_TIME: &str = "a time is none";
        let whole = || cell.parse::<i64>().map_err(|_| NO_TIME);
        Ok(TimestampMs::new(match self {
            Self::Seconds => (cell.parse::<f64>().map_err(|_| NO_TIME)? * 1000.0) as i64,
            Self::Milliseconds => whole()?,
            Self::Nanoseconds => whole()?.div_euclid(1_000_000),
            Self::Rfc3339 => cell.parse::<jiff::Timestamp>().map_err(|_| NO_TIME)?.as_millisecond(),
        }))
    }
}

/// The cells of a line. One in quotes may have commas, and quotes that stand twice.
fn cells(line: &str) -> Result<Vec<String>, &'static str> {
    let (mut cells, mut rest) = (Vec::new(), line);
    loop {
        let mut cell = String::new();
        if let Some(mut inside) = rest.strip_prefix('"') {
            loop {
                let end = inside.find('"').ok_or("a quote is not closed")?;
                cell.push_str(&inside[..end]);
                inside = &inside[end + 1..];
                match inside.strip_prefix('"') {
                    Some(behind) => {
                        cell.push('"');
                        inside = behind;
                    }
                    None => break,
                }
            }
            rest = inside;
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            cell.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        cells.push(cell);
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if rest.is_empty() => return Ok(cells),
            None => return Err("something stands behind a closing quote"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_their_format_says() {
        let format = CsvFormat::parse("2:label:host,3:metric:temp,1:time:unix_s,4:metric:load").unwrap();
        assert_eq!((format.metric(3), format.metric(2)), (Some("temp"), None));
        let row = format.row(br#"1700000000.5,"a, ""b""",21.5,"#).unwrap();
        assert_eq!(row.labels, [("host".to_owned(), "a, \"b\"".to_owned())]);
        assert_eq!((row.timestamp, row.values), (Some(TimestampMs::new(1_700_000_000_500)), vec![(3, 21.5)]));
        let time = |kind: &str, cell: &str| {
            let format = CsvFormat::parse(&format!("1:time:{kind},2:metric:m")).unwrap();
            format.row(format!("{cell},1").as_bytes()).map(|row| row.timestamp.unwrap().as_ms())
        };
        assert_eq!(time("rfc3339", "2023-11-14T22:13:20Z"), Ok(1_700_000_000_000));
        assert_eq!((time("unix_ms", "17"), time("unix_ns", "17000001")), (Ok(17), Ok(17)));
        assert_eq!(time("unix_ms", "x"), Err("a time is none"));
        for (line, reason) in [
            ("1", "there are fewer columns than the format has"),
            ("1,a,x,1", "a value is no number"),
            ("1,\"a,x,1", "a quote is not closed"),
            ("1,\"a\"b,x,1", "something stands behind a closing quote"),
        ] {
            assert_eq!(format.row(line.as_bytes()), Err(reason), "{line}");
        }
    }

    #[test]
    fn formats_that_are_none_say_why() {
        for (text, part) in [
            ("", "write COLUMN:TYPE:CONTEXT"),
            ("1:metric", "write COLUMN:TYPE:CONTEXT"),
            ("0:metric:a", "from 1 to 1000"),
            ("1:label:a", "no column `N:metric:NAME`"),
            ("1:metric:", "it has no name"),
            ("1:metric:a,2:time:x", "a time is unix_s"),
            ("1:x:a", "a type is metric"),
            ("1:metric:a,2:time:unix_s,3:time:unix_s", "two columns of time"),
        ] {
            let error = CsvFormat::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
