//! The HTTP API of Prometheus and the embedded web interface. What serves them stands in `skopos-web`.
//!
//! Modules:
//! - `access`: which scope a request needs.
//! - `mount`: `Mount`: where the routes stand and for whom; `clean_path`: who asks beside them is led there;
//!   `control`: reload and quit; `admin`: what changes data.
//! - `parts`: `App` and `Parts`: what handlers work with, and that it is not there from the start.
//! - `federate`: the page that another server scrapes.
//! - `query`, `exemplars`, `labels`, `metadata`, `targets`, `rules`, `syntax`, `status`, `tsdb_status`,
//!   `about`, `processes`, `self_metrics`, `notifications`: the handlers, by what they are about.
//! - `search`, `search_score`: names and values that fit a term, the best first.
//! - `params`, `multipart`, `reply`, `json`: how a request is read and an answer written.
//! - `remote_read`: samples and chunks for other servers.
//! - `push`: what others send us; see its own map.
//! - `query_stats`: how long a query took, for clients that ask; `query_log`: for the log of queries;
//!   `query_threads`: what they run on.
//! - `query_ranks`: queries that are being answered, and those that took longest.
//! - `openapi`: all of this, for programs.
//! - `answer`: a query's result as JSON; `writing`: answers of any length, sent while they are written.
//! - `blocking`: queries on threads, cancelled when their client goes.
//! - `own_metrics`: what this process says of itself.
//! - `ui`: the embedded files.
//!
//! The way of a query: `query` reads `params` → `blocking::answer_within` takes a slot and a thread →
//! `promql::parse_within` → `Engine` over `Parts::storage` → `answer` writes the columns by `json`, and sends
//! them.
//!
//! What always holds:
//! - Every error that a client sees is an `ApiError`, whose status code follows from its type: in the API's
//!   JSON form, and as text where Prometheus answers with text (`read`, `/federate`, `/metrics`, `/-/`,
//!   pages).
//! - Handlers never wait for storage on a thread of the reactor, nor compile what a client wrote there.
//! - What a request holds is charged, or has a bound of its own; an answer that a client can make long goes
//!   through `writing`. Those about the process itself (targets, rules, flags, its own metrics) are as long
//!   as it has such things.
//! - The API knows no storage but its seam; it never sees `tsdb`.
//!
//! When you add a route: a handler in the module it is about, a line in `router`, its description in
//! `openapi.yaml`, and a case in `tests/`.

pub mod about;
mod access;
mod admin;
mod answer;
mod blocking;
mod clean_path;
mod control;
mod exemplars;
mod federate;
mod json;
mod labels;
pub mod metadata;
mod mount;
mod multipart;
pub mod notifications;
mod openapi;
pub mod own_metrics;
mod params;
mod parts;
mod processes;
mod push;
mod query;
mod query_log;
mod query_ranks;
mod query_stats;
mod query_threads;
mod remote_read;
mod reply;
mod rules;
mod search;
mod search_score;
mod self_metrics;
mod status;
mod syntax;
mod targets;
pub mod tsdb_status;
mod ui;
mod writing;

pub use access::needed_scope;
pub use admin::{AdminError, NoAdmin, SharedAdmin, TsdbAdmin, WithHead};
pub use blocking::Slots;
pub use control::Asked;
pub use mount::{CorsOrigin, Mount};
pub use parts::{App, Parts};
pub use push::{Push, PushOptions, Way};
pub use query_log::QueryLog;
pub use query_threads::QueryThreads;
pub use remote_read::{ChunkSource, RemoteRead, RemoteReadLimits};
pub use writing::DEFAULT_RESPONSE_MAX_BYTES;

use crate::{
    mount::{GlobalUrls, Prefix},
    reply::{ApiError, ErrorType},
};
use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
    routing::{get, post, put},
};
use std::{sync::Arc, time::Instant};
use tower_http::compression::{
    CompressionLayer, Predicate,
    predicate::{DefaultPredicate, NotForContentType},
};

