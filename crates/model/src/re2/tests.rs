//! What Go takes and matches. The end-to-end tests ask a real Prometheus about more of it.

use super::*;

const SIZE: usize = 1 << 20;
/// What expressions are made of.
const PIECES: &str = r"([ab(|)*+?.{},0-2^$\[\]:\\QEdpLx-]|\(\?[imsU]|\[:alpha:\]|ü){0,12}";
/// Parts that both engines read alike.
const ALIKE: [&str; 13] = ["a", "b", "(a|b)", ".", "[ab]", "a*", "(ab)+", "b?", "|", "[^a]", "ü", "^", "$"];

fn compiled(pattern: &str) -> WholeText {
    WholeText::new(pattern, SIZE).unwrap_or_else(|e| panic!("{pattern}: {e}"))
}

#[test]
fn expressions_match_as_in_go() {
    for (pattern, yes, no) in [
        (r"\Qa.b*\E+", "a.b**", "aXb"),
        (r"\Q\Ea", "a", "aa"),
        (r"\d\w\s", "1a\t", "1ä "),
        (r"\D\W\S", "xä٣", "1ä3"),
        (r"\D", "٣", "3"),
        (r"\S", "\u{b}", " "),
        (r"ä\Bä", "ää", "aä"),
        (r".*a\b.*", "aä", "a1"),
        (r"\<a\>", "<a>", "a"),
        (r"\141\x62\x{63}\01\0", "abc\u{1}\0", "abc"),
        (r"\12", "\n", "12"),
        ("a{,2}", "a{,2}", "aa"),
        ("a{02}", "a{02}", "aa"),
        ("a{2", "a{2", "aa"),
        ("{}]", "{}]", ""),
        ("[a&&b]+", "a&&b", "c"),
        ("[a~~&&]+", "a~&", "b"),
        ("[[a]+", "[a[", "]"),
        ("[]a]+", "]a]", "["),
        ("[^]a]", "b", "]"),
        ("[[:word:]-]+", "a_1-", "ä"),
        ("[[:^alpha:]]", "ä", "a"),
        (r"[\D\d]", "x", ""),
        (r"[\x{D800}-\x{E000}]", "\u{E000}", "\u{D7FF}"),
        (r"[^\x{D800}]", "a", ""),
        (r"\pL\p{Greek}\p{^L}\PN", "aα1b", "aaaa"),
        ("(?i)k\\w", "\u{212a}\u{17f}", "ka\n"),
        ("(?i)a(?-i)b|C", "Ab", "aB"),
        ("(a(?i)b)c", "aBc", "aBC"),
        ("(?ii)(?)a", "A", "b"),
        ("a.c", "a\nc", "ac"),
        ("(?-s)a.c", "abc", "a\nc"),
        ("(?m)a$\n^b", "a\nb", "ab"),
        ("a)(b", "ab", "a"),
        ("a*\\Q\\E*", "aaa", "b"),
        ("a(?i)*", "aa", "A"),
        ("^*a$?", "a", "b"),
        ("((a{10}){10}){10}|", "", "a"),
        ("(?:a{1000})?b", "b", "a"),
    ] {
        let regex = compiled(pattern);
        assert!(regex.is_match(yes), "{pattern} on {yes:?}: {}", regex.as_str());
        assert!(!regex.is_match(no), "{pattern} on {no:?}: {}", regex.as_str());
    }
}

#[test]
fn what_go_refuses_is_refused_with_its_reason() {
    for (pattern, reason) in [
        ("*", "missing argument to repetition operator: `*`"),
        ("(|*)", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `*`"),
        ("a{2}{3}", "invalid nested repetition operator: `{3}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("(a{100}){11}", "invalid repeat count: `{11}`"),
        ("(a", "missing closing ): `(a`"),
        ("a)", "unexpected ): `a)`"),
        ("(\\Qa)", "missing closing ): `(\\Qa)`"),
        ("[a", "missing closing ]: `[a`"),
        ("[]", "missing closing ]: `[]`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
        (r"[\b]", r"invalid escape sequence: `\b`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000}`"),
        (r"\p{Alphabetic}", r"invalid character class range: `\p{Alphabetic}`"),
        (r"\p{gc=L}", r"invalid character class range: `\p{gc=L}`"),
        ("\\", "trailing backslash at end of expression"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?<=a)", "invalid named capture: `(?<=a)`"),
        ("(?P<n-1>a)", "invalid named capture: `(?P<n-1>`"),
    ] {
        assert_eq!(translate(pattern).map(|t| t.pattern), Err(reason.to_owned()), "{pattern}");
    }
}

#[test]
fn groups_go_into_templates_as_in_go() {
    let regex = compiled("(a)(?P<n>b)?(?P<1x>c)?");
    for (text, template, expected) in [
        ("ab", "$1-$2", "a-b"),
        ("ab", "${1}x$1x", "ax"),
        ("ac", "$1x", "c"),
        ("ab", "$n$$n${n}", "b$nb"),
        ("a", "<$n$2$9$01>", "<>"),
        ("a", "$0", "a"),
        ("a", "$ ${} ${1 $-", "$ ${} ${1 $-"),
        ("a", "$1ä", ""),
    ] {
        assert_eq!(regex.expand(text, template).as_deref(), Some(expected), "{template}");
    }
    assert_eq!(regex.expand("b", "x"), None);
    let either = compiled("(?P<n>a)|(?P<n>b)");
    assert_eq!(either.expand("b", "<$n>").as_deref(), Some("<b>"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]

    /// What is translated the engine takes, and nothing makes the translator fail otherwise.
    #[test]
    fn what_is_translated_compiles(pattern in PIECES) {
        if let Ok(translated) = translate(&pattern) {
            let parsed = regex_syntax::parse(&translated.pattern);
            proptest::prop_assert!(parsed.is_ok(), "{pattern} became {}: {parsed:?}", translated.pattern);
        }
    }

    /// Where both languages are the same, so is what is matched.
    #[test]
    fn plain_expressions_stay_what_they_are(
        parts in proptest::collection::vec(proptest::sample::select(&ALIKE[..]), 0..6),
        values in proptest::collection::vec("[abü\n]{0,4}", 20),
    ) {
        let pattern = parts.concat();
        let plain = regex::Regex::new(&format!("^(?s:{pattern})$")).unwrap();
        let ours = compiled(&pattern);
        for value in values {
            let expected = plain.is_match(&value);
            proptest::prop_assert_eq!(ours.is_match(&value), expected, "{} {:?}", pattern, value);
        }
    }
}
