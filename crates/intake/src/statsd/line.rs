//! A line of StatsD: `name:value|type|@rate|#tag:value,…`, also with several values before one type, and with
//! tags in its name as of InfluxDB (`name,tag=v`), Librato (`name#tag=v`) and SignalFx (`name[tag=v]`).

use std::borrow::Cow;

/// A line, taken apart.
#[derive(Debug, PartialEq)]
pub(super) struct Line<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) tags: Vec<(&'a str, &'a str)>,
    pub(super) events: Vec<Event<'a>>,
}

/// What a value says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event<'a> {
    /// So much more.
    Counter(f64),
    /// It is so much.
    Gauge(f64),
    /// It has become so much more.
    GaugeBy(f64),
    /// So much was observed so often.
    Observed { value: f64, times: u64 },
    /// This text came.
    Set(&'a str),
}

/// The most observations that one value stands for.
const MOST_TIMES: f64 = 100_000.0;

/// Takes a line apart; none when it is none.
pub(super) fn parse(line: &[u8]) -> Option<Line<'_>> {
    let line = std::str::from_utf8(line).ok()?.trim();
    let (name, rest) = line.split_once(':').filter(|(name, _)| !name.is_empty())?;
    let mut parts = rest.split('|');
    let (values, kind) = (parts.next()?, parts.next()?);
    let (name, mut tags) = name_and_tags(name);
    let is_mixed = !tags.is_empty() && rest.contains("|#");
    if name.is_empty() || is_mixed {
        return None;
    }
    let mut rate = 1.0;
    for part in parts {
        match part.split_at_checked(1)? {
            ("@", text) => rate = text.parse().ok().filter(|rate| *rate > 0.0 && *rate <= 1.0)?,
            ("#", text) => tags.extend(self::tags(text, ':')),
            // When it was sent and by which container: of DogStatsD, and passed over.
            _ => {}
        }
    }
    // What is a set's text may have colons.
    let events: Option<Vec<_>> = if kind == "s" {
        Some(vec![Event::Set(values)])
    } else {
        values.split(':').map(|v| event(v, kind, rate)).collect()
    };
    Some(Line { name, tags, events: events? })
}

/// A name, and the tags that stand in it.
fn name_and_tags(text: &str) -> (Cow<'_, str>, Vec<(&str, &str)>) {
    match (text.find('['), text.find(']')) {
        (Some(open), Some(close)) if open < close => {
            let name = [&text[..open], &text[close + 1..]].concat();
            return (Cow::Owned(name), tags(&text[open + 1..close], '='));
        }
        (None, None) => {}
        // Half of a pair is a part of the name.
        _ => return (Cow::Borrowed(text), Vec::new()),
    }
    match text.split_once([',', '#']) {
        Some((name, text)) => (Cow::Borrowed(name), tags(text, '=')),
        None => (Cow::Borrowed(text), Vec::new()),
    }
}

fn tags(text: &str, between: char) -> Vec<(&str, &str)> {
    text.split(',').filter_map(|text| tag(text, between)).collect()
}

/// A tag without a value is none.
fn tag(text: &str, between: char) -> Option<(&str, &str)> {
    text.split_once(between).filter(|(name, value)| !name.is_empty() && !value.is_empty())
}

fn event<'a>(text: &str, kind: &str, rate: f64) -> Option<Event<'a>> {
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    let times = (1.0 / rate).min(MOST_TIMES) as u64;
    match kind {
        "c" => Some(Event::Counter(value / rate)).filter(|_| value >= 0.0),
        "g" if text.starts_with(['+', '-']) => Some(Event::GaugeBy(value)),
        "g" => Some(Event::Gauge(value)),
        // Milliseconds there, seconds here.
        "ms" => Some(Event::Observed { value: value / 1000.0, times }),
        "h" | "d" => Some(Event::Observed { value, times }),
        _ => None,
    }
}

/// A name in the classic characters: others become underscores, and none begins with a digit.
pub(super) fn escaped(name: &str) -> String {
    let begins_wrong = name.starts_with(|c: char| c.is_ascii_digit());
    let kept = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == ':' { c } else { '_' };
    let rest = name.chars().map(kept);
    if begins_wrong { std::iter::once('_').chain(rest).collect() } else { rest.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_classic_characters() {
        for (name, expected) in [("a.b-c d", "a_b_c_d"), ("1x", "_1x"), ("a:b_c", "a:b_c"), ("ü", "_")] {
            assert_eq!(escaped(name), expected);
        }
    }

    #[test]
    fn lines_are_taken_apart() {
        let line = parse(b"n:1.5:2|c|@0.5|#a:b,c,d:e:f|T1656581400").unwrap();
        assert_eq!((&*line.name, line.tags), ("n", vec![("a", "b"), ("d", "e:f")]));
        assert_eq!(line.events, [Event::Counter(3.0), Event::Counter(4.0)]);
        assert_eq!(parse(b"n:a:b|s").unwrap().events, [Event::Set("a:b")]);
        assert_eq!(parse(b"n:+1|g").unwrap().events, [Event::GaugeBy(1.0)]);
        for bad in ["n", "n:1", "n:1|", "n:|c", "n:1|c|@0", "n:1|c|@x", "n:NaN|g", "n:1:x|c", ":1|c"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn tags_may_stand_in_names() {
        for (text, name, tags) in [
            ("n,a=b,c=d:4|c", "n", &[("a", "b"), ("c", "d")][..]),
            ("n#a=b,c=d:4|c", "n", &[("a", "b"), ("c", "d")]),
            ("n[a=b,c=d].m:4|c", "n.m", &[("a", "b"), ("c", "d")]),
            ("n[a=b],c=d:4|c", "n,c=d", &[("a", "b")]),
            ("n,a=b#c=d:4|c", "n", &[("a", "b#c=d")]),
            ("n,a=x=y,,b=,=c,d:4|c", "n", &[("a", "x=y")]),
            ("n,:4|c", "n", &[]),
            ("n[a=b:4|c", "n[a=b", &[]),
            ("n]a[b,c=d:4|c", "n]a[b,c=d", &[]),
            ("n,a:4|c|#b:c", "n", &[("b", "c")]),
        ] {
            let line = parse(text.as_bytes()).unwrap();
            assert_eq!((&*line.name, &line.tags[..]), (name, tags), "{text}");
        }
        for bad in ["n,a=b:4|c|#c:d", ",a=b:4|c", "[a=b]:4|c", "#a=b:4|c"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
