//! Lines about families that are skipped by comparing them: nothing is lost by it, whatever the body says.

use proptest::prelude::*;
use skopos_exposition::{Entry, Format, MetaLines, Parser};
use skopos_model::Metadata;
use std::collections::BTreeMap;

/// What was said of families, and how the last body said it: the lines of each family behind one another.
#[derive(Default)]
struct Known {
    said: BTreeMap<String, Metadata>,
    order: Vec<(String, MetaLines)>,
}

/// What a sample's line says, and what was known of all families when it came.
type Seen = Vec<(Vec<u8>, u64, BTreeMap<String, Metadata>)>;

fn say(said: &mut BTreeMap<String, Metadata>, entry: &Entry<'_>) -> Option<String> {
    match entry {
        Entry::Help { name, text } => said.entry(name.to_string()).or_default().help = text.to_string(),
        Entry::Type { name, metric_type } => {
            said.entry(name.to_string()).or_default().metric_type = *metric_type;
        }
        Entry::Unit { name, unit } => said.entry(name.to_string()).or_default().unit = unit.to_string(),
        Entry::Comment(_) | Entry::Sample(_) => return None,
    }
    let (Entry::Help { name, .. } | Entry::Type { name, .. } | Entry::Unit { name, .. }) = entry else {
        return None;
    };
    Some(name.to_string())
}

/// Reads all of a body.
fn plainly(format: Format, body: &[u8], said: &mut BTreeMap<String, Metadata>) -> (Seen, Option<String>) {
    let mut seen = Vec::new();
    for entry in Parser::new(format, body).with_max_line_bytes(60) {
        match entry {
            Ok(Entry::Sample(s)) => {
                seen.push((s.series.as_bytes().to_vec(), s.value.to_bits(), said.clone()));
            }
            Ok(entry) => drop(say(said, &entry)),
            Err(e) => return (seen, Some(e.to_string())),
        }
    }
    (seen, None)
}

/// The same, with every known family tried before each line; also how many lines were skipped.
fn skipping(format: Format, body: &[u8], known: &mut Known) -> (Seen, Option<String>, usize) {
    let (mut seen, mut skipped, mut order) = (Vec::new(), 0, Vec::new());
    let mut parser = Parser::new(format, body).with_max_line_bytes(60);
    let mut last: Option<String> = None;
    loop {
        if parser.is_at_comment() {
            let Known { said, order } = &*known;
            let mut tried = order.iter().filter_map(|(name, lines)| Some((*lines, name, said.get(name)?)));
            if tried.any(|(lines, name, said)| parser.skip_known(lines, name, said)) {
                (skipped, last) = (skipped + 1, None);
                continue;
            }
        }
        match parser.next() {
            Some(Ok(Entry::Sample(s))) => {
                seen.push((s.series.as_bytes().to_vec(), s.value.to_bits(), known.said.clone()));
                last = None;
            }
            Some(Ok(entry)) => {
                let name = say(&mut known.said, &entry);
                if let Some(name) = &name {
                    if last.as_ref() != Some(name) {
                        order.push((name.clone(), MetaLines::default()));
                    }
                    if let Some((_, lines)) = order.last_mut() {
                        lines.push(&entry);
                    }
                }
                last = name;
            }
            end => {
                known.order.extend(order);
                return (seen, end.and_then(Result::err).map(|e| e.to_string()), skipped);
            }
        }
    }
}

/// Reads bodies one after the other both ways; how often lines were skipped in the last.
fn check(format: Format, bodies: &[&[u8]]) -> usize {
    let (mut said, mut known, mut last) = (BTreeMap::new(), Known::default(), 0);
    for body in bodies {
        let (expected, error) = plainly(format, body, &mut said);
        let (seen, with_error, skipped) = skipping(format, body, &mut known);
        assert_eq!((seen, with_error), (expected, error), "{}", String::from_utf8_lossy(body));
        assert_eq!(known.said, said);
        last = skipped;
    }
    last
}

