//! `--enable-feature=type-and-unit-labels` beside a Prometheus 3 that has it enabled too: the same series of
//! the same targets, and the same answers about them.

use crate::support::{ask, json, server, wait_for_value};
use serde_json::{Value, json};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    peers,
    service::Service,
};

const OPEN_METRICS: &str = "# TYPE t_seconds histogram\n# UNIT t_seconds seconds\n# HELP t_seconds how long\n\
    t_seconds_bucket{le=\"1.0\"} 2\nt_seconds_bucket{le=\"+Inf\"} 3\nt_seconds_count 3\nt_seconds_sum 8.5\n\
    t_seconds_created 1700000000\n\
    # TYPE temperature_celsius gauge\n# UNIT temperature_celsius celsius\ntemperature_celsius{at=\"a\"} 5\n\
    temperature_celsius{at=\"b\",__type__=\"theirs\",__unit__=\"theirs\"} 6\n\
    # TYPE in_bytes counter\n# UNIT in_bytes bytes\nin_bytes_total 7\n# EOF\n";
/// Without units: those of other families before them would be theirs in Prometheus 3.5.
const WITHOUT_UNITS: &str = "unsaid 0\n# TYPE c counter\nc_total 1\nc_created 2\n# TYPE g gauge\ng 3\n\
    # TYPE gh gaugehistogram\ngh_bucket{le=\"+Inf\"} 4\ngh_gcount 4\ngh_gsum 4\n# TYPE s summary\n\
    s{quantile=\"0.5\"} 5\ns_count 5\ns_sum 5\n# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE states stateset\n\
    states{states=\"on\"} 1\n# TYPE u unknown\nu 6\nu{__type__=\"theirs\"} 7\n# EOF\n";
const TEXT: &str = "unsaid 0\n# HELP c_total so many\n# TYPE c_total counter\nc_total 1\n# TYPE g gauge\n\
    # UNIT g none\ng 2\ng{__unit__=\"theirs\"} 2.5\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_count 3\n\
    h_sum 3\n# TYPE s summary\ns{quantile=\"0.5\"} 4\ns_count 4\ns_sum 4\n# TYPE u untyped\nu 5\n";

fn answering(content_type: &str, body: &str) -> Server {
    Server::start([Misbehaviour::Answers {
        status: 200,
        content_type: content_type.to_owned(),
        body: body.as_bytes().to_vec(),
    }])
}

/// The result, in one order.
fn data(server: &Service, path: &str, parameters: &[(&str, &str)]) -> Value {
    let response = ask(server, path, parameters);
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    let mut data = json(&response)["data"].take();
    let list = if data.is_array() { &mut data } else { &mut data["result"] };
    for one in list.as_array_mut().unwrap() {
        // When it was asked.
        if let Some(value) = one.get_mut("value") {
            value[0].take();
        }
    }
    list.as_array_mut().unwrap().sort_by_key(ToString::to_string);
    data
}

#[test]
fn scraped_series_have_their_types_and_units_as_in_prometheus_3() {
    let Some(program) = peers::prometheus_3() else { return };
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let targets = [
        answering(open_metrics, OPEN_METRICS),
        answering(open_metrics, WITHOUT_UNITS),
        answering("text/plain; version=0.0.4; charset=utf-8", TEXT),
    ];
    let addresses = targets.each_ref().map(|target| format!("'{}'", target.address())).join(", ");
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: \
         [{addresses}]}}]\n"
    );
    let features = "--enable-feature=type-and-unit-labels,promql-experimental-functions";
    let theirs = peers::prometheus_at(program, &config, &[features, "--log.level=warn"]);
    let ours = server().config(&config).flag(features).start();
    for server in [&theirs, &ours] {
        wait_for_value(
            server,
            "count(min_over_time(up[1m]) == 1) * (min(count_over_time(up[1m])) > bool 1)",
            3.0,
        );
    }
    // Of what servers say of scrapes there is more in ours.
    let all = [("match[]", r#"{job="j", __name__!~"scrape_.*"}"#)];
    let series = data(&ours, "/api/v1/series", &all);
    assert_eq!(series, data(&theirs, "/api/v1/series", &all));
    let typed = series.as_array().unwrap().iter().filter(|s| s.get("__type__").is_some()).count();
    assert_eq!((series.as_array().unwrap().len(), typed), (36, 29), "{series:#}");
    for query in [
        "temperature_celsius",
        "temperature_celsius * 2",
        "-temperature_celsius",
        "temperature_celsius > 0",
        "temperature_celsius > bool 0",
        "temperature_celsius + temperature_celsius",
        "temperature_celsius and on (at) temperature_celsius",
        "abs(temperature_celsius)",
        "rate(in_bytes_total[1m])",
        "last_over_time(in_bytes_total[1m])",
        "max_over_time(in_bytes_total[1m])",
        "sum by (__type__) ({job=\"j\", __name__!~\"scrape_.*\"})",
        "sum by (__type__, __unit__) (temperature_celsius)",
        "sum without (at) (temperature_celsius)",
        "topk(1, temperature_celsius)",
        "histogram_quantile(0.5, t_seconds_bucket)",
        "label_replace(in_bytes_total, \"kind\", \"$1\", \"__type__\", \"(.*)\")",
        "sort_by_label(temperature_celsius, \"__unit__\")",
        "{__type__=\"summary\"}",
        "count by (__unit__) ({__unit__!=\"\"})",
    ] {
        let ours = data(&ours, "/api/v1/query", &[("query", query)]);
        assert_ne!(ours["result"], json!([]), "{query}");
        assert_eq!(ours, data(&theirs, "/api/v1/query", &[("query", query)]), "{query}");
    }
}
