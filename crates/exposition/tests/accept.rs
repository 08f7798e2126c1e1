//! What the parser makes of well-formed expositions. The cases are those that Prometheus' parsers
//! are held to, and the edges of the grammar.

#![allow(clippy::unwrap_used)]

use skopos_exposition::{Entry, Format, Parser, RawExemplar};
use skopos_model::{LabelsBuilder, float::to_shortest_string};

/// One line a sample, help text, type or unit: what was understood of it.
fn describe(entry: &Entry<'_>) -> String {
    match entry {
        Entry::Help { name, text } => format!("HELP {name:?} {text:?}"),
        Entry::Type { name, metric_type } => format!("TYPE {name:?} {metric_type}"),
        Entry::Unit { name, unit } => format!("UNIT {name:?} {unit:?}"),
        Entry::Comment(text) => format!("COMMENT {:?}", String::from_utf8_lossy(text)),
        Entry::Sample(s) => {
            let mut builder = LabelsBuilder::default();
            s.series.labels_into(&mut builder).unwrap();
            let labels = builder.build();
            assert_eq!(labels.metric_name(), Some(s.series.metric_name().as_ref()));
            let mut out = format!("{labels} {}", to_shortest_string(s.value));
            if let Some(t) = s.timestamp {
                out += &format!(" @{t}");
            }
            if let Some(e) = s.exemplar.map(RawExemplar::decode) {
                out += &format!(" # {} {}", e.labels, to_shortest_string(e.value));
                out += &e.timestamp.map_or(String::new(), |t| format!(" @{t}"));
            }
            out
        }
    }
}

fn check(format: Format, input: &[u8], expected: &[&str]) {
    let entries: Vec<String> = Parser::new(format, input)
        .map(|entry| entry.map_or_else(|e| panic!("{e}\n{}", input.escape_ascii()), |e| describe(&e)))
        .collect();
    assert_eq!(entries, expected, "{}", input.escape_ascii());
    // A hint changes nothing, right or wrong.
    let all: Vec<_> = Parser::new(format, input).map(Result::unwrap).collect();
    for hint_of in [0, 1] {
        let mut parser = Parser::new(format, input);
        for (i, entry) in all.iter().enumerate() {
            let expected = match all.get(i + hint_of) {
                Some(Entry::Sample(s)) => s.series.as_bytes(),
                _ => b"",
            };
            assert_eq!(parser.next_expecting(expected).unwrap().unwrap(), *entry);
        }
        assert_eq!(parser.next_expecting(b"x"), None);
    }
}

fn classic(input: &str, expected: &[&str]) {
    check(Format::Text, input.as_bytes(), expected);
}

/// `input` is put before the end mark.
fn open_metrics(input: &str, expected: &[&str]) {
    check(Format::OpenMetrics, format!("{input}# EOF\n").as_bytes(), expected);
    check(Format::OpenMetrics, format!("{input}# EOF").as_bytes(), expected);
}

#[test]
fn classic_samples() {
    classic("", &[]);
    classic("\n \n\t\n", &[]);
    classic("a 1", &["a 1"]);
    classic("a 1\n", &["a 1"]);
    classic("  a \t 1 \t \n", &["a 1"]);
    classic("a 1 123\n", &["a 1 @123"]);
    classic("a 33  \t123123 \n", &["a 33 @123123"]);
    classic("a:b_C9 1\n_a 2\n:a 3\n", &["a:b_C9 1", "_a 2", ":a 3"]);
    classic("a NaN\na +Inf\na -Inf\na inf\n", &["a NaN", "a +Inf", "a -Inf", "a +Inf"]);
    classic("a 1e3 0\na -.5\n", &["a 1000 @0", "a -0.5"]);
    classic("a 1\na 2\n", &["a 1", "a 2"]);
}

