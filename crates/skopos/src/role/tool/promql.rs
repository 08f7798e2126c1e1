//! `skopos tool promql`: writes queries anew. The commands, arguments and lines are those of promtool.

use super::output::Out;
use crate::role::Failure;
use clap::Subcommand;
use skopos_model::{MatchOp, Matcher};
use skopos_promql::{
    EngineOptions,
    ast::{Expr, ExprKind},
};

#[derive(Debug, clap::Args)]
pub(super) struct Flags {
    #[command(subcommand)]
    what: Promql,
}

#[derive(Debug, Subcommand)]
enum Promql {
    /// Write a query over as many lines as it needs.
    #[command(after_help = "Example: skopos tool promql format 'sum by(job)(rate(a[5m]))'")]
    Format {
        /// The query.
        #[arg(allow_hyphen_values = true)]
        query: String,
    },
    /// Change the conditions of all selectors of a query.
    LabelMatchers {
        #[command(subcommand)]
        what: LabelMatchers,
    },
}

#[derive(Debug, Subcommand)]
enum LabelMatchers {
    /// Give every selector this condition on a label, in the place of those that it has on it.
    #[command(after_help = "Example: skopos tool promql label-matchers set -t =~ 'rate(a[5m])' job 'x|y'")]
    Set {
        /// `=`, `!=`, `=~` or `!~`.
        #[arg(short = 't', long = "type", default_value = "=", value_parser = operator)]
        op: MatchOp,
        /// The query.
        #[arg(allow_hyphen_values = true)]
        query: String,
        /// The label.
        name: String,
        /// What it is compared with.
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Take the conditions on a label out of every selector.
    #[command(after_help = "Example: skopos tool promql label-matchers delete 'rate(a{b=\"c\"}[5m])' b")]
    Delete {
        /// The query.
        #[arg(allow_hyphen_values = true)]
        query: String,
        /// The label.
        name: String,
    },
}

fn operator(text: &str) -> Result<MatchOp, String> {
    let all = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    let found = all.into_iter().find(|op| op.as_str() == text);
    found.ok_or_else(|| "write one of = != =~ !~".to_owned())
}

pub(super) fn run(flags: &Flags, features: &[String]) -> Result<(), Failure> {
    let mut options = EngineOptions::default();
    for feature in features {
        if !options.enable(feature) {
            return Err(Failure::Flags(format!("--enable-feature={feature}: PromQL has no such feature")));
        }
    }
    let parse = |query: &str| {
        skopos_promql::parse_with(query, options.language).map_err(|e| Failure::Data(e.to_string()))
    };
    let written = match &flags.what {
        Promql::Format { query } => parse(query)?,
        Promql::LabelMatchers { what: LabelMatchers::Set { op, query, name, value } } => {
            let matcher = Matcher::new(name, *op, value).map_err(|e| Failure::Data(e.to_string()))?;
            let mut expr = parse(query)?;
            change(&mut expr, &|matchers| set(matchers, &matcher));
            expr
        }
        Promql::LabelMatchers { what: LabelMatchers::Delete { query, name } } => {
            let mut expr = parse(query)?;
            change(&mut expr, &|matchers| matchers.retain(|m| m.name() != name));
            expr
        }
    };
    let mut out = Out::new();
    out.line(&written.pretty())?;
    out.finish()
}

fn set(matchers: &mut Vec<Matcher>, matcher: &Matcher) {
    let mut found = false;
    for own in matchers.iter_mut().filter(|own| own.name() == matcher.name()) {
        *own = matcher.clone();
        found = true;
    }
    if !found {
        matchers.push(matcher.clone());
    }
}

/// Changes the conditions of every selector below `expr`. A tree is no deeper than the parser allows.
fn change(expr: &mut Expr, how: &dyn Fn(&mut Vec<Matcher>)) {
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => {}
        ExprKind::Selector(selector) => how(&mut selector.matchers),
        ExprKind::Range(range) => how(&mut range.selector.matchers),
        ExprKind::Subquery(subquery) => change(&mut subquery.expr, how),
        ExprKind::Call(call) => call.args.iter_mut().for_each(|arg| change(arg, how)),
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.iter_mut().for_each(|param| change(param, how));
            change(&mut aggregate.expr, how);
        }
        ExprKind::Binary(binary) => {
            change(&mut binary.lhs, how);
            change(&mut binary.rhs, how);
        }
        ExprKind::Negate(inner) | ExprKind::Plus(inner) | ExprKind::Paren(inner) => change(inner, how),
    }
}
