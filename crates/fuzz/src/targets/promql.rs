//! PromQL: a tree's written form reads back as the same tree.

use skopos_promql::{parse, parse_selector};

pub(super) fn expression(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let parsed = parse(text);
    match &parsed {
        Ok(tree) => {
            let written = tree.to_string();
            match parse(&written) {
                Ok(again) => {
                    assert_eq!(again.to_string(), written, "the written form is not stable");
                    assert!(again.is_same_tree(tree), "`{written}` is not the tree of `{text}`");
                }
                // The written form may be longer, and thus too long.
                Err(_)
                    if written.len() > text.len()
                        && written.len() > skopos_promql::parse::MAX_QUERY_BYTES => {}
                Err(error) => panic!("`{written}`, the written form of `{text}`, is refused: {error}"),
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(matchers) = parse_selector(text) {
        assert!(matchers.iter().any(|matcher| !matcher.matches_empty()), "`{text}` selects everything");
    }
    parsed.is_ok()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "sum by (mode) (rate(node_cpu_seconds_total{mode!~\"idle|iowait\",cpu=\"0\"}[5m] offset 1h30m)) / 2",
        "histogram_quantile(0.99, sum without(instance) (rate(http_bucket[5m]))) > bool 1.5e3",
        "a{b=\"\\u00fc\\n\",c=~'x.*'} * on(b) group_left(d) -c ^ 2 or vector(NaN) unless absent(e)",
        "max_over_time(deriv(x[1m:15s])[1d:1h] @ end() offset -5m) # comment",
        "topk(3, {__name__=~\".+\", \"quo ted\"!=\"\"}) == 0x1F and vector(-Inf atan2 +inf % 7)",
        "label_replace(up, \"a\", \"$1\", \"b\", \"(.*)\")",
        "count_values(\"v\", quantile by() (0.5, x @ 1700000000.5))",
        "rate({\"a.b\", \"größe\"=~\"x|y\"}[step() * 2 + 1m] smoothed) + on(i) group_left() fill_left(-0) b",
        "increase(a[max_of(5m, range() / 3)] anchored offset -(1h - 2 * step())) >/ 1e-3 - +NaN",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
