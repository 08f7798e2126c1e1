//! Runs the commands of a script against the engine and says what came out of each `eval`.

use crate::{
    compare,
    histograms::{Twins, Written, give_hints},
    memory::{MemoryStorage, StillClock, budget},
    points::{Counted, Point},
    script::{Command, Eval, Kind, Load, When},
};
use skopos_base::real::RealSpawner;
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_promql::{
    Engine, EngineOptions, EvalError, QueryResult, Steps, Value,
    ast::{At, Expr, ExprKind},
    parse,
    shards::{ShardOptions, Shards},
};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// What became of an `eval`.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) line: usize,
    /// Why it does not hold, in a few words and in full.
    pub(crate) failure: Option<Failure>,
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(reason: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { reason: reason.into(), detail: detail.into() }
    }
}

/// Calls whose value depends on when they are evaluated even if their arguments do not.
const UNPINNABLE: [&str; 7] = ["time", "timestamp", "start", "end", "step", "range", "predict_linear"];

/// What a script has loaded so far, and the engine that is asked.
struct World {
    storage: MemoryStorage,
    engine: Engine,
}

/// Runs a script and gives the outcome of every `eval` in it.
pub(crate) fn run(commands: &[Command], delayed_name_removal: bool, shards: usize) -> Vec<Outcome> {
    let options = EngineOptions { delayed_name_removal, start_timestamps: true, ..EngineOptions::default() };
    let shards = Shards::new(Arc::new(RealSpawner), ShardOptions { max: shards, alone_up_to: 0 });
    let engine = Engine::new(options, Arc::new(StillClock)).with_shards(shards);
    let mut world = World { storage: MemoryStorage::default(), engine };
    let mut outcomes = Vec::new();
    for command in commands {
        match &command.kind {
            Kind::Clear => world.storage = MemoryStorage::default(),
            Kind::Load(load) => world.load(load),
            Kind::Eval(eval) => {
                // A panic of the engine is the failure of one eval and not the end of the run.
                let result = catch_unwind(AssertUnwindSafe(|| world.eval(eval)));
                let failure = result.unwrap_or_else(|_| Err(Failure::new("panic", eval.query.clone()))).err();
                outcomes.push(Outcome { line: command.line, failure });
            }
        }
    }
    outcomes
}

impl World {
    fn load(&mut self, load: &Load) {
        let mut series: BTreeMap<Labels, BTreeMap<i64, Counted>> = BTreeMap::new();
        for (labels, columns) in self.storage.iter() {
            let into = series.entry(labels.clone()).or_default();
            let floats = columns.timestamps.iter().map(|t| t.as_ms()).zip(&columns.values);
            into.extend(floats.map(|(t, v)| (t, Counted::from(Point::Float(*v)))));
            for i in 0..columns.histograms.len() {
                let view = columns.histograms.get(i);
                let written = Written { histogram: view.to_histogram(), has_hint: false };
                into.insert(columns.timestamps[view.sample].as_ms(), Point::Histogram(written).into());
            }
            for start in columns.starts.of(0..columns.len()) {
                let at = columns.timestamps[start.sample].as_ms();
                into.entry(at).and_modify(|counted| counted.start = Some(start.at));
            }
        }
        let all_starts: BTreeMap<_, _> =
            load.series.iter().filter(|p| !p.starts.is_empty()).map(|p| (&p.labels, &p.starts)).collect();
        let mut twins = Twins::default();
        for points in &load.series {
            let samples = series.entry(points.labels.clone()).or_default();
            for (i, point) in points.values.iter().enumerate() {
                let (at, Some(point)) = (i as i64 * load.interval.as_ms(), point) else { continue };
                let start = all_starts.get(&points.labels).and_then(|starts| *starts.get(i)?);
                let start = start.map(|since| TimestampMs::new(at + since));
                samples.insert(at, Counted { point: point.clone(), start });
                if let (true, Point::Float(v)) = (load.with_nhcb, point) {
                    twins.add(&points.labels, at, *v);
                }
            }
        }
        for (labels, at, histogram) in twins.finish() {
            let point = Point::Histogram(Written { histogram, has_hint: false });
            series.entry(labels).or_default().insert(at, point.into());
        }
        self.storage = MemoryStorage::default();
        for (labels, mut samples) in series {
            give_hints(samples.values_mut().map(|counted| &mut counted.point));
            self.storage.push_all(&labels, samples);
        }
    }

