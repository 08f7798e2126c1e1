//! Carries out a plan: evaluates each node when it is first needed, keeps its value as long as somebody
//! still needs it. Owns no storage; knows nothing of the syntax tree but operators and groupings.

mod aggregate;
mod annotations;
pub(crate) mod arith;
pub(crate) mod bits;
mod date;
mod gather;
pub(crate) mod held;
pub(crate) mod histograms;
mod info;
mod join;
mod kahan;
mod labels;
mod limit;
mod map;
pub(crate) mod matrix;
mod native;
pub(crate) mod order;
mod pipeline;
mod quantile;
mod scalars;
mod scan;
mod select;
mod sort;
mod topk;
pub(crate) mod window;
pub(crate) mod work;

pub(crate) use annotations::Annotations;

use crate::ast::Span;
use crate::error::EvalError;
use crate::plan::{
    Gather, Grid, Map, NodeId, Op, Param, PipelineId, Plan, RankFn, Ranks, ScanId, SortOrder, Source,
};
use crate::profile::NodeStats;
use crate::shards::Shards;
use gather::GatherInput;
use held::Held;
use histograms::HistogramSteps;
use join::JoinContext;
use map::MapRun;
use matrix::{Row, RowLabels, StepMatrix};
use native::ranks::{Ask, Question, RanksInput};
use pipeline::PipelineRun;
use scalars::Scalars;
use scan::{Means, Run};
use skopos_model::Labels;
use skopos_storage::{Querier, QueryBudget};
use std::sync::Arc;
use window::Column;
use work::Work;

/// The value of a node.
#[derive(Clone, Debug)]
pub(crate) enum NodeValue {
    /// One number per step, or one for all of them.
    Scalar(Scalars),
    Rows(Arc<StepMatrix>),
}

impl NodeValue {
    fn rows(&self) -> usize {
        match self {
            Self::Scalar(_) => 1,
            Self::Rows(rows) => rows.len(),
        }
    }
}

/// A plan being carried out.
pub(crate) struct Executor<'a> {
    plan: &'a Arc<Plan>,
    shards: &'a Arc<Shards>,
    querier: &'a dyn Querier,
    budget: Arc<QueryBudget>,
    values: Vec<Option<NodeValue>>,
    /// How many still need each node's value.
    left: Vec<usize>,
    /// What each node did.
    pub stats: Vec<NodeStats>,
    pub annotations: Annotations,
}

impl<'a> Executor<'a> {
    pub(crate) fn new(
        plan: &'a Arc<Plan>,
        (querier, shards): (&'a dyn Querier, &'a Arc<Shards>),
        budget: &Arc<QueryBudget>,
    ) -> Self {
        Self {
            plan,
            shards,
            querier,
            budget: Arc::clone(budget),
            values: plan.nodes.iter().map(|_| None).collect(),
            left: plan.nodes.iter().map(|n| n.uses).collect(),
            stats: plan.nodes.iter().map(|_| NodeStats::default()).collect(),
            annotations: Annotations::default(),
        }
    }

    /// The value of the whole plan.
    pub(crate) fn value(&mut self) -> Result<NodeValue, EvalError> {
        // A list of what is still to be evaluated stands in for recursion: plans can be deep.
        let mut todo = vec![self.plan.root];
        while let Some(&id) = todo.last() {
            if self.values[id.0].is_some() {
                todo.pop();
                continue;
            }
            let before = todo.len();
            let inputs = self.plan.inputs(id);
            todo.extend(inputs.into_iter().rev().filter(|input| self.values[input.0].is_none()));
            if todo.len() == before {
                self.budget.check()?;
                let began = (self.budget.time_left(), self.budget.series());
                let value = self.evaluate(id)?;
                let stats = &mut self.stats[id.0];
                stats.took = began.0.saturating_sub(self.budget.time_left());
                stats.series_read = self.budget.series() - began.1;
                stats.rows = value.rows();
                self.values[id.0] = Some(value);
            }
        }
        Ok(self.take(self.plan.root))
    }

    /// The value of `id`, which was evaluated, for one of those that need it.
    fn take(&mut self, id: NodeId) -> NodeValue {
        self.left[id.0] = self.left[id.0].saturating_sub(1);
        let slot = &mut self.values[id.0];
        let value = if self.left[id.0] == 0 { slot.take() } else { slot.clone() };
        value.expect("invariant: inputs are evaluated first")
    }

