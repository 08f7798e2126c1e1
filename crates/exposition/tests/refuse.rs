//! What the parser refuses, where it says the error is, and that nothing makes it panic.

#![allow(clippy::unwrap_used)]

use ParseErrorKind as Kind;
use proptest::prelude::*;
use skopos_exposition::{Entry, Format, ParseErrorKind, Parser, RawExemplar};
use skopos_model::LabelsBuilder;

fn check(format: Format, input: &[u8], line: usize, column: usize, kind: ParseErrorKind) {
    let mut parser = Parser::new(format, input);
    let error = parser.find_map(Result::err).unwrap_or_else(|| panic!("no error: {}", input.escape_ascii()));
    let said = (error.line, error.column, error.kind);
    assert_eq!(said, (line, column, kind), "{} gave {error}", input.escape_ascii());
    assert_eq!(parser.next(), None, "nothing follows an error");
    assert_eq!(parser.next_expecting(b"a"), None, "nothing follows an error");
}

#[test]
fn classic_errors() {
    let cases: &[(&[u8], usize, usize, ParseErrorKind)] = &[
        (b"a", 1, 2, Kind::ExpectedValue),
        (b"a\n", 1, 2, Kind::ExpectedValue),
        (b"ok 1\n\na 1\nb\n", 4, 2, Kind::ExpectedValue),
        (b"a{b='c'} 1\n", 1, 5, Kind::ExpectedLabelValue),
        (b"a{b=\n", 1, 5, Kind::ExpectedLabelValue),
        (b"a{\xff=\"foo\"} 1\n", 1, 3, Kind::ExpectedLabelName),
        (b"x 1\na{b=\"\xff\"} 1\n", 2, 6, Kind::InvalidUtf8),
        (b"{\"\xff\"} 1\n", 1, 3, Kind::InvalidUtf8),
        (b"# HELP a \xff\n", 1, 10, Kind::InvalidUtf8),
        (b"{\"a\", \"b = \"c\"}", 1, 13, Kind::ExpectedEquals),
        (b"{\"a\",b\\nc=\"d\"} 1", 1, 7, Kind::ExpectedEquals),
        (b"{\"a\",\"b\"} 1", 1, 6, Kind::UnexpectedName),
        (b"a{\"b\"} 1", 1, 3, Kind::UnexpectedName),
        (b"a true\n", 1, 3, Kind::BadNumber),
        (b"a{b=\"", 1, 5, Kind::UnclosedQuote),
        (b"a{b=\"\\", 1, 5, Kind::UnclosedQuote),
        (b"a{b=\"c\\\nd\"} 1", 1, 5, Kind::UnclosedQuote),
        (b"a{=\"\"} 0", 1, 3, Kind::ExpectedLabelName),
        (b"a{,b=\"c\"} 0", 1, 3, Kind::ExpectedLabelName),
        (b"a{b=\"c\",,d=\"e\"} 1", 1, 9, Kind::ExpectedLabelName),
        (b"a{9=\"c\"} 0", 1, 3, Kind::ExpectedLabelName),
        (b"a{b:c=\"c\"} 0", 1, 4, Kind::ExpectedEquals),
        (b"a{b=\"c\"", 1, 8, Kind::ExpectedLabelName),
        (b"a{b=\"c\"} {d=\"e\"} 1", 1, 10, Kind::ExpectedValue),
        (b"a{b=\"c\"\n} 1", 1, 8, Kind::ExpectedLabelName),
        (b"a 1_2\n", 1, 3, Kind::BadNumber),
        (b"a 0x1p-3\n", 1, 3, Kind::BadNumber),
        (b"a 1e400\n", 1, 3, Kind::BadNumber),
        (b"a 1\r\n", 1, 3, Kind::BadNumber),
        (b"a 0 1_2\n", 1, 6, Kind::ExpectedLineEnd),
        (b"a 0 -1\n", 1, 5, Kind::ExpectedLineEnd),
        (b"a 0 1.5\n", 1, 6, Kind::ExpectedLineEnd),
        (b"a 0 99999999999999999999\n", 1, 5, Kind::BadTimestamp),
        (b"a 0 1 2\n", 1, 7, Kind::ExpectedLineEnd),
        (b"a 1 # {b=\"c\"} 1\n", 1, 5, Kind::ExpectedLineEnd),
        (b"{a=\"ok\"} 1", 1, 8, Kind::MissingName),
        (b"{} 1", 1, 2, Kind::MissingName),
        (b"9a 1", 1, 1, Kind::ExpectedEntry),
        (b"\"a\" 1", 1, 1, Kind::ExpectedEntry),
        (b"<html>\n", 1, 1, Kind::ExpectedEntry),
        (b"a 1\n\0b 2\n", 2, 1, Kind::ExpectedEntry),
        (b"a.b 1\n", 1, 2, Kind::BadNumber),
        (b"a\0{b=\"c\"} 1", 1, 2, Kind::BadNumber),
        (b"a{b\0=\"c\"} 1", 1, 4, Kind::ExpectedEquals),
        (b"a{b=\0\"c\"} 1", 1, 5, Kind::ExpectedLabelValue),
        (b"a 0 1\0", 1, 6, Kind::ExpectedLineEnd),
        (b"# TYPE #\n", 1, 8, Kind::ExpectedMetaName),
        (b"# HELP #\n", 1, 8, Kind::ExpectedMetaName),
        (b"# HELP \na 1\n", 1, 8, Kind::ExpectedMetaName),
        (b"# TYPE a\n", 1, 9, Kind::UnknownType),
        (b"# TYPE a counter \n", 1, 10, Kind::UnknownType),
        (b"# TYPE a unknown\n", 1, 10, Kind::UnknownType),
        (b"# TYPE a Counter\n", 1, 10, Kind::UnknownType),
        (b"# HELP \"a b\n", 1, 8, Kind::UnclosedQuote),
    ];
    for (input, line, column, kind) in cases {
        check(Format::Text, input, *line, *column, *kind);
    }
}

