//! Which queries run and which took longest, beside VictoriaMetrics.

use crate::support::{PATIENCE, ask, json, server};
use serde_json::Value;
use skopos_testkit::{peers, service::Service, wait_until};
use std::collections::BTreeSet;

fn names(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// What is ranked once a query took long enough to be remembered.
fn ranked(server: &Service) -> Value {
    wait_until("a query that is remembered", PATIENCE, || {
        let heavy = "sum(count_over_time(vector(1)[1d:10s]))";
        assert_eq!(ask(server, "/api/v1/query", &[("query", heavy)]).status, 200);
        let ranked = json(&server.get("/api/v1/status/top_queries?topN=5&maxLifetime=5m"));
        ranked["topByCount"].as_array().is_some_and(|list| !list.is_empty()).then_some(ranked)
    })
}

#[test]
fn queries_are_ranked_in_the_form_of_victoria_metrics() {
    let theirs = ranked(&peers::victoria_metrics("", &[]));
    let server = server().start();
    let ours = ranked(&server);
    assert_eq!(names(&ours), names(&theirs));
    assert_eq!(
        (&ours["topN"], &ours["search.queryStats.lastQueriesCount"]),
        (&theirs["topN"], &theirs["search.queryStats.lastQueriesCount"])
    );
    for list in ["topByCount", "topByAvgDuration", "topBySumDuration"] {
        let first = |answer: &Value| answer[list][0].clone();
        assert!(first(&ours).is_object() && first(&theirs).is_object(), "{list}: {ours} {theirs}");
        // The sum has a count in ours too: newer versions tell it.
        assert!(names(&first(&ours)).is_superset(&names(&first(&theirs))), "{list}: {ours} {theirs}");
    }
    // A query is let go of behind its answer.
    wait_until("no query to be active", PATIENCE, || {
        let active = json(&server.get("/api/v1/status/active_queries"));
        assert_eq!(active["status"], "ok");
        (active["data"] == Value::from(Vec::<Value>::new())).then_some(())
    });
    assert_eq!(server.get("/api/v1/status/top_queries?topN=x").status, 400);
}
