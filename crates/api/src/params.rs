//! Parameters of a request: of its URL and, for a POST, of its form body. Both count.

use crate::{
    mount::Prefix,
    multipart,
    reply::{ApiError, ErrorType},
};
use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::{
        Method,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
};
use skopos_model::{DurationMs, Matcher, TimestampMs, matcher::Regexes};
use skopos_promql::{ParseError, Steps, parse_matchers_within, parse_selector_within, queries::Asked};
use skopos_storage::QueryBudget;
use std::{net::SocketAddr, time::Duration};

/// The most bytes of a form body.
pub(crate) const FORM_MAX_BYTES: usize = 4 << 20;
/// How many `match[]` a request may have.
const SELECTORS_MAX: usize = 1000;
/// What the account takes a condition of a selector for, in bytes, besides its text.
const MATCHER_BYTES: u64 = 128;
/// The least written time of Prometheus and the greatest, which clients send for no bound.
const LEAST_WRITTEN: &str = "-292273086-05-16T16:47:06Z";
const GREATEST_WRITTEN: &str = "292277025-08-18T07:12:54.999999999Z";
/// How long a client may take to send a body: connections are few, and nobody may sit on them.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The parameters in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    requested: Requested,
}

/// The request that they came with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requested {
    pub(crate) method: Method,
    /// What its path began with before that of the route.
    pub(crate) prefix: Prefix,
    /// Whose it is, where the server says so.
    pub(crate) from: Option<SocketAddr>,
}

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let requested = Requested {
            method: request.method().clone(),
            prefix: request.extensions().get::<Prefix>().cloned().unwrap_or_default(),
            from: request.extensions().get::<SocketAddr>().copied(),
        };
        let query = request.uri().query().unwrap_or("").to_owned();
        // As in Go, the forms of all methods that have one.
        let may_have_form = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
        let content_type = request.headers().get(CONTENT_TYPE).filter(|_| may_have_form);
        let content_type = content_type.and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        let media_type = content_type.split(';').next().unwrap_or("").trim();
        let params = if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Self::parse(&read_form(request, state).await?, query.as_bytes())
        } else if let Some(boundary) = multipart::boundary(&content_type) {
            let fields = multipart::fields(&read_form(request, state).await?, boundary);
            let broken = || ApiError::parameter("(body)", "it is no multipart/form-data of this boundary");
            let mut params = Self::parse(&[], query.as_bytes());
            params.pairs.extend(fields.ok_or_else(broken)?);
            params
        } else {
            Self::parse(&[], query.as_bytes())
        };
        let params = Self { requested, ..params };
        // Thanos' clients send these everywhere. Here samples come once and answers whole, whatever they say.
        params.flag("dedup")?;
        params.flag("partial_response")?;
        Ok(params)
    }
}

/// Reads a form body. One that says that it is too long is not waited for.
async fn read_form<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > FORM_MAX_BYTES) {
        let reason = format!("the form is longer than {FORM_MAX_BYTES} bytes");
        return Err(ApiError::parameter("(body)", reason));
    }
    read_body(request, state).await?.map_err(|e| ApiError::parameter("(body)", e.body_text()))
}

/// Reads a body of at most the bytes that the route takes.
pub(crate) async fn read_body<S: Send + Sync>(
    request: Request,
    state: &S,
) -> Result<Result<Bytes, BytesRejection>, ApiError> {
    let read = tokio::time::timeout(BODY_READ_TIMEOUT, Bytes::from_request(request, state)).await;
    read.map_err(|_elapsed| {
        ApiError::new(ErrorType::Timeout, format!("the body did not come within {BODY_READ_TIMEOUT:?}"))
    })
}

impl Params {
    pub(crate) fn parse(body: &[u8], query: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(body).chain(form_urlencoded::parse(query));
        let pairs = pairs.map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        Self { pairs, requested: Requested::default() }
    }