#[test]
fn open_metrics_errors() {
    let cases: &[(&[u8], usize, usize, ParseErrorKind)] = &[
        (b"", 1, 1, Kind::MissingEof),
        (b"\n", 1, 1, Kind::ExpectedEntry),
        (b"a", 1, 2, Kind::ExpectedValue),
        (b"a 1", 1, 4, Kind::MissingEof),
        (b"a 1\n", 2, 1, Kind::MissingEof),
        (b"a_total 1 # {aa=\"bb\"} 4", 1, 24, Kind::MissingEof),
        (b" a 1\n# EOF\n", 1, 1, Kind::ExpectedEntry),
        (b"9\n# EOF\n", 1, 1, Kind::ExpectedEntry),
        (b"# TYPE u untyped\n# EOF\n", 1, 10, Kind::UnknownType),
        (b"# TYPE c counter \n# EOF\n", 1, 10, Kind::UnknownType),
        (b"# TYPE c  counter\n# EOF\n", 1, 10, Kind::UnknownType),
        (b"#  TYPE c counter\n# EOF\n", 1, 1, Kind::ExpectedEntry),
        (b"#\tTYPE c counter\n# EOF\n", 1, 1, Kind::ExpectedEntry),
        (b"# comment\n# EOF\n", 1, 1, Kind::ExpectedEntry),
        (b"#", 1, 1, Kind::ExpectedEntry),
        (b"# H", 1, 1, Kind::ExpectedEntry),
        (b"# TYPE \n# EOF\n", 1, 8, Kind::ExpectedMetaName),
        (b"# TYPE m\n# EOF\n", 1, 9, Kind::ExpectedMetaText),
        (b"# HELP m\n# EOF\n", 1, 9, Kind::ExpectedMetaText),
        (b"# HELP m x", 1, 11, Kind::MissingEof),
        (b"# UNIT metric suffix\n# EOF\n", 1, 15, Kind::ForeignUnit),
        (b"# UNIT metricsuffix suffix\n# EOF\n", 1, 21, Kind::ForeignUnit),
        (b"# UNIT suffix suffix\n# EOF\n", 1, 15, Kind::ForeignUnit),
        (b"# UNIT \n# EOF\n", 1, 8, Kind::ExpectedMetaName),
        (b"a\t1\n# EOF\n", 1, 2, Kind::ExpectedValue),
        (b"a  1\n# EOF\n", 1, 3, Kind::ExpectedValue),
        (b"a 1\t2\n# EOF\n", 1, 3, Kind::BadNumber),
        (b"a 1 2 \n# EOF\n", 1, 6, Kind::ExpectedLineEnd),
        (b"a 1 2 #\n# EOF\n", 1, 6, Kind::ExpectedLineEnd),
        (b"a 1 1z\n# EOF\n", 1, 5, Kind::BadNumber),
        (b"a 1 NaN\n# EOF\n", 1, 5, Kind::BadTimestamp),
        (b"a 1 -Inf\n# EOF\n", 1, 5, Kind::BadTimestamp),
        (b"a 1 1e300\n# EOF\n", 1, 5, Kind::BadTimestamp),
        (b"a 1 1 1\n# EOF\n", 1, 6, Kind::ExpectedLineEnd),
        (b" # EOF\n", 1, 1, Kind::ExpectedEntry),
        (b"# EOF\na 1", 1, 6, Kind::DataAfterEof),
        (b"# EOF\n\n", 1, 6, Kind::DataAfterEof),
        (b"# EOFa 1", 1, 6, Kind::DataAfterEof),
        (b"a{b='c'} 1\n# EOF\n", 1, 5, Kind::ExpectedLabelValue),
        (b"a{,b=\"c\"} 1\n# EOF\n", 1, 3, Kind::ExpectedLabelName),
        (b"a{b=\"c\"d=\"e\"} 1\n# EOF\n", 1, 8, Kind::ExpectedComma),
        (b"a{b=\"c\",,d=\"e\"} 1\n# EOF\n", 1, 9, Kind::ExpectedLabelName),
        (b"a{b=\"c\", d=\"e\"} 1\n# EOF\n", 1, 9, Kind::ExpectedLabelName),
        (b"a {b=\"c\"} 1\n# EOF\n", 1, 3, Kind::BadNumber),
        (b"a{b=\"c\"}1\n# EOF\n", 1, 9, Kind::ExpectedValue),
        (b"a{b=\"c\nd\"} 1\n# EOF\n", 1, 5, Kind::UnclosedQuote),
        (b"a{b=\"\xff\"} 1\n# EOF\n", 1, 6, Kind::InvalidUtf8),
        (b"a 1 # {b=\"\xff\"} 1\n# EOF\n", 1, 11, Kind::InvalidUtf8),
        (b"{\"a\",\"b = \"c\"}\n# EOF\n", 1, 12, Kind::ExpectedEquals),
        (b"{b=\"c\",} 1\n# EOF\n", 1, 8, Kind::MissingName),
        (b"a 1_2\n# EOF\n", 1, 3, Kind::BadNumber),
        (b"a 1 # {aa=bb}\n# EOF\n", 1, 11, Kind::ExpectedLabelValue),
        (b"a 1 # {aa=\"bb\"}\n# EOF\n", 1, 16, Kind::ExpectedValue),
        (b"a 1 # {bb}", 1, 10, Kind::ExpectedEquals),
        (b"a 1 # {\"bb\"} 1\n", 1, 8, Kind::UnexpectedName),
        (b"a 1 # {aa=\"bb\",,cc=\"dd\"} 1", 1, 16, Kind::ExpectedLabelName),
        (b"a 1 # {aa=\"bb\"} 1_2", 1, 17, Kind::BadNumber),
        (b"a 1 # {aa=\"bb\"} 4 NaN\n", 1, 19, Kind::BadTimestamp),
        (b"a 1 # {aa=\"bb\"} 4 5 6\n", 1, 20, Kind::ExpectedLineEnd),
        (b"a 1 # {aa=\"bb\"} 4 # {} 1\n", 1, 19, Kind::BadNumber),
        (b"a 1 #\n# EOF\n", 1, 5, Kind::BadNumber),
    ];
    for (input, line, column, kind) in cases {
        check(Format::OpenMetrics, input, *line, *column, *kind);
    }
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    for (input, message) in [
        (
            &b"a 1\nb tr\xffue 7\n"[..],
            "line 2, column 3: expected a decimal number, NaN, +Inf or -Inf within the range of \
             64-bit floats; found \"tr\u{fffd}ue 7\"",
        ),
        (b"abcdefgh{ijkl", "line 1, column 14: expected `=` behind the label name; found the end"),
        (
            b"a\n",
            "line 1, column 2: expected a value, after a single space in OpenMetrics; \
             found the end of the line",
        ),
    ] {
        let error = Parser::new(Format::Text, input).find_map(Result::err).unwrap();
        assert_eq!(error.to_string(), message);
    }
    let long = format!("a 1\n{}", "?".repeat(100_000));
    let error = Parser::new(Format::Text, long.as_bytes()).find_map(Result::err).unwrap();
    assert!(error.found.len() < 40, "{error}");
}