    fn rows(&mut self, id: NodeId) -> Arc<StepMatrix> {
        match self.take(id) {
            NodeValue::Rows(rows) => rows,
            NodeValue::Scalar(_) => unreachable!("the planner puts rows where rows are needed"),
        }
    }

    fn scalar(&mut self, id: NodeId) -> Scalars {
        match self.take(id) {
            NodeValue::Scalar(column) => column,
            NodeValue::Rows(_) => unreachable!("the planner puts scalars where scalars are needed"),
        }
    }

    fn grid(&self, id: NodeId) -> Grid {
        self.plan.grids[self.plan.nodes[id.0].grid.0]
    }

    fn evaluate(&mut self, id: NodeId) -> Result<NodeValue, EvalError> {
        let plan = self.plan;
        let (node, grid) = (&plan.nodes[id.0], self.grid(id));
        let context = JoinContext { span: node.span, name_removal: plan.name_removal };
        if let Some(scalars) = self.scalars(&node.op, grid)? {
            return Ok(NodeValue::Scalar(scalars));
        }
        let rows = match &node.op {
            Op::VectorOf(n) => {
                let column = self.scalar(*n);
                self.vector(&column, grid.steps)?
            }
            Op::Pipeline(p) => return self.pipeline(id, *p),
            Op::Broadcast(n) => self.broadcast(*n, grid.steps)?,
            Op::Join(j) => {
                let (lhs, rhs) = (self.rows(j.lhs), self.rows(j.rhs));
                join::join(j, &lhs, &rhs, (context, &mut self.annotations))?
            }
            Op::Set { op, lhs, rhs, matching } => {
                let (lhs, rhs) = (self.rows(*lhs), self.rows(*rhs));
                join::set(*op, matching, &lhs, &rhs, context)?
            }
            Op::Gather(gather) => self.gather(gather, context)?,
            Op::Info { base, info, select } => {
                let (base, info) = (self.rows(*base), self.rows(*info));
                info::enriched(&base, &info, select, node.span)?
            }
            Op::Absent { input, labels } => absent(self.rows(*input).as_ref(), labels)?,
            Op::Sort { input, order } if grid.steps > 1 => {
                self.annotations.sort_without_effect(node.span);
                let rows = self.rows(*input);
                if rows.has_histograms() && matches!(order, SortOrder::ByValue(_)) {
                    return Ok(NodeValue::Rows(Arc::new(gather::floats(&rows)?)));
                }
                return Ok(NodeValue::Rows(rows));
            }
            Op::Ranks(ranks) => self.ranks(ranks, (node.span, grid))?,
            Op::Sort { input, order } => sort::sorted(self.rows(*input).as_ref(), order)?,
            Op::Number(_)
            | Op::Time
            | Op::ScalarNegate(_)
            | Op::ScalarOf(_)
            | Op::ScalarExtreme { .. }
            | Op::ScalarBinary { .. } => unreachable!("scalars were computed before"),
        };
        Ok(NodeValue::Rows(Arc::new(rows)))
    }

    /// The numbers of an operator that yields a scalar.
    fn scalars(&mut self, op: &Op, grid: Grid) -> Result<Option<Scalars>, EvalError> {
        let budget = Arc::clone(&self.budget);
        let scalars = match op {
            Op::Number(v) => Scalars::one(v.0),
            Op::Time => Scalars::each(grid.steps, &budget, |k| grid.at(k).as_secs_f64())?,
            Op::ScalarNegate(n) => {
                let column = self.scalar(*n);
                Scalars::each(column.len(), &budget, |k| -column[k])?
            }
            Op::ScalarOf(n) => only_values(self.rows(*n).as_ref(), &budget)?,
            Op::ScalarExtreme { extreme, a, b } => {
                let (a, b) = (self.scalar(*a), self.scalar(*b));
                map::scalars((&a, &b), &budget, |a, b| arith::extreme(*extreme, a, b))?
            }
            Op::ScalarBinary { op, lhs, rhs } => {
                let (lhs, rhs) = (self.scalar(*lhs), self.scalar(*rhs));
                map::scalars((&lhs, &rhs), &budget, |a, b| arith::number(*op, a, b))?
            }
            _ => return Ok(None),
        };
        Ok(Some(scalars))
    }