/// All routes.
pub fn router(app: App, mount: &Mount) -> Router {
    let cors = middleware::from_fn_with_state(mount.cors_origin.clone(), mount::cors);
    let api = query_routes()
        .merge(search_routes())
        .merge(push_routes())
        .merge(state_routes())
        .nest("/admin/tsdb", admin_routes(mount))
        .merge(wipe_route(mount))
        .fallback(no_such_endpoint)
        .method_not_allowed_fallback(wrong_method)
        .layer(cors);
    let routes = Router::new()
        .nest("/api/v1", api)
        .route("/-/healthy", get(status::healthy))
        .route("/-/ready", get(status::ready))
        .merge(lifecycle_routes(mount))
        .merge(push_routes_of_others())
        .route("/metrics", get(status::metrics))
        .route("/version", get(status::version))
        .route("/federate", get(federate::federate))
        .fallback(ui::file_by_any_method)
        .method_not_allowed_fallback(wrong_method_of_page)
        .layer(Extension(Arc::new(GlobalUrls::new(mount))))
        .layer(Extension(Prefix(mount.prefix.as_str().into())))
        .layer(middleware::from_fn_with_state(app.clone(), count))
        .layer(CompressionLayer::new().compress_when(compressible()))
        .layer(DefaultBodyLimit::max(params::FORM_MAX_BYTES))
        .with_state(app);
    mount.mounted(routes).layer(middleware::from_fn(clean_path::redirect))
}

/// The routes of the listener that takes metrics of OpenTelemetry over gRPC; whoever comes there writes.
pub fn otlp_grpc_router(app: App) -> Router {
    push::grpc::routes(app)
}

/// Chunks are compressed already, and a client waits for every frame.
fn compressible() -> impl Predicate {
    DefaultPredicate::new().and(NotForContentType::const_new(remote_read::STREAM_TYPE))
}

fn query_routes() -> Router<App> {
    Router::new()
        .route("/query", get(query::instant).post(query::instant))
        .route("/query_range", get(query::range).post(query::range))
        .route("/query_exemplars", get(exemplars::query_exemplars).post(exemplars::query_exemplars))
        .route("/format_query", get(syntax::format_query).post(syntax::format_query))
        .route("/parse_query", get(syntax::parse_query).post(syntax::parse_query))
        .route("/series", get(labels::series).post(labels::series))
        .route("/labels", get(labels::names).post(labels::names))
        .route("/label/{name}/values", get(labels::values))
        .route("/metadata", get(metadata::metadata))
        .route("/read", post(remote_read::read).layer(DefaultBodyLimit::max(remote_read::REQUEST_MAX_BYTES)))
}

/// Their bodies are bounded where they are read.
fn push_routes() -> Router<App> {
    Router::new()
        .route("/write", post(push::remote_write::write))
        .route("/otlp/v1/metrics", post(push::otlp::metrics))
        .route("/import", post(push::text::json_lines))
        .route("/import/csv", post(push::text::csv))
        .route("/import/prometheus", post(push::text::prometheus))
        .route("/export", get(push::export::json_lines).post(push::export::json_lines))
        .route("/export/csv", get(push::export::csv).post(push::export::csv))
        .route("/metrics", get(push::pushgateway::metrics))
}

/// Where clients of Influx and of the Pushgateway go.
fn push_routes_of_others() -> Router<App> {
    Router::new()
        .route("/write", post(push::text::influx))
        .route("/influx/write", post(push::text::influx))
        .route("/api/v2/write", post(push::text::influx))
        .route("/influx/api/v2/write", post(push::text::influx))
        .route("/ping", get(push::text::ping).post(push::text::ping))
        .route("/influx/ping", get(push::text::ping).post(push::text::ping))
        // Who asks by GET wants the page of this name.
        .route("/query", post(push::text::query).fallback(ui::file_by_any_method))
        .route("/influx/query", get(push::text::query).post(push::text::query))
        .route("/health", get(push::text::health))
        .route("/influx/health", get(push::text::health))
        .route(
            "/metrics/{*key}",
            put(push::pushgateway::group).post(push::pushgateway::group).delete(push::pushgateway::group),
        )
}