#[test]
fn entries_beyond_the_limit_are_refused() {
    let body = |len: usize| format!("a 1\nb{{c=\"{}\"}} 1\n", "x".repeat(len - 10));
    for (len, fits) in [(99, true), (100, true), (101, false), (5000, false)] {
        let body = body(len);
        let mut parser = Parser::new(Format::Text, body.as_bytes()).with_max_line_bytes(100);
        assert!(parser.next().unwrap().is_ok());
        match parser.next().unwrap() {
            Ok(_) => assert!(fits, "{len}"),
            Err(e) => {
                assert!(!fits, "{len}");
                assert_eq!((e.line, e.column, e.kind), (2, 1, Kind::LineTooLong { max: 100 }));
            }
        }
    }
}

/// Reads all of it and decodes what can be decoded.
fn read_through(format: Format, input: &[u8]) {
    let mut builder = LabelsBuilder::default();
    let mut parser = Parser::new(format, input);
    let mut end = 0;
    for entry in parser.by_ref() {
        match entry {
            Ok(Entry::Sample(sample)) => {
                builder.clear();
                let _ = sample.series.labels_into(&mut builder);
                assert!(!sample.series.as_bytes().is_empty());
                let _ = sample.series.metric_name();
                let _ = sample.exemplar.map(RawExemplar::decode);
                // Samples come in the order of the input, and from it.
                let at = sample.series.as_bytes().as_ptr() as usize - input.as_ptr() as usize;
                assert!(at >= end && at < input.len());
                end = at + sample.series.as_bytes().len();
            }
            Ok(_) => {}
            Err(e) => {
                let lines = input.split(|b| *b == b'\n').collect::<Vec<_>>();
                assert!((1..=lines.len()).contains(&e.line), "{e}");
                assert!((1..=lines[e.line - 1].len() + 1).contains(&e.column), "{e}");
            }
        }
    }
    assert_eq!(parser.next(), None);
}