    fn vector(&self, column: &[f64], steps: usize) -> Result<StepMatrix, EvalError> {
        let mut out = StepMatrix::new(steps, &self.budget);
        let mut row = out.push_empty(RowLabels::kept(Labels::empty()))?;
        let mut work = Work::new(&self.budget);
        window::parts(steps, &mut work, |steps| steps.for_each(|k| row.set(k, Column(column).at(k))))?;
        Ok(out)
    }

    fn broadcast(&mut self, input: NodeId, steps: usize) -> Result<StepMatrix, EvalError> {
        let input = self.rows(input);
        let mut out = StepMatrix::new(steps, &self.budget);
        let mut work = Work::new(&self.budget);
        for (labels, row) in input.iter().filter(|(_, row)| bits::any(row.present)) {
            work.spend(steps)?;
            let into = out.push_empty(labels.clone())?;
            if let Some(histogram) = row.histogram(0) {
                let mut all = HistogramSteps::new(steps);
                (0..steps).for_each(|k| all.push(k, Arc::clone(histogram)));
                let last = out.len() - 1;
                out.add_histograms(last, &all)?;
                continue;
            }
            into.values.fill(row.values[0]);
            bits::fill(into.present, steps);
        }
        Ok(out)
    }

    fn gather(&mut self, gather: &Gather, context: JoinContext) -> Result<StepMatrix, EvalError> {
        use crate::ast::AggregateOp;
        let matrix = self.rows(gather.input);
        let JoinContext { span, name_removal } = context;
        let input = GatherInput {
            matrix: &matrix,
            grouping: &gather.grouping,
            name_removal,
            span,
            argument: gather.argument.0,
        };
        match &gather.param {
            Param::Text(name) => gather::count_values(&input, name),
            Param::Scalar(node) => {
                let param_span = gather.param_place.0;
                let column = self.scalar(*node);
                let column = Column(&column);
                match gather.op {
                    AggregateOp::Quantile => {
                        gather::quantiles(&input, column, param_span, &mut self.annotations)
                    }
                    AggregateOp::Limitk => limit::limitk(&input, column),
                    AggregateOp::LimitRatio => {
                        limit::limit_ratio(&input, column, param_span, &mut self.annotations)
                    }
                    _ => gather::topk(gather.op, &input, column, &mut self.annotations),
                }
            }
        }
    }

    fn ranks(&mut self, ranks: &Ranks, (span, grid): (Span, Grid)) -> Result<StepMatrix, EvalError> {
        let matrix = self.rows(ranks.input);
        let nodes = ranks.function.scalars();
        let columns = nodes.iter().map(|n| self.scalar(*n)).collect::<Vec<_>>();
        let column = |i: usize| Column(&columns[i]);
        let label = match &ranks.function {
            RankFn::Quantiles { label, .. } => Some(label.as_ref()),
            RankFn::Quantile(_) | RankFn::Fraction { .. } => None,
        };
        let questions: Vec<_> = match &ranks.function {
            RankFn::Fraction { .. } => {
                vec![Question { ask: Ask::Fraction { lower: column(0), upper: column(1) }, label }]
            }
            RankFn::Quantile(_) | RankFn::Quantiles { .. } => {
                let mut work = Work::new(matrix.budget());
                for (i, place) in ranks.scalars.iter().enumerate() {
                    gather::warn_quantile(column(i), place.0, &mut work, &mut self.annotations)?;
                }
                let asks = (0..nodes.len()).map(|i| Ask::Quantile(column(i)));
                asks.map(|ask| Question { ask, label }).collect()
            }
        };
        let name_removal = self.plan.name_removal;
        let (matrix, questions, input) = (&*matrix, &*questions, ranks.place.0);
        let input = RanksInput { matrix, questions, grid, input, span, name_removal };
        native::ranks::ranks(&input, &mut self.annotations)
    }

    /// Carries out the pipeline of node `id`, and with a scan all others that it feeds.
    fn pipeline(&mut self, id: NodeId, pipeline: PipelineId) -> Result<NodeValue, EvalError> {
        let plan = self.plan;
        let p = &plan.pipelines[pipeline.0];
        match &p.source {
            Source::Scan { scan, .. } => {
                self.scan(*scan)?;
                return Ok(self.values[id.0].clone().expect("invariant: the scan fed its own pipeline"));
            }
            Source::Subquery { node, .. } => {
                let rows = self.rows(*node);
                let run = Run { id: pipeline, run: self.run(pipeline)? };
                let (inner, budget) = (self.grid(*node), Arc::clone(&self.budget));
                let means = Means { plan, shards: self.shards, budget: &budget };
                let (rows, counted) = scan::windows_over(&rows, inner, means, run, &mut self.annotations)?;
                self.stats[id.0].counted = counted;
                Ok(rows)
            }
            Source::Node(node) => {
                let rows = self.rows(*node);
                let mut run = self.run(pipeline)?;
                for (labels, row) in rows.iter() {
                    run.take_row(labels, row, &mut self.annotations)?;
                }
                run.finish(&mut self.annotations)
            }
        }
        .map(|rows| NodeValue::Rows(Arc::new(rows)))
    }

