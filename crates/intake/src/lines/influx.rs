//! A line of Influx: `measurement,tag=value field=1,other=2i 1700000000000000000`. Fields become series as
//! VictoriaMetrics makes them: `measurement_field`, with the tags as labels; what is no number is 0, true is
//! 1.

use std::borrow::Cow;

/// A line, taken apart as far as a batch needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line<'a> {
    /// Measurement and tags, as they stand there.
    pub(crate) series: &'a [u8],
    /// What follows: fields, as they stand there.
    fields: &'a [u8],
    /// When it was, in the unit of the request; none where it does not say.
    pub(crate) timestamp: Option<i64>,
}

/// A field of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Field<'a> {
    /// The name, as it stands there.
    pub(crate) name: &'a [u8],
    /// Its value.
    pub(crate) value: f64,
}

impl<'a> Line<'a> {
    /// Takes a line apart.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, &'static str> {
        let line = line.trim_ascii();
        let at = find(line, b' ', Quotes::AreText).ok_or("there are no fields")?;
        let (series, rest) = (&line[..at], line[at..].trim_ascii_start());
        let (fields, timestamp) = match find(rest, b' ', Quotes::Hide) {
            None => (rest, None),
            Some(at) => {
                let text = std::str::from_utf8(rest[at..].trim_ascii()).map_err(|_| NO_TIME)?;
                (&rest[..at], Some(text.parse().map_err(|_| NO_TIME)?))
            }
        };
        if fields.is_empty() {
            return Err("there are no fields");
        }
        Ok(Self { series, fields, timestamp })
    }

    /// Calls `each` with every field.
    ///
    /// # Errors
    /// When one of them is none, behind those that are.
    pub(crate) fn each_field(&self, mut each: impl FnMut(Field<'a>)) -> Result<(), &'static str> {
        let mut rest = self.fields;
        loop {
            let end = find(rest, b',', Quotes::Hide);
            let field = &rest[..end.unwrap_or(rest.len())];
            let at = find(field, b'=', Quotes::AreText).ok_or("a field has no value")?;
            if at == 0 {
                return Err("a field has no name");
            }
            each(Field { name: &field[..at], value: value(&field[at + 1..])? });
            match end {
                Some(end) => rest = &rest[end + 1..],
                None => return Ok(()),
            }
        }
    }
}

/// The lines of a body without their ends, each with its number, counted from 0; empty ones are left out. A
/// text between quotes may go over several lines.
pub(crate) fn lines(body: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let (mut at, mut next_number) = (0, 0);
    let all = std::iter::from_fn(move || {
        let rest = body.get(at..).filter(|rest| !rest.is_empty())?;
        let first_end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        // Quotes that belong together by chance make no line of two.
        let is_line = |end: &usize| {
            *end == first_end || Line::parse(&rest[..*end]).is_ok_and(|l| l.each_field(|_| ()).is_ok())
        };
        let line = &rest[..end(rest).filter(is_line).unwrap_or(first_end)];
        let number = next_number;
        next_number += 1 + memchr::memchr_iter(b'\n', line).count();
        at += line.len() + 1;
        Some((number, line.strip_suffix(b"\r").unwrap_or(line)))
    });
    all.filter(|(_, line)| !line.trim_ascii().is_empty())
}

/// How many bytes of a text that ends with a line are whole lines: behind them stands one whose text between
/// quotes goes on. All of it where that would be nothing.
pub(crate) fn whole(text: &[u8]) -> usize {
    if memchr::memchr(b'"', text).is_none() {
        return text.len();
    }
    let mut at = 0;
    while let Some(end) = end(&text[at..]).filter(|end| at + end < text.len()) {
        at += end + 1;
    }
    if at == 0 { text.len() } else { at }
}

/// Whether a line says nothing.
pub(crate) fn is_comment(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"#")
}

/// Where the first line ends; none when its last text between quotes does not.
fn end(text: &[u8]) -> Option<usize> {
    let first_end = memchr::memchr(b'\n', text).unwrap_or(text.len());
    let line = &text[..first_end];
    let is_plain = memchr::memchr(b'"', line).is_none() || is_comment(line);
    let blanks = first_end - line.trim_ascii_start().len();
    let fields = find(&line[blanks..], b' ', Quotes::AreText).filter(|_| !is_plain);
    let Some(fields) = fields.map(|at| blanks + at) else { return Some(first_end) };
    match find(&text[fields..], b'\n', Quotes::Hide) {
        Some(end) => Some(fields + end),
        None => is_closed(&text[fields..]).then_some(text.len()),
    }
}

/// Whether each quote has another.
fn is_closed(text: &[u8]) -> bool {
    let (mut at, mut inside) = (0, false);
    while at < text.len() {
        match text[at] {
            b'\\' => at += 1,
            b'"' => inside = !inside,
            _ => {}
        }
        at += 1;
    }
    !inside
}

const NO_TIME: &str = "the timestamp is no whole number";

/// Calls `each` with name and value of every tag of the text `series`; gives the measurement.
///
/// # Errors
/// When it is not UTF-8, or a tag has no value.
pub(crate) fn tags<'a>(
    series: &'a [u8],
    mut each: impl FnMut(Cow<'a, str>, Cow<'a, str>),
) -> Result<Cow<'a, str>, &'static str> {
    let mut parts = Parts { rest: Some(series) };
    let measurement = unescaped(parts.next().unwrap_or_default())?;
    for tag in parts.filter(|tag| !tag.is_empty()) {
        let at = find(tag, b'=', Quotes::AreText).ok_or("a tag has no value")?;
        each(unescaped(&tag[..at])?, unescaped(&tag[at + 1..])?);
    }
    Ok(measurement)
}

