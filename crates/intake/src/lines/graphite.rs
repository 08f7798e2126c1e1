//! A line of Graphite: `a.b.c;tag=value 1.5 1700000000`. The path is the metric's name as it stands there.

/// A line, taken apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line<'a> {
    /// Path and tags, as they stand there.
    pub(crate) series: &'a [u8],
    pub(crate) value: f64,
    /// When it was, in milliseconds; none where it does not say, or says -1.
    pub(crate) timestamp_ms: Option<i64>,
}

/// Takes a line apart.
///
/// # Errors
/// When it is none.
pub(crate) fn parse(line: &[u8]) -> Result<Line<'_>, &'static str> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let series = words.next().ok_or("there is no path")?;
    let value = super::float(words.next().ok_or("there is no value")?).ok_or("the value is no number")?;
    let seconds =
        words.next().map(|word| super::float(word).ok_or("the timestamp is no number")).transpose()?;
    if words.next().is_some() {
        return Err("there are more than path, value and timestamp");
    }
    let timestamp_ms = seconds.filter(|s| *s != -1.0).map(|s| (s * 1000.0) as i64);
    Ok(Line { series, value, timestamp_ms })
}

/// Calls `each` with name and value of every tag of the text `series`; gives the path.
///
/// # Errors
/// When it is not UTF-8, or a tag has no value.
pub(crate) fn tags(series: &[u8], mut each: impl FnMut(&str, &str)) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(series).map_err(|_| "it is not UTF-8")?;
    let mut parts = text.split(';');
    let path = parts.next().unwrap_or_default();
    for tag in parts.filter(|tag| !tag.is_empty()) {
        let (name, value) = tag.split_once('=').ok_or("a tag has no value")?;
        each(name, value);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_graphite_writes_them() {
        let read = |line: &str| parse(line.as_bytes()).map(|l| (l.value, l.timestamp_ms));
        assert_eq!(read("a.b 1.5 1700000000"), Ok((1.5, Some(1_700_000_000_000))));
        assert_eq!(read("a.b;x=y\t2"), Ok((2.0, None)));
        assert_eq!(read("a.b 3 -1"), Ok((3.0, None)));
        assert_eq!(read("a.b 3 1.25"), Ok((3.0, Some(1250))));
        for (line, reason) in [
            ("", "there is no path"),
            ("a", "there is no value"),
            ("a b", "the value is no number"),
            ("a 1 x", "the timestamp is no number"),
            ("a 1 2 3", "there are more than path, value and timestamp"),
        ] {
            assert_eq!(read(line), Err(reason), "{line}");
        }
        let mut pairs = Vec::new();
        let path = tags(b"a.b;x=1;y=a=b", |n, v| pairs.push((n.to_owned(), v.to_owned())));
        assert_eq!(path, Ok("a.b"));
        assert_eq!(pairs, [("x".into(), "1".into()), ("y".into(), "a=b".to_owned())]);
        assert_eq!(tags(b"a;x", |_, _| {}), Err("a tag has no value"));
    }
}
