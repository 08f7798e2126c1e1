//! Families whose names other programs chose: those of files of metrics. Where the agent's own part of a page
//! has such a name already, its own is right, so that no family and no series stands twice. It never looks
//! at values.

use crate::{collectors::textfile::SCRAPE_ERROR, registry::Scrape};
use skopos_exposition::Format;
use std::collections::{BTreeSet, HashSet};

const HELP: &[u8] = b"# HELP ";
const TYPE: &[u8] = b"# TYPE ";
/// What OpenMetrics keeps out of the names of families.
const SUFFIXES: [&[u8]; 2] = [b"_total", b"_info"];

/// Appends the families of `part` to `page` but for those whose names it has already or which are reserved,
/// and returns the names of these. If there are any, the metric of the part says that something is not shown.
pub(crate) fn append(page: &mut Vec<u8>, part: &[u8], scrape: &Scrape) -> BTreeSet<String> {
    let format = scrape.format;
    let mut left_out = BTreeSet::new();
    // Most machines have no such families: then there is nothing to compare.
    if families(part).all(|family| name_of(family).starts_with(b"node_textfile_")) {
        page.extend_from_slice(part);
        return left_out;
    }
    let reserved = scrape.reserved.iter().map(|name| name.as_bytes());
    let own: HashSet<&[u8]> = types(page).chain(reserved).collect();
    let is_own = |name: &[u8]| {
        let stem = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(*suffix));
        own.contains(name) || format == Format::OpenMetrics && stem.is_some_and(|stem| own.contains(stem))
    };
    let mut kept = Vec::with_capacity(part.len());
    for family in families(part) {
        if lines(family).filter_map(named).any(is_own) {
            left_out.insert(String::from_utf8_lossy(name_of(family)).into_owned());
        } else {
            kept.extend_from_slice(family);
        }
    }
    if !left_out.is_empty() && kept.ends_with(format!("\n{SCRAPE_ERROR} 0\n").as_bytes()) {
        let digit = kept.len() - 2;
        kept[digit] = b'1';
    }
    page.append(&mut kept);
    left_out
}

/// The families of a part of a page, each with its lines of comment in front.
fn families(part: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = part;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (mut len, mut has_samples) = (0, false);
        for line in lines(rest) {
            let is_comment = line.starts_with(b"#");
            if is_comment && has_samples {
                break;
            }
            has_samples |= !is_comment;
            len += line.len();
        }
        let (family, after) = rest.split_at(len);
        rest = after;
        Some(family)
    })
}

/// The name that a line is about, unless it is a help text, which a line of the type follows.
fn named(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(TYPE) {
        Some(rest) => Some(first_word(rest)),
        None => (!line.starts_with(b"#")).then(|| first_word(line)),
    }
}

/// The name that the head of a family says.
fn name_of(family: &[u8]) -> &[u8] {
    let head = lines(family).next().unwrap_or_default();
    first_word(head.strip_prefix(HELP).or_else(|| head.strip_prefix(TYPE)).unwrap_or(head))
}

/// The names of families in a page.
pub(crate) fn types(page: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines(page).filter_map(|line| line.strip_prefix(TYPE)).map(first_word)
}

/// Lines with their ends.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// What stands before labels, a blank or the line's end.
fn first_word(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|byte| matches!(byte, b'{' | b' ' | b'\n'));
    &line[..end.unwrap_or(line.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Selection;

    const PAGE: &str = "# HELP a A.\n# TYPE a gauge\na 1\n# TYPE b counter\nb_total{x=\"\\n# TYPE c\"} 2\n";

    fn check(part: &str, format: Format, expected: &str, left_out: &[&str]) {
        let mut page = PAGE.as_bytes().to_vec();
        let scrape = Scrape { format, selection: Selection::default(), timeout: None, reserved: &["up"] };
        let found = append(&mut page, part.as_bytes(), &scrape);
        assert_eq!(String::from_utf8(page).unwrap(), format!("{PAGE}{expected}"));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), left_out, "{part}");
    }

    #[test]
    fn what_the_page_has_is_left_out_and_said() {
        let error = |value: u8| format!("# TYPE {SCRAPE_ERROR} gauge\n{SCRAPE_ERROR} {value}\n");
        let own = "# TYPE c gauge\nc{a=\"1\"} 1\nc 2\n";
        check("", Format::Text, "", &[]);
        check(&error(0), Format::Text, &error(0), &[]);
        let all = format!("{own}{}", error(0));
        check(&all, Format::Text, &all, &[]);
        let twice = format!("# HELP a Other.\n# TYPE a gauge\na{{x=\"y\"}} 1\na 3\n{own}{}", error(0));
        check(&twice, Format::Text, &format!("{own}{}", error(1)), &["a"]);
        let up = format!("# TYPE up gauge\nup 0\nup{{a=\"1\"}} 0\n{own}{}", error(0));
        check(&up, Format::Text, &format!("{own}{}", error(1)), &["up"]);
        let twice = format!("# TYPE a counter\na 1\n{own}{}", error(1));
        check(&twice, Format::Text, &format!("{own}{}", error(1)), &["a"]);
    }

    #[test]
    fn what_openmetrics_calls_the_same_is_the_same() {
        let total = "# TYPE b_total gauge\nb_total 7\n";
        check(total, Format::Text, total, &[]);
        check(total, Format::OpenMetrics, "", &["b_total"]);
        let sum = "# TYPE s summary\ns_sum 1\ns_count 1\n";
        check(sum, Format::OpenMetrics, sum, &[]);
    }
}