    fn eval(&self, eval: &Eval) -> Result<(), Failure> {
        let expr = match (parse(&eval.query), &eval.expected.fail) {
            (Ok(expr), _) => expr,
            (Err(e), Some(text)) if text.matches(&e.to_string()) => return Ok(()),
            (Err(e), _) => return Err(Failure::new(parse_reason(&e), e.to_string())),
        };
        match eval.when {
            When::At(at) => self.eval_instant(eval, &expr, at),
            When::Range { start, end, step } => {
                let result = self.range(&expr, Steps { start, end, step });
                compare::whole(eval, result)
            }
        }
    }

    /// As asked, as a range of one step, and with all selectors pinned to the time and asked at others.
    fn eval_instant(&self, eval: &Eval, expr: &Expr, at: TimestampMs) -> Result<(), Failure> {
        let result = self.instant(expr, at);
        let single =
            result.as_ref().is_ok_and(|r| matches!(r.value, Value::Scalar { .. } | Value::Vector(_)));
        compare::whole(eval, result)?;
        if !single || eval.expected.fail.is_some() {
            return Ok(());
        }
        let steps = Steps { start: at, end: at, step: DurationMs::from_secs(60) };
        // The query's own times differ from one way to ask to the other.
        let of_query = ["step()", "range()"].iter().any(|call| expr.to_string().contains(call));
        if !eval.expected.ordered && !of_query {
            let result = self.range(expr, steps);
            compare::value_of_range(eval, result, at).map_err(|f| in_variant(f, "as a range"))?;
        }
        let Some(pinned) = pinned(expr, at) else { return Ok(()) };
        let ms = at.as_ms();
        for other in [0, ms, ms / 5, 10 * ms, ms + 1000] {
            let result = self.instant(&pinned, TimestampMs::new(other));
            compare::value(eval, result).map_err(|f| in_variant(f, &format!("pinned, at {other} ms")))?;
        }
        Ok(())
    }

    fn instant(&self, expr: &Expr, at: TimestampMs) -> Result<QueryResult, EvalError> {
        self.engine.instant(&self.storage, expr, at, &budget())
    }

    fn range(&self, expr: &Expr, steps: Steps) -> Result<QueryResult, EvalError> {
        self.engine.range(&self.storage, expr, steps, &budget())
    }
}

fn in_variant(failure: Failure, variant: &str) -> Failure {
    Failure::new(format!("{} ({variant})", failure.reason), failure.detail)
}

fn parse_reason(e: &skopos_promql::ParseError) -> String {
    match &e.reason {
        skopos_promql::parse::Reason::UnknownFunction { name, .. } => format!("function {name}"),
        other => format!("syntax: {other}"),
    }
}

/// The expression with all its times set to `at`, through its written form. None when it has parts
/// that cannot be pinned.
fn pinned(expr: &Expr, at: TimestampMs) -> Option<Expr> {
    let mut expr = expr.clone();
    let mut pinnable = true;
    pin(&mut expr, at, &mut pinnable);
    pinnable.then(|| parse(&expr.to_string()).unwrap_or_else(|e| panic!("{expr}: {e}")))
}