fn read_both(input: &[u8]) {
    read_through(Format::Text, input);
    read_through(Format::OpenMetrics, input);
}

const SMALL: &[u8] =
    b"# HELP a b \\n\n# TYPE a counter\na_total{b=\"c\\\"\xc3\xbc\",} 1.5e-3 12 # {t=\"x\"} 1 2.5\n\
                       {\"x y\",\"q\"=\"\"} -Inf\n# UNIT a_s s\n# EOF\n";

#[test]
fn no_flipped_bit_and_no_cut_makes_the_parser_panic() {
    for bit in 0..SMALL.len() * 8 {
        let mut bytes = SMALL.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        read_both(&bytes);
    }
    for len in 0..SMALL.len() {
        read_both(&SMALL[..len]);
        read_both(&SMALL[len..]);
    }
}

#[test]
fn wrong_hints_do_no_harm() {
    let input = b"a{b= 1\nx{\"y 2\n{\" 3\n";
    for hint in [&b"a{b="[..], b"a{b", b"", b"a{b= 1\n", b"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"] {
        let mut parser = Parser::new(Format::Text, input);
        while let Some(Ok(entry)) = parser.next_expecting(hint) {
            if let Entry::Sample(sample) = entry {
                let _ = sample.series.labels_into(&mut LabelsBuilder::default());
                let _ = sample.series.metric_name();
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(input in prop::collection::vec(any::<u8>(), 0..300)) {
        read_both(&input);
    }

    #[test]
    fn any_mix_of_tokens_is_read_or_refused(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "a", "b_1", "{", "}", "=", ",", "\"", "\"c\"", "\\", " ", " ", "\t", "\n", "\n", "1", "-0.5",
            "NaN", "# ", "#", "HELP ", "TYPE ", "counter", "# EOF\n", "ü", "\u{0}", "9", "1e5", " # {",
        ]), 0..60),
        broken_at in any::<prop::sample::Index>(),
    ) {
        let mut input = tokens.concat().into_bytes();
        read_both(&input);
        if !input.is_empty() {
            let at = broken_at.index(input.len());
            input[at] = 0xff;
            read_both(&input);
        }
    }
}

/// What is read of a classic text, its bad lines passed over.
fn read_on(input: &[u8]) -> Vec<String> {
    let (mut parser, mut all) = (Parser::new(Format::Text, input), Vec::new());
    while let Some(entry) = parser.next() {
        match entry {
            Ok(Entry::Sample(sample)) => all.push(sample.series.metric_name().into_owned()),
            Ok(_) => {}
            Err(e) => {
                all.push(format!("{}:{}", e.line, e.column));
                parser.pass_over_line();
            }
        }
    }
    all
}

#[test]
fn reading_goes_on_behind_a_line_that_is_passed_over() {
    for (input, read) in [
        (&b"a 1\nbad line x\nb 2\n"[..], vec!["a", "2:5", "b"]),
        (b"bad\n\n  bad x\nb 2", vec!["1:4", "3:7", "b"]),
        (b"# TYPE a nothing\na 1\n# HELP\nx", vec!["1:10", "a", "4:2"]),
        (b"a{x=\"\xff\"} 1\nb 1\nc{x=\"\xff\"} 1\nd 1\n", vec!["1:6", "b", "3:6", "d"]),
        (b"a{x=\"1} 1\nb 1\nc 1\n", vec!["1:5", "b", "c"]),
        (b"bad", vec!["1:4"]),
    ] {
        assert_eq!(read_on(input), read, "{}", String::from_utf8_lossy(input));
    }
}