    /// A query of this client.
    pub(crate) fn asked<'a>(&self, query: &'a str, steps: Steps) -> Asked<'a> {
        Asked { query, steps, from: self.requested.from }
    }

    /// The request.
    pub(crate) fn requested(&self) -> &Requested {
        &self.requested
    }

    /// The first value of `name`, unless it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// All values of `name`.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// The text of a query; nothing is one that says nothing, which reading it tells.
    pub(crate) fn query(&self) -> &str {
        self.get("query").unwrap_or_default()
    }

    /// A value that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| ApiError::parameter(name, "it is missing"))
    }

    /// A point in time.
    pub(crate) fn time(&self, name: &str) -> Result<Option<TimestampMs>, ApiError> {
        self.get(name).map(|v| parse_time(v).map_err(|reason| ApiError::parameter(name, reason))).transpose()
    }

    /// A span of time.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<DurationMs>, ApiError> {
        self.get(name)
            .map(|v| parse_duration(v).map_err(|reason| ApiError::parameter(name, reason)))
            .transpose()
    }

    /// A whole number; absent means zero.
    pub(crate) fn count(&self, name: &str) -> Result<usize, ApiError> {
        let wrong = |v: &str| match v.parse::<i128>() {
            Ok(..0) => ApiError::parameter(name, format!("{name} must be non-negative")),
            _ => ApiError::parameter(name, format!("cannot parse {v:?}: write a whole number, not negative")),
        };
        self.get(name).map_or(Ok(0), |v| v.parse().map_err(|_| wrong(v)))
    }

    /// A truth value as Go reads it; absent means false.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None | Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
            Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
            Some(_) => Err(ApiError::parameter(name, "write true or false")),
        }
    }

    /// Charges what the client sent, as it is held.
    pub(crate) fn charge(&self, budget: &QueryBudget) -> Result<(), ApiError> {
        let one = |(k, v): &(String, String)| k.len() + v.len() + 2 * size_of::<String>();
        let bytes = self.pairs.iter().map(one).sum::<usize>();
        Ok(budget.charge_memory(bytes as u64)?)
    }

    /// The selectors of all `match[]`.
    pub(crate) fn selectors(&self, budget: &QueryBudget) -> Result<Vec<Vec<Matcher>>, ApiError> {
        let wrong = |e: ParseError| ApiError::parameter("match[]", &e).by_limit(e.limit());
        self.selectors_read(budget, parse_selector_within, wrong)
    }

    /// The same, where one may pick all series that there are (`{job=~".*"}`), and of a wrong one nothing is
    /// said but its error.
    pub(crate) fn any_selectors(&self, budget: &QueryBudget) -> Result<Vec<Vec<Matcher>>, ApiError> {
        let wrong = |e: ParseError| ApiError::new(ErrorType::BadData, e.to_string()).by_limit(e.limit());
        self.selectors_read(budget, parse_matchers_within, wrong)
    }

    /// They have one account of regular expressions, and are charged: compiling takes time and room, and
    /// belongs on a thread of queries.
    fn selectors_read(
        &self,
        budget: &QueryBudget,
        parse: impl Fn(&str, &mut Regexes) -> Result<Vec<Matcher>, ParseError>,
        wrong: impl Fn(ParseError) -> ApiError,
    ) -> Result<Vec<Vec<Matcher>>, ApiError> {
        let mut regexes = Regexes::default();
        let mut all = Vec::new();
        for text in self.all("match[]") {
            if all.len() == SELECTORS_MAX {
                let reason = format!("there are more than {SELECTORS_MAX}: ask several times for less");
                return Err(ApiError::parameter("match[]", reason));
            }
            budget.check()?;
            let before = regexes.max_bytes();
            let matchers = parse(text, &mut regexes).map_err(&wrong)?;
            let compiled = regexes.max_bytes() - before;
            let held = matchers.iter().map(|m| MATCHER_BYTES + (m.name().len() + m.value().len()) as u64);
            budget.charge_memory(compiled + held.sum::<u64>())?;
            all.push(matchers);
        }
        Ok(all)
    }
}

/// Seconds since the Unix epoch, or RFC 3339.
fn parse_time(text: &str) -> Result<TimestampMs, String> {
    match text {
        LEAST_WRITTEN => return Ok(TimestampMs::MIN),
        GREATEST_WRITTEN => return Ok(TimestampMs::MAX),
        _ => {}
    }
    if let Some(seconds) = number(text) {
        return seconds_to_ms(seconds)
            .map(TimestampMs::new)
            .ok_or_else(|| format!("cannot parse {text:?} to a valid timestamp: it is out of range"));
    }
    let parsed = Some(text).filter(|text| is_rfc_3339(text)).and_then(|text| text.parse().ok());
    parsed.map(|t: jiff::Timestamp| TimestampMs::new(t.as_millisecond())).ok_or_else(|| {
        format!(
            "cannot parse {text:?} to a valid timestamp: write seconds since 1970 or 2026-01-31T12:00:00Z"
        )
    })
}

/// Seconds, or the written form (`5m`).
fn parse_duration(text: &str) -> Result<DurationMs, String> {
    if let Some(seconds) = number(text) {
        return seconds_to_ms(seconds)
            .map(DurationMs::from_ms)
            .ok_or_else(|| format!("cannot parse {text:?} to a valid duration: it is out of range"));
    }
    DurationMs::parse(text).map_err(|e| e.to_string())
}

/// A number as Go reads it: underscores may stand between digits.
fn number(text: &str) -> Option<f64> {
    if !text.contains('_') {
        return text.parse().ok();
    }
    let between_digits = |at: usize| {
        let is_digit =
            |at: Option<usize>| at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_digit);
        is_digit(at.checked_sub(1)) && is_digit(Some(at + 1))
    };
    let all_between = text.match_indices('_').all(|(at, _)| between_digits(at));
    all_between.then(|| text.replace('_', "").parse().ok()).flatten()
}

/// Whether it has the form of RFC 3339, in which other readers take more than Go does: capital letters, and
/// an offset with its colon.
fn is_rfc_3339(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else { return false };
    let fraction = rest.strip_prefix('.').map(|digits| digits.trim_start_matches('0'));
    let zone = fraction.filter(|zone| zone.len() < rest.len() - 1).unwrap_or(rest);
    matches!(zone, "Z" | "+00:00" | "-00:00")
}