#[test]
fn classic_labels() {
    classic(r#"a{} 1"#, &["a 1"]);
    classic(r#"a{b="c"} 1"#, &[r#"a{b="c"} 1"#]);
    classic(r#"a{b="c",} 1"#, &[r#"a{b="c"} 1"#]);
    classic(r#"a{b="c"}1"#, &[r#"a{b="c"} 1"#]);
    classic(r#"a { q = "1.0" , a = "b" , } 8 9"#, &[r#"a{a="b", q="1.0"} 8 @9"#]);
    classic(r#"a { q = "2.0" a = "b" } 8"#, &[r#"a{a="b", q="2.0"} 8"#]);
    classic(r#"a{b=""} 1"#, &["a 1"]);
    classic(r#"a{b="}{,= #"} 1"#, &[r#"a{b="}{,= #"} 1"#]);
    classic(r#"a{b="\"c\"\\\n\x",c="\\"} 1"#, &[r#"a{b="\"c\"\\\n\\x", c="\\"} 1"#]);
    classic("a{b=\"c\nd\"} 1\ne 2", &[r#"a{b="c\nd"} 1"#, "e 2"]);
    classic("a{b=\"\u{0}x\"} 1", &[r#"a{b="\0x"} 1"#]);
    classic("a{b=\"ü€𝄞\"} 1", &["a{b=\"ü€𝄞\"} 1"]);
    let long = "x".repeat(100);
    classic(&format!("{long}{{{long}=\"{long}\"}} 1"), &[&format!("{long}{{{long}=\"{long}\"}} 1")]);
}

#[test]
fn quoted_names() {
    for check in [classic, open_metrics] {
        check("{\"a.b\"} 99\n", &[r#"{"a.b"} 99"#]);
        check("{\"a.b\",q=\"0\"} 1\n", &[r#"{"a.b", q="0"} 1"#]);
        check("{\"a.b\",} 1\n", &[r#"{"a.b"} 1"#]);
        check("{q=\"0\",\"a.b\",\"c d\"=\"e\"} 1\n", &[r#"{"a.b", "c d"="e", q="0"} 1"#]);
        check("a{\"b.c\"=\"d\"} 1\n", &[r#"a{"b.c"="d"} 1"#]);
        check("{\"ö \\\"x\\\" {y\\nz}\"} 1\n", &[r#"{"ö \"x\" {y\nz}"} 1"#]);
        check("{\"plain\"} 1\n", &["plain 1"]);
        check("# HELP \"a.b\" c d\n", &[r#"HELP "a.b" "c d""#]);
        check("# TYPE \"a.\\\"b\" summary\n", &[r#"TYPE "a.\"b" summary"#]);
    }
    classic("{ \"a.b\" , q = \"0\" } 1", &[r#"{"a.b", q="0"} 1"#]);
}

#[test]
fn classic_comments_and_metadata() {
    classic("#\n# x\n#x\n", &[r##"COMMENT "#""##, r##"COMMENT "# x""##, r##"COMMENT "#x""##]);
    classic(
        "# Hrandom\n#HELP a b\n# HELP\n# HELPa b\n",
        &[
            r##"COMMENT "# Hrandom""##,
            r##"COMMENT "#HELP a b""##,
            r##"COMMENT "# HELP""##,
            r##"COMMENT "# HELPa b""##,
        ],
    );
    classic("# UNIT a b\n# EOF\na 1\n", &[r##"COMMENT "# UNIT a b""##, r##"COMMENT "# EOF""##, "a 1"]);
    classic("# HELP a b c\n# HELP d\n# HELP e ", &[r#"HELP "a" "b c""#, r#"HELP "d" """#, r#"HELP "e" """#]);
    classic("# HELP a  two\n", &[r#"HELP "a" " two""#]);
    classic("# HELP a \\\\ \\n \\\" \\x\n", &[r#"HELP "a" "\\ \n \\\" \\x""#]);
    classic("# \tTYPE\t a\tcounter\n", &[r#"TYPE "a" counter"#]);
    for (name, known) in
        [("counter", "counter"), ("gauge", "gauge"), ("histogram", "histogram"), ("summary", "summary")]
    {
        classic(&format!("# TYPE a {name}\n"), &[&format!("TYPE \"a\" {known}")]);
    }
    classic("# TYPE a untyped", &[r#"TYPE "a" unknown"#]);
    // A comment need not be text; what follows is read as before.
    check(
        Format::Text,
        b"a 1\n# \xff\nb{c=\"\xc3\xbc\"} 2\n#\xfe",
        &["a 1", "COMMENT \"# \u{fffd}\"", "b{c=\"ü\"} 2", "COMMENT \"#\u{fffd}\""],
    );
}

#[test]
fn open_metrics_samples() {
    open_metrics("", &[]);
    open_metrics("a 1\n", &["a 1"]);
    open_metrics("a{} 1\na{b=\"c\",} 2\n", &["a 1", r#"a{b="c"} 2"#]);
    open_metrics("a 33 123.123\n", &["a 33 @123123"]);
    open_metrics("a 33 -1.5\n", &["a 33 @-1500"]);
    open_metrics("a 17.0 1520879607.789\n", &["a 17 @1520879607789"]);
    open_metrics("a 1 1e9\n", &["a 1 @1000000000000"]);
    open_metrics("a{b=\"#}\"} NaN\n", &[r##"a{b="#}"} NaN"##]);
    open_metrics(
        "foo_total 1\nfoo_created 1520872607.123\n",
        &["foo_total 1", "foo_created 1.520872607123e+09"],
    );
}

#[test]
fn open_metrics_exemplars() {
    open_metrics("a 1 # {} 4\n", &["a 1 # {} 4"]);
    open_metrics("a{le=\"+Inf\"} 1 # {id=\"x\"} 4\n", &[r#"a{le="+Inf"} 1 # {id="x"} 4"#]);
    open_metrics(
        "a 1 2 # {id=\"x\",xx=\"y\\\"\"} 4 123.321\n",
        &[r#"a 1 @2000 # {id="x", xx="y\""} 4 @123321"#],
    );
    open_metrics("a 1 # {\"id.x\"=\"y\",} NaN\n", &[r#"a 1 # {"id.x"="y"} NaN"#]);
}

#[test]
fn open_metrics_metadata() {
    open_metrics("# HELP a b c\n# HELP n \n", &[r#"HELP "a" "b c""#, r#"HELP "n" """#]);
    open_metrics(
        "# HELP h escape \\ \\n \\\\ \\\" \\x chars\n",
        &[r#"HELP "h" "escape \\ \n \\ \" \\x chars""#],
    );
    open_metrics(
        "# UNIT a_seconds seconds\n# UNIT a \n",
        &[r#"UNIT "a_seconds" "seconds""#, r#"UNIT "a" """#],
    );
    for name in ["counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown"]
    {
        open_metrics(&format!("# TYPE a {name}\n"), &[&format!("TYPE \"a\" {name}")]);
    }
}

#[test]
fn labels_that_stand_twice_are_told() {
    for (input, label) in [
        (&br#"a{b="c",b="d"} 1"#[..], "b"),
        (br#"a{__name__="b"} 1"#, "__name__"),
        (br#"a{b="c",c="d","b"="d"} 1"#, "b"),
    ] {
        let entry = Parser::new(Format::Text, input).next().unwrap().unwrap();
        let Entry::Sample(sample) = entry else { panic!("{entry:?}") };
        let error = sample.series.labels_into(&mut LabelsBuilder::default()).unwrap_err();
        assert_eq!(error.label, label);
        assert!(error.to_string().contains("twice"), "{error}");
    }
}

#[test]
fn the_staleness_marker_cannot_be_sent() {
    for input in ["a NaN", "a nan"] {
        let entry = Parser::new(Format::Text, input.as_bytes()).next().unwrap().unwrap();
        let Entry::Sample(sample) = entry else { panic!("{entry:?}") };
        assert_eq!(sample.value.to_bits(), 0x7ff8_0000_0000_0001);
    }
}