fn pin(expr: &mut Expr, at: TimestampMs, pinnable: &mut bool) {
    let set = |to: &mut Option<At>| {
        if !matches!(to, Some(At::Time(_))) {
            *to = Some(At::Time(at));
        }
    };
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => {}
        ExprKind::Selector(s) => set(&mut s.shift.at),
        ExprKind::Range(r) => set(&mut r.selector.shift.at),
        // What stands inside is evaluated at times of the subquery's own.
        ExprKind::Subquery(s) => set(&mut s.shift.at),
        ExprKind::Call(c) => {
            *pinnable &= !UNPINNABLE.contains(&c.function.name);
            c.args.iter_mut().for_each(|arg| pin(arg, at, pinnable));
        }
        ExprKind::Aggregate(a) => {
            a.param.iter_mut().for_each(|param| pin(param, at, pinnable));
            pin(&mut a.expr, at, pinnable);
        }
        ExprKind::Binary(b) => {
            pin(&mut b.lhs, at, pinnable);
            pin(&mut b.rhs, at, pinnable);
        }
        ExprKind::Negate(inner) | ExprKind::Plus(inner) | ExprKind::Paren(inner) => pin(inner, at, pinnable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;

    /// Which evals of a script fail, by their number.
    fn failing(text: &str) -> Vec<usize> {
        let outcomes = run(&script::parse(text).unwrap(), true, 1);
        outcomes.iter().enumerate().filter(|(_, o)| o.failure.is_some()).map(|(i, _)| i).collect()
    }

    const LOAD: &str = "load 1m\n  a{x=\"1\"} 0+1x10\n  a{x=\"2\"} 0+2x10\n\n";

    #[test]
    fn what_is_expected_rightly_holds() {
        let evals = "eval instant at 5m a\n  a{x=\"1\"} 5\n  a{x=\"2\"} 10.0000001\n\n\
                     eval instant at 5m sort_desc(a)\n  expect ordered\n  a{x=\"2\"} 10\n  a{x=\"1\"} 5\n\n\
                     eval range from 0 to 2m step 1m a{x=\"1\"}\n  a{x=\"1\"} 0 1 2\n\n\
                     eval instant at 5m a{x=\"1\"}[2m]\n  expect range vector from 4m to 5m step 1m\n  \
                     a{x=\"1\"} 4 5\n\n\
                     eval instant at 5m a{x=\"3\"}\n  expect no_warn\n  expect no_info\n\n\
                     eval instant at 5m 1 + 1\n  2\n\n\
                     eval instant at 5m \"b\"\n  expect string `b`\n\n\
                     eval instant at 5m a +\n  expect fail regex:.*end of input.*\n";
        assert_eq!(failing(&format!("{LOAD}{evals}")), Vec::<usize>::new());
    }

    #[test]
    fn what_is_expected_wrongly_fails() {
        let evals = [
            "eval instant at 5m a\n  a{x=\"1\"} 5\n",
            "eval instant at 5m a{x=\"1\"}\n  a{x=\"1\"} 5\n  a{x=\"2\"} 10\n",
            "eval instant at 5m a{x=\"1\"}\n  a{x=\"1\"} 5.0001\n",
            "eval instant at 5m a{x=\"1\"}\n  {x=\"1\"} 5\n",
            "eval instant at 5m sort(a)\n  expect ordered\n  a{x=\"2\"} 10\n  a{x=\"1\"} 5\n",
            "eval instant at 5m a{x=\"1\"}\n  expect fail\n",
            "eval instant at 5m a{x=\"1\"}\n  expect warn\n  a{x=\"1\"} 5\n",
            "eval instant at 5m rate(a{x=\"1\"}[2m])\n  expect no_info\n  {x=\"1\"} 0.016666\n",
            "eval instant at 5m a +\n",
            "eval instant at 5m a +\n  expect fail msg: something else\n",
            "eval range from 0 to 2m step 1m a{x=\"1\"}\n  a{x=\"1\"} 0 1\n",
            "eval range from 0 to 2m step 1m a{x=\"1\"}\n  a{x=\"1\"} 0 _ 2\n",
            "eval instant at 5m 1 + 1\n  3\n",
            "eval instant at 5m \"b\"\n  expect string `c`\n",
            "eval instant at 5m a{x=\"1\"}\n  a{x=\"1\"} {{count:1}}\n",
        ];
        let text = format!("{LOAD}{}", evals.join("\n"));
        assert_eq!(failing(&text), (0..evals.len()).collect::<Vec<_>>());
    }

    #[test]
    fn histograms_are_loaded_and_compared() {
        let text = "load 1m\n  a {{count:1 buckets:[1]}} {{count:2 buckets:[1 1]}}\n\n\
                    eval instant at 0 a\n  a {{count:1 buckets:[1 0]}}\n\n\
                    eval instant at 0 a\n  a {{count:1 buckets:[2]}}\n\n\
                    eval instant at 0 a\n  a 1\n\n\
                    eval instant at 1m a\n  a {{count:2 buckets:[1 1] counter_reset_hint:gauge}}\n\n\
                    eval range from 0 to 1m step 1m a\n  \
                    a {{count:1 buckets:[1]}} {{count:2 buckets:[1 1]}}\n\n\
                    clear\n\n\
                    load_with_nhcb 1m\n  b_bucket{le=\"1\"} 1\n  b_bucket{le=\"+Inf\"} 3\n\n\
                    eval instant at 0 b\n  b {{schema:-53 count:3 custom_values:[1] buckets:[1 2]}}\n\n\
                    eval instant at 0 b_bucket{le=\"1\"}\n  b_bucket{le=\"1\"} 1\n";
        assert_eq!(failing(text), [1, 2, 3]);
    }
}