    /// A pipeline ready to run: the scalars that it needs are there.
    fn run(&mut self, id: PipelineId) -> Result<PipelineRun<'a>, EvalError> {
        let plan: &'a Plan = self.plan;
        let p = &plan.pipelines[id.0];
        let kernel = match &p.source {
            Source::Scan { kernel, .. } | Source::Subquery { kernel, .. } => Some(kernel),
            Source::Node(_) => None,
        };
        let mut params = [None, None];
        for (slot, node) in params.iter_mut().zip(kernel.map_or([None, None], |k| k.params)) {
            *slot = node.map(|node| self.scalar(node));
        }
        let maps = p.maps.iter().map(|map| self.map(map)).collect();
        PipelineRun::new((plan, id), (params, maps), &self.budget)
    }

    fn map(&mut self, map: &'a Map) -> MapRun<'a> {
        let scalars = map.scalars().map(|node| self.scalar(node)).collect();
        MapRun { map, scalars }
    }

    fn scan(&mut self, id: ScanId) -> Result<(), EvalError> {
        let plan = self.plan;
        let scan = &plan.scans[id.0];
        let mut runs: Vec<Run<'_>> = Vec::with_capacity(scan.pipelines.len());
        for id in &scan.pipelines {
            runs.push(Run { id: *id, run: self.run(*id)? });
        }
        let budget = Arc::clone(&self.budget);
        let means = Means { plan, shards: self.shards, budget: &budget };
        let seen = scan::scan(scan, self.querier, means, &mut runs, &mut self.annotations)?;
        if let Some(first) = scan.pipelines.first() {
            let stats = &mut self.stats[plan.pipelines[first.0].node.0];
            (stats.series_expected, stats.samples_fetched) = (seen.series_expected, seen.samples);
        }
        for Run { id, mut run } in runs {
            let counted = run.maker.take_counted();
            let rows = run.finish(&mut self.annotations)?;
            let node = plan.pipelines[id.0].node.0;
            self.stats[node].rows = rows.len();
            self.stats[node].counted = counted;
            self.values[node] = Some(NodeValue::Rows(Arc::new(rows)));
        }
        Ok(())
    }
}

/// The float of the only row that has one, at each step; not a number where there is none or several.
fn only_values(rows: &StepMatrix, budget: &Arc<QueryBudget>) -> Result<Scalars, EvalError> {
    let mut held = Held::new(budget);
    held.grow_bytes(rows.steps().saturating_mul(size_of::<f64>() + size_of::<u32>()))?;
    let mut out = vec![f64::NAN; rows.steps()];
    let mut found = vec![0u32; rows.steps()];
    let mut work = Work::new(budget);
    for (_, row) in rows.iter() {
        work.spend(rows.steps())?;
        for k in bits::iter(&row.floats()) {
            found[k] = found[k].saturating_add(1);
            out[k] = if found[k] == 1 { row.values[k] } else { f64::NAN };
        }
    }
    Ok(Scalars::each(out.len(), budget, |k| out[k])?)
}

/// One row that is 1 where the input has nothing.
fn absent(input: &StepMatrix, labels: &Labels) -> Result<StepMatrix, EvalError> {
    let steps = input.steps();
    let mut out = StepMatrix::new(steps, input.budget());
    let mut present = vec![0; bits::words(steps)];
    bits::fill(&mut present, steps);
    let mut work = Work::new(input.budget());
    for (_, row) in input.iter() {
        work.spend(1 + row.present.len())?;
        bits::and_not(&mut present, row.present);
    }
    if bits::any(&present) {
        let mut held = Held::new(input.budget());
        held.grow_bytes(steps.saturating_mul(size_of::<f64>()))?;
        let values = vec![1.0; steps];
        out.push(
            RowLabels::kept(labels.clone()),
            Row { values: &values, present: &present, histograms: None },
        )?;
    }
    Ok(out)
}