/// Pieces between commas that no backslash hides.
struct Parts<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let end = find(rest, b',', Quotes::AreText);
        self.rest = end.map(|end| &rest[end + 1..]);
        Some(&rest[..end.unwrap_or(rest.len())])
    }
}

/// What quotes mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    /// Nothing.
    AreText,
    /// What is between two of them is text.
    Hide,
}

/// Where `wanted` stands first, hidden by no backslash and no quotes.
fn find(text: &[u8], wanted: u8, quotes: Quotes) -> Option<usize> {
    let (mut at, mut inside) = (0, false);
    while at < text.len() {
        match text[at] {
            b'\\' => at += 1,
            b'"' if quotes == Quotes::Hide => inside = !inside,
            b if b == wanted && !inside => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The text without its escapes: a backslash before a comma, an equals sign or a blank goes, and others stay.
pub(crate) fn unescaped(text: &[u8]) -> Result<Cow<'_, str>, &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "a name or tag is not UTF-8")?;
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut all = text.chars().peekable();
    while let Some(c) = all.next() {
        match all.peek() {
            Some(',' | '=' | ' ' | '\\') if c == '\\' => out.extend(all.next()),
            _ => out.push(c),
        }
    }
    Ok(Cow::Owned(out))
}

/// A value as a float. A text is the number that it says, or else 0.
fn value(text: &[u8]) -> Result<f64, &'static str> {
    match text {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Ok(1.0),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Ok(0.0),
        [b'"', inside @ .., b'"'] => Ok(super::float(inside).unwrap_or(0.0)),
        [digits @ .., b'i' | b'u'] => super::float(digits).ok_or("a field's value is no number"),
        _ => super::float(text).ok_or("a field's value is no number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measurement, tags, fields and time.
    type Read<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, f64)], Option<i64>);

    fn check(line: &str, expected: Result<Read<'_>, &str>) {
        let read = Line::parse(line.as_bytes()).and_then(|line| {
            let (mut pairs, mut fields) = (Vec::new(), Vec::new());
            let measurement = tags(line.series, |n, v| pairs.push((n.into_owned(), v.into_owned())))?;
            line.each_field(|f| fields.push((unescaped(f.name).unwrap().into_owned(), f.value)))?;
            Ok((measurement.into_owned(), pairs, fields, line.timestamp))
        });
        let expected = expected.map(|(measurement, pairs, fields, at)| {
            let pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            let fields: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
            (measurement.to_owned(), pairs, fields, at)
        });
        assert_eq!(read, expected, "{line}");
    }

    #[test]
    fn lines_are_read_as_influx_writes_them() {
        check(
            "cpu,host=a usage=1.5,idle=2i 17",
            Ok(("cpu", &[("host", "a")], &[("usage", 1.5), ("idle", 2.0)], Some(17))),
        );
        check("cpu v=3u", Ok(("cpu", &[], &[("v", 3.0)], None)));
        check("m on=true,off=F", Ok(("m", &[], &[("on", 1.0), ("off", 0.0)], None)));
        check(r#"m s="a, b=\" c",n="12" 5"#, Ok(("m", &[], &[("s", 0.0), ("n", 12.0)], Some(5))));
        check(r"a\ b\,c,t\=x=y\ z f\,g=1", Ok(("a b,c", &[("t=x", "y z")], &[("f,g", 1.0)], None)));
        check("m,a= v=1", Ok(("m", &[("a", "")], &[("v", 1.0)], None)));
        check("m v=1e400 -1", Ok(("m", &[], &[("v", f64::INFINITY)], Some(-1))));
        for (line, reason) in [
            ("m", "there are no fields"),
            ("m ", "there are no fields"),
            ("m v", "a field has no value"),
            ("m =1", "a field has no name"),
            ("m v=x", "a field's value is no number"),
            ("m v=", "a field's value is no number"),
            ("m v=1 x", NO_TIME),
            ("m,a v=1", "a tag has no value"),
        ] {
            check(line, Err(reason));
        }
    }

    #[test]
    fn texts_between_quotes_may_go_over_lines() {
        for (body, expected) in [
            ("a v=1\n\nb v=2", &[(0, "a v=1"), (2, "b v=2")][..]),
            ("m s=\"a\nb\",v=2\r\nn v=1\n", &[(0, "m s=\"a\nb\",v=2"), (2, "n v=1")]),
            ("m s=\"a\\\"\n\nb\" 5\nn v=1", &[(0, "m s=\"a\\\"\n\nb\" 5"), (3, "n v=1")]),
            // A quote without another, and two that are of different lines.
            ("m s=\"a\nn v=1\n", &[(0, "m s=\"a"), (1, "n v=1")]),
            ("m s=\"a\nn s=b\"c\no v=1", &[(0, "m s=\"a"), (1, "n s=b\"c"), (2, "o v=1")]),
            // Quotes of names and comments are text.
            ("m,t=\" v=1\nn v=1", &[(0, "m,t=\" v=1"), (1, "n v=1")]),
            ("# a \"\nn v=1", &[(0, "# a \""), (1, "n v=1")]),
            ("no\"\nn v=1", &[(0, "no\""), (1, "n v=1")]),
        ] {
            let read: Vec<_> =
                lines(body.as_bytes()).map(|(n, l)| (n, std::str::from_utf8(l).unwrap())).collect();
            assert_eq!(read, expected, "{body:?}");
        }
    }

    #[test]
    fn a_part_of_a_body_ends_before_a_text_that_goes_on() {
        for (text, bytes) in [
            ("a v=1\nb v=2\n", 12),
            ("a v=1\nb s=\"x\n", 6),
            ("a v=1\nb s=\"x\ny\"\n", 16),
            ("b s=\"x\ny\n", 9),
        ] {
            assert_eq!(whole(text.as_bytes()), bytes, "{text:?}");
        }
    }
}
