//! What is a query and what is none, and how it is written: compared with Debian's Prometheus over a
//! corpus of expressions. Owns no expressions; they stand in `syntax/*.txt`.

#[path = "syntax/peer.rs"]
mod peer;

use peer::{Peer, Verdict};
use proptest::prelude::*;
use skopos_promql::parse;

const CORPUS: &str = include_str!("syntax/corpus.txt");
const NEWER: &str = include_str!("syntax/newer.txt");

/// The longest form that Prometheus writes in one line.
const MAX_ONE_LINE: usize = 100;

fn expressions(file: &'static str) -> impl Iterator<Item = &'static str> {
    file.lines().filter(|line| !line.is_empty() && !line.starts_with("//"))
}

#[test]
fn the_corpus_is_large_and_has_good_and_bad() {
    let good = expressions(CORPUS).filter(|e| parse(e).is_ok()).count();
    let bad = expressions(CORPUS).filter(|e| parse(e).is_err()).count();
    assert!(good >= 150 && bad >= 150, "{good} good, {bad} bad");
}

#[test]
fn what_newer_versions_brought_is_accepted() {
    for text in expressions(NEWER) {
        assert!(parse(text).is_ok(), "{text}: {}", parse(text).unwrap_err());
    }
}

#[test]
fn every_good_expression_reads_back_from_its_written_form() {
    for text in expressions(CORPUS).chain(expressions(NEWER)) {
        let Ok(expr) = parse(text) else { continue };
        let written = expr.to_string();
        let again = parse(&written).unwrap_or_else(|e| panic!("{text} was written as {written}: {e}"));
        assert_eq!(again.to_string(), written, "{text}");
    }
}

#[test]
fn errors_point_into_the_text_and_say_what_was_expected() {
    for text in expressions(CORPUS) {
        let Err(e) = parse(text) else { continue };
        assert!(e.line == 1 && e.column >= 1, "{text}: {e}");
        assert!(e.column as usize <= text.chars().count() + 1, "{text}: {e}");
        assert!(e.span.start <= e.span.end && e.span.end as usize <= text.len(), "{text}: {:?}", e.span);
        let message = e.to_string();
        if message.contains("unexpected") && !message.contains("unexpected character") {
            assert!(message.contains("expected "), "{text}: {message}");
        }
    }
}

#[test]
fn prometheus_accepts_and_refuses_the_same() {
    let peer = Peer::start();
    let mut wrong = Vec::new();
    let mut asked = 0;
    for text in expressions(CORPUS) {
        asked += 1;
        match (peer.verdict(text), parse(text)) {
            (Verdict::Accepted, Err(e)) => wrong.push(format!("{text}\n  refused here only: {e}")),
            (Verdict::Refused(e), Ok(_)) => wrong.push(format!("{text}\n  accepted here only: {e}")),
            _ => {}
        }
    }
    for text in expressions(NEWER) {
        if peer.verdict(text) == Verdict::Accepted {
            wrong.push(format!("{text}\n  is no difference: move it to the corpus"));
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked >= 300, "only {asked} were compared");
}

/// What is written differently and why.
fn differs_on_purpose(text: &str, here: &str, there: &str) -> bool {
    // Since version 3 large numbers are written without an exponent.
    let exponent = there.contains("e+") && here.parse::<f64>().ok() == there.parse().ok();
    // The tree does not keep whether a name stood before the braces or in them.
    let name = text.starts_with("{__name__=\"") && !here.starts_with('{');
    // What lies beyond the ends of time is held there and does not wrap around.
    let wrapped = there.contains("@ -") && !text.contains("@ -");
    exponent || name || wrapped
}

#[test]
fn prometheus_writes_the_same() {
    let peer = Peer::start();
    let mut wrong = Vec::new();
    let mut asked = 0;
    for text in expressions(CORPUS) {
        let Ok(expr) = parse(text) else { continue };
        let (here, there) = (expr.to_string(), peer.format(text));
        if there.len() > MAX_ONE_LINE {
            continue;
        }
        asked += 1;
        if here != there && !differs_on_purpose(text, &here, &there) {
            wrong.push(format!("{text}\n   here {here}\n  there {there}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 200, "only {asked} were compared");
}

/// Reads a text, whatever becomes of it, and what is written of it.
fn read_any(text: &str) -> Result<(), TestCaseError> {
    match parse(text) {
        Ok(expr) => {
            let written = expr.to_string();
            let again =
                parse(&written).map_err(|e| TestCaseError::fail(format!("{text} -> {written}: {e}")))?;
            prop_assert_eq!(again.to_string(), written);
        }
        Err(e) => {
            let part = text.get(e.span.start as usize..e.span.end as usize);
            prop_assert!(part.is_some(), "{}: {:?}", text, e);
        }
    }
    let _ = skopos_promql::parse_selector(text);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        read_any(&text)?;
    }

    #[test]
    fn any_soup_of_tokens_is_read_or_refused(parts in proptest::collection::vec(token(), 0..16)) {
        read_any(&parts.concat())?;
    }

    #[test]
    fn any_damaged_expression_is_read_or_refused(
        i in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        with in token(),
        cut in 0_usize..3,
    ) {
        let all: Vec<_> = expressions(CORPUS).chain(expressions(NEWER)).collect();
        let mut chars: Vec<char> = i.get(&all).chars().collect();
        let at = at.index(chars.len() + 1);
        chars.splice(at..chars.len().min(at + cut), with.chars());
        read_any(&chars.into_iter().collect::<String>())?;
    }
}

fn token() -> impl Strategy<Value = &'static str> {
    const TOKENS: &str = "foo a:b sum rate by on bool offset group_left and atan2 start inf 1 0x1f 1.5e3 5m \
        1h30m \"a\" 'b' `c` \"\\n ( ) { } [ ] , : @ + - * / % ^ = == != < >= =~ !~ ! # ü \\";
    let tokens: Vec<&str> = TOKENS.split(' ').chain([" ", "\n", ""]).collect();
    prop::sample::select(tokens)
}