fn search_routes() -> Router<App> {
    Router::new()
        .route("/search/metric_names", get(search::metric_names).post(search::metric_names))
        .route("/search/label_names", get(search::label_names).post(search::label_names))
        .route("/search/label_values", get(search::label_values).post(search::label_values))
}

fn state_routes() -> Router<App> {
    Router::new()
        .route("/targets", get(targets::targets))
        .route("/targets/metadata", get(metadata::of_targets))
        .route("/targets/relabel_steps", get(targets::relabel_steps))
        .route("/scrape_pools", get(about::scrape_pools))
        .route("/scrape_pools/config", get(about::scrape_pool_config))
        .route("/rules", get(rules::rules))
        .route("/alerts", get(rules::alerts))
        .route("/alertmanagers", get(rules::alertmanagers))
        .route("/features", get(about::features))
        .route("/notifications", get(notifications::list))
        .route("/notifications/live", get(notifications::live))
        .route("/processes", get(processes::processes))
        .route("/openapi.yaml", get(openapi::document))
        .route("/status/active_queries", get(query_ranks::active_queries))
        .route("/status/top_queries", get(query_ranks::top_queries))
        .route("/status/buildinfo", get(status::build_info))
        .route("/status/config", get(status::config))
        .route("/status/flags", get(about::flags))
        .route("/status/runtimeinfo", get(about::runtime_info))
        .route("/status/self_metrics", get(self_metrics::self_metrics))
        .route("/status/tsdb", get(tsdb_status::tsdb_status))
        .route("/status/tsdb/blocks", get(about::blocks))
        .route("/status/walreplay", get(about::wal_replay))
}

fn admin_routes(mount: &Mount) -> Router<App> {
    if !mount.admin_api {
        let not_enabled = || post(admin::not_enabled).put(admin::not_enabled);
        let refused = |router: Router<App>, path| router.route(path, not_enabled());
        let paths = ["/snapshot", "/delete_series", "/clean_tombstones"];
        return paths.into_iter().fold(Router::new(), refused).method_not_allowed_fallback(wrong_method);
    }
    Router::new()
        .route("/snapshot", post(admin::snapshot).put(admin::snapshot))
        .route("/delete_series", post(admin::delete_series).put(admin::delete_series))
        .route("/clean_tombstones", post(admin::clean_tombstones).put(admin::clean_tombstones))
        .method_not_allowed_fallback(wrong_method)
}

/// As in the Pushgateway.
fn wipe_route(mount: &Mount) -> Router<App> {
    if !mount.admin_api {
        return Router::new().route("/admin/wipe", put(admin::not_enabled));
    }
    Router::new().route("/admin/wipe", put(push::pushgateway::wipe))
}

fn lifecycle_routes(mount: &Mount) -> Router<App> {
    if !mount.lifecycle {
        let refused = || {
            let refused = post(control::not_enabled).put(control::not_enabled);
            refused.fallback(control::wrong_method)
        };
        return Router::new().route("/-/reload", refused()).route("/-/quit", refused());
    }
    Router::new()
        .route("/-/reload", post(control::reload).put(control::reload).fallback(control::wrong_method))
        .route("/-/quit", post(control::quit).put(control::quit).fallback(control::wrong_method))
}

async fn no_such_endpoint(request: Request) -> ApiError {
    let path = request.uri().path();
    ApiError::new(ErrorType::NotFound, format!("there is no endpoint /api/v1{path}"))
}

async fn wrong_method(request: Request) -> ApiError {
    ApiError::new(ErrorType::MethodNotAllowed, format!("{} is not allowed here", request.method()))
}

/// Outside the API errors are text.
async fn wrong_method_of_page() -> (StatusCode, &'static str) {
    (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n")
}

/// Counts requests by route, so that a client cannot make up new ones.
async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("/", MatchedPath::as_str).to_owned();
    let started = Instant::now();
    let response = next.run(request).await;
    app.http().observe(&route, response.status().as_u16(), started.elapsed());
    response
}
