//! What the web server says of itself: requests by route and status, and how long they took.

use super::Families;
use parking_lot::Mutex;
use skopos_model::MetricType;
use std::{collections::BTreeMap, time::Duration};

/// Upper bounds of the buckets, in seconds, with how they are written.
const BOUNDS: [(f64, &str); 10] = [
    (0.005, "0.005"),
    (0.025, "0.025"),
    (0.1, "0.1"),
    (0.25, "0.25"),
    (0.5, "0.5"),
    (1.0, "1"),
    (2.5, "2.5"),
    (10.0, "10"),
    (30.0, "30"),
    (120.0, "120"),
];

/// Requests since the start. Routes are the router's own, so there are few.
#[derive(Debug, Default)]
pub(crate) struct HttpStats {
    routes: Mutex<BTreeMap<String, Route>>,
}

#[derive(Debug, Default)]
struct Route {
    /// By status code.
    requests: BTreeMap<u16, u64>,
    buckets: [u64; BOUNDS.len()],
    seconds: f64,
}

impl HttpStats {
    pub(crate) fn observe(&self, route: &str, status: u16, took: Duration) {
        let seconds = took.as_secs_f64();
        let mut routes = self.routes.lock();
        if !routes.contains_key(route) {
            routes.insert(route.to_owned(), Route::default());
        }
        let route = routes.get_mut(route).expect("invariant: it was put there");
        *route.requests.entry(status).or_default() += 1;
        route.seconds += seconds;
        if let Some(bucket) = BOUNDS.iter().position(|(bound, _)| seconds <= *bound) {
            route.buckets[bucket] += 1;
        }
    }

    pub(super) fn write(&self, out: &mut Families<'_>) {
        let routes = self.routes.lock();
        out.family(
            "prometheus_http_requests_total",
            MetricType::Counter,
            "Requests answered, by route and status.",
        );
        for (name, route) in routes.iter() {
            for (status, n) in &route.requests {
                out.sample("", &[("handler", name), ("code", &status.to_string())], *n as f64);
            }
        }
        let help = "How long requests took, by route.";
        out.family("prometheus_http_request_duration_seconds", MetricType::Histogram, help);
        for (name, route) in routes.iter() {
            let mut below = 0;
            for ((_, bound), n) in BOUNDS.iter().zip(route.buckets) {
                below += n;
                out.sample("_bucket", &[("handler", name), ("le", bound)], below as f64);
            }
            let all: u64 = route.requests.values().sum();
            out.sample("_bucket", &[("handler", name), ("le", "+Inf")], all as f64);
            out.sample("_sum", &[("handler", name)], route.seconds);
            out.sample("_count", &[("handler", name)], all as f64);
        }
    }
}