#[test]
fn what_a_body_says_again_is_skipped() {
    let body: &[u8] = b"# HELP a Some text.\n# TYPE a counter\na 1\n# TYPE b untyped\nb 2\n# HELP c \nc 3\n";
    assert_eq!(check(Format::Text, &[body]), 0);
    assert_eq!(check(Format::Text, &[body, body]), 3);
    let body: &[u8] = b"# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n# HELP a_seconds T\na_seconds 1\n\
                        # TYPE i info\ni_info 1\n# TYPE u unknown\nu 1\n# EOF\n";
    assert_eq!(check(Format::OpenMetrics, &[body, body]), 3);
}

#[test]
fn what_is_said_in_other_words_is_read() {
    let body: &[u8] = b"# HELP a Some text.\n# TYPE a counter\na 1\n";
    for other in [
        &b"# HELP a Some text.\n# TYPE a gauge\na 1\n"[..],
        b"# HELP a Some tex\n# TYPE a counter\na 1\n",
        b"# HELP a Some text..\n# TYPE a counter\na 1\n",
        b"# HELP ab Some text.\n# TYPE ab counter\na 1\n",
        b"# HELP a Some text.\n# TYPE a counter",
        b"# HELP a Some text.\n# TYPE a counters\na 1\n",
        b"# HELP a Some text.\n# TYPE a counter \na 1\n",
        b"#  HELP a Some text.\n# TYPE a counter\na 1\n",
        b"# HELP a Some text.",
        b"# HELP a",
        b"#",
        b"# HELP a Some text.\n",
    ] {
        assert_eq!(check(Format::Text, &[body, other]), 0, "{}", String::from_utf8_lossy(other));
        // And what was known before is known again.
        check(Format::Text, &[body, other, body, other, body]);
    }
}

#[test]
fn texts_with_escapes_names_in_quotes_and_long_lines_are_read() {
    for body in [
        &b"# HELP a one\\ntwo\na 1\n"[..],
        b"# HELP a one\\\\two\na 1\n",
        b"# HELP a one\\two\na 1\n",
        b"# HELP \"a b\" c\na 1\n",
        b"# HELP a a text that is longer than the sixty bytes of these tests\na 1\n",
    ] {
        assert_eq!(check(Format::Text, &[body, body, body]), 0, "{}", String::from_utf8_lossy(body));
    }
    // The same text, once with an escape in it and once as one that has none.
    check(Format::Text, &[b"# HELP a p\na 1\n# HELP a p\\\\q\na 1\n", b"# HELP a p\\q\na 1\n"]);
    // What a name in quotes says is not what these bytes say without.
    check(Format::Text, &[b"# HELP \"a b\" c\na 1\n", b"# HELP a b c\na 1\n"]);
}

fn line() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "# HELP a one\n",
        "# HELP a two\n",
        "# HELP a one\\\\two\n",
        "# HELP a\n",
        "# HELP a \n",
        "# HELP b one\n",
        "# TYPE a counter\n",
        "# TYPE a gauge\n",
        "# TYPE b untyped\n",
        "# TYPE b unknown\n",
        "# TYPE b info\n",
        "# TYPE b_s gauge\n",
        "# UNIT b_s s\n",
        "# UNIT b_s t\n",
        "# HELP \"a b\" one\n",
        "# HELP a b one\n",
        "# a comment\n",
        "a 1\n",
        "b{c=\"d\"} 2\n",
        "a 1",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn nothing_is_lost_by_skipping_whatever_bodies_say(
        bodies in prop::collection::vec(prop::collection::vec(line(), 0..8), 1..5),
        cut in 0..40_usize,
        open_metrics in any::<bool>(),
    ) {
        let format = if open_metrics { Format::OpenMetrics } else { Format::Text };
        let end = if open_metrics { "# EOF\n" } else { "" };
        let mut bodies: Vec<Vec<u8>> =
            bodies.into_iter().map(|lines| format!("{}{end}", lines.concat()).into_bytes()).collect();
        if let Some(last) = bodies.last_mut() {
            last.truncate(last.len().saturating_sub(cut % 10));
        }
        let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        check(format, &bodies);
    }
}