fn seconds_to_ms(seconds: f64) -> Option<i64> {
    let ms = (seconds * 1000.0).round();
    // Beyond this a float no longer counts every millisecond, and arithmetic on it could overflow.
    (ms.is_finite() && ms.abs() < 9e15).then_some(ms as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, HttpBody};
    use hyper::body::Frame;
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    /// A body of which nothing ever comes.
    struct Endless;

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_waited_for_as_long_as_all_are() {
        let (began, request) = (tokio::time::Instant::now(), Request::new(Body::new(Endless)));
        assert!(read_body(request, &()).await.unwrap_err().message().contains("did not come within"));
        assert_eq!(began.elapsed(), BODY_READ_TIMEOUT);
    }

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        for (text, ms) in [
            ("1_0", 10_000),
            ("1_000.2_5", 1_000_250),
            ("2026-01-31T12:00:00.25+01:00", 1_769_857_200_250),
            ("0", 0),
            ("1435781451.781", 1_435_781_451_781),
            ("-1.5", -1_500),
            ("1e9", 1_000_000_000_000),
            ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
            ("2015-07-01T22:10:51+02:00", 1_435_781_451_000),
        ] {
            assert_eq!(parse_time(text), Ok(TimestampMs::new(ms)), "{text}");
        }
        assert_eq!(parse_time("-292273086-05-16T16:47:06Z"), Ok(TimestampMs::MIN));
        assert_eq!(parse_time("292277025-08-18T07:12:54.999999999Z"), Ok(TimestampMs::MAX));
        for text in ["", "NaN", "Inf", "1e30", "yesterday", "2015-07-01"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_seconds_or_written() {
        assert_eq!(parse_duration("15"), Ok(DurationMs::from_secs(15)));
        assert_eq!(parse_duration("0.5"), Ok(DurationMs::from_ms(500)));
        assert_eq!(parse_duration("1h30m"), Ok(DurationMs::from_secs(5400)));
        assert!(parse_duration("NaN").is_err() && parse_duration("x").is_err());
    }

    fn unlimited() -> std::sync::Arc<QueryBudget> {
        let limits = skopos_storage::QueryLimits { max_memory: u64::MAX, ..Default::default() };
        QueryBudget::new(limits, skopos_base::Env::real().clock)
    }

    /// So many selectors with so many expressions each, all different.
    fn with_expressions(selectors: usize, each: usize) -> Params {
        let selector = |i| {
            let all: Vec<_> = (0..each).map(|k| format!("a=~\"[ab]{i}x{k}\"")).collect();
            ("match[]".to_owned(), format!("{{{}}}", all.join(",")))
        };
        Params { pairs: (0..selectors).map(selector).collect(), ..Params::default() }
    }

    #[test]
    fn expressions_are_counted_over_all_selectors_and_charged() {
        let budget = unlimited();
        assert_eq!(with_expressions(4, 16).selectors(&budget).unwrap().len(), 4);
        assert!(budget.memory() >= 64 << 20, "{}", budget.memory());
        let refused = with_expressions(5, 13).selectors(&unlimited()).unwrap_err();
        assert!(refused.message().contains("limit of 64 regular expressions"), "{}", refused.message());
        let limits = skopos_storage::QueryLimits { max_memory: 10 << 20, ..Default::default() };
        let small = QueryBudget::new(limits, skopos_base::Env::real().clock);
        let refused = with_expressions(4, 8).selectors(&small).unwrap_err();
        assert!(refused.message().contains("query.max-memory"), "{}", refused.message());
    }

    #[test]
    fn selectors_are_bounded_and_reading_them_ends_when_nobody_waits() {
        let plain = |n: usize| Params {
            pairs: vec![("match[]".to_owned(), "up".to_owned()); n],
            ..Params::default()
        };
        assert_eq!(plain(SELECTORS_MAX).selectors(&unlimited()).unwrap().len(), SELECTORS_MAX);
        assert!(plain(SELECTORS_MAX + 1).selectors(&unlimited()).is_err());
        let budget = unlimited();
        budget.cancel();
        assert!(plain(1).selectors(&budget).unwrap_err().message().contains("cancelled"));
    }

    #[test]
    fn what_go_does_not_read_is_no_time() {
        for text in [
            "_1",
            "1_",
            "1__0",
            "1_e3",
            "0x10",
            "2026-01-31t12:00:00Z",
            "2026-01-31T12:00:00z",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00Z",
            "2026-01-31T12:00:00+0100",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00Z",
            "2026-13-31T12:00:00Z",
            "2026-01-31T12:00:00Z[UTC]",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn body_and_url_both_count() {
        let p = Params::parse(b"query=up&match[]=a", b"match%5B%5D=b&time=&query=down");
        assert_eq!(p.get("query"), Some("up"));
        assert_eq!(p.all("match[]").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((p.get("time"), p.required("start").is_err()), (None, true));
    }
}
