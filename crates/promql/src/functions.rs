//! The functions of PromQL: names and signatures. How each is computed stands in `exec`.

use crate::ast::ValueType;

/// A function's name and signature.
#[derive(Debug, PartialEq)]
pub struct Function {
    /// Which one; what the engine decides by.
    pub id: FunctionId,
    /// As written in a query.
    pub name: &'static str,
    /// The types of its arguments.
    pub args: &'static [ValueType],
    /// How many of the last arguments may be left out; `Repeat` when the last may stand any number of times.
    pub optional: Optional,
    /// What it yields.
    pub returns: ValueType,
}

/// Which arguments may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optional {
    /// So many of the last ones.
    Last(usize),
    /// The last may be left out or stand any number of times.
    Repeat,
}

impl Function {
    /// The fewest and the most arguments that it takes; without the latter there is no bound.
    pub const fn arity(&self) -> (usize, Option<usize>) {
        match self.optional {
            Optional::Last(n) => (self.args.len() - n, Some(self.args.len())),
            Optional::Repeat => (self.args.len() - 1, None),
        }
    }

    /// The type that the argument at `index` must have; none when there may be no such argument.
    pub fn arg_type(&self, index: usize) -> Option<ValueType> {
        match self.optional {
            Optional::Repeat => self.args.get(index.min(self.args.len() - 1)).copied(),
            Optional::Last(_) => self.args.get(index).copied(),
        }
    }
}

const NONE: &[ValueType] = &[];
const RANGE: &[ValueType] = &[ValueType::RangeVector];
const SCALAR_RANGE: &[ValueType] = &[ValueType::Scalar, ValueType::RangeVector];
const SCALAR: &[ValueType] = &[ValueType::Scalar];
const VECTOR: &[ValueType] = &[ValueType::InstantVector];
const VECTOR_SCALAR: &[ValueType] = &[ValueType::InstantVector, ValueType::Scalar];
const VECTOR_2_SCALARS: &[ValueType] = &[ValueType::InstantVector, ValueType::Scalar, ValueType::Scalar];
const RANGE_SCALAR: &[ValueType] = &[ValueType::RangeVector, ValueType::Scalar];
const RANGE_2_SCALARS: &[ValueType] = &[ValueType::RangeVector, ValueType::Scalar, ValueType::Scalar];
const SCALAR_VECTOR: &[ValueType] = &[ValueType::Scalar, ValueType::InstantVector];
const TWO_SCALARS: &[ValueType] = &[ValueType::Scalar, ValueType::Scalar];
const TWO_SCALARS_VECTOR: &[ValueType] = &[ValueType::Scalar, ValueType::Scalar, ValueType::InstantVector];
const TWO_VECTORS: &[ValueType] = &[ValueType::InstantVector, ValueType::InstantVector];
const VECTOR_STRINGS: &[ValueType] = &[ValueType::InstantVector, ValueType::String];
const VECTOR_STRING_10_SCALARS: &[ValueType] = &{
    let mut types = [ValueType::Scalar; 12];
    types[0] = ValueType::InstantVector;
    types[1] = ValueType::String;
    types
};
const VECTOR_3_STRINGS: &[ValueType] =
    &[ValueType::InstantVector, ValueType::String, ValueType::String, ValueType::String];
const VECTOR_4_STRINGS: &[ValueType] =
    &[ValueType::InstantVector, ValueType::String, ValueType::String, ValueType::String, ValueType::String];

/// Declares the identifiers, in the order of the functions' names, and the table in one go, so that
/// neither can lack what the other has.
macro_rules! functions {
    ($($id:ident $name:literal $args:ident $optional:expr, $returns:ident;)*) => {
        /// The functions, each by an identifier.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are PromQL's own")]
        pub enum FunctionId {
            $($id,)*
        }

        /// All functions, sorted by name.
        pub static FUNCTIONS: &[Function] = &[
            $(Function {
                id: FunctionId::$id,
                name: $name,
                args: $args,
                optional: $optional,
                returns: ValueType::$returns,
            },)*
        ];
    };
}

use Optional::{Last, Repeat};

functions! {
    Abs "abs" VECTOR Last(0), InstantVector;
    Absent "absent" VECTOR Last(0), InstantVector;
    AbsentOverTime "absent_over_time" RANGE Last(0), InstantVector;
    Acos "acos" VECTOR Last(0), InstantVector;
    Acosh "acosh" VECTOR Last(0), InstantVector;
    Asin "asin" VECTOR Last(0), InstantVector;
    Asinh "asinh" VECTOR Last(0), InstantVector;
    Atan "atan" VECTOR Last(0), InstantVector;
    Atanh "atanh" VECTOR Last(0), InstantVector;
    AvgOverTime "avg_over_time" RANGE Last(0), InstantVector;
    Ceil "ceil" VECTOR Last(0), InstantVector;
    Changes "changes" RANGE Last(0), InstantVector;
    Clamp "clamp" VECTOR_2_SCALARS Last(0), InstantVector;
    ClampMax "clamp_max" VECTOR_SCALAR Last(0), InstantVector;
    ClampMin "clamp_min" VECTOR_SCALAR Last(0), InstantVector;
    Cos "cos" VECTOR Last(0), InstantVector;
    Cosh "cosh" VECTOR Last(0), InstantVector;
    CountOverTime "count_over_time" RANGE Last(0), InstantVector;
    DayOfMonth "day_of_month" VECTOR Last(1), InstantVector;
    DayOfWeek "day_of_week" VECTOR Last(1), InstantVector;
    DayOfYear "day_of_year" VECTOR Last(1), InstantVector;
    DaysInMonth "days_in_month" VECTOR Last(1), InstantVector;
    Deg "deg" VECTOR Last(0), InstantVector;
    Delta "delta" RANGE Last(0), InstantVector;
    Deriv "deriv" RANGE Last(0), InstantVector;
    DoubleExponentialSmoothing "double_exponential_smoothing" RANGE_2_SCALARS Last(0), InstantVector;
    End "end" NONE Last(0), Scalar;
    Exp "exp" VECTOR Last(0), InstantVector;
    FirstOverTime "first_over_time" RANGE Last(0), InstantVector;
    Floor "floor" VECTOR Last(0), InstantVector;
    HistogramAvg "histogram_avg" VECTOR Last(0), InstantVector;
    HistogramCount "histogram_count" VECTOR Last(0), InstantVector;
    HistogramFraction "histogram_fraction" TWO_SCALARS_VECTOR Last(0), InstantVector;
    HistogramQuantile "histogram_quantile" SCALAR_VECTOR Last(0), InstantVector;
    HistogramQuantiles "histogram_quantiles" VECTOR_STRING_10_SCALARS Last(9), InstantVector;
    HistogramStddev "histogram_stddev" VECTOR Last(0), InstantVector;
    HistogramStdvar "histogram_stdvar" VECTOR Last(0), InstantVector;
    HistogramSum "histogram_sum" VECTOR Last(0), InstantVector;
    Hour "hour" VECTOR Last(1), InstantVector;
    Idelta "idelta" RANGE Last(0), InstantVector;
    Increase "increase" RANGE Last(0), InstantVector;
    Info "info" TWO_VECTORS Last(1), InstantVector;
    Irate "irate" RANGE Last(0), InstantVector;
    LabelJoin "label_join" VECTOR_3_STRINGS Repeat, InstantVector;
    LabelReplace "label_replace" VECTOR_4_STRINGS Last(0), InstantVector;
    LastOverTime "last_over_time" RANGE Last(0), InstantVector;
    Ln "ln" VECTOR Last(0), InstantVector;
    Log10 "log10" VECTOR Last(0), InstantVector;
    Log2 "log2" VECTOR Last(0), InstantVector;
    MadOverTime "mad_over_time" RANGE Last(0), InstantVector;
    MaxOf "max_of" TWO_SCALARS Last(0), Scalar;
    MaxOverTime "max_over_time" RANGE Last(0), InstantVector;
    MinOf "min_of" TWO_SCALARS Last(0), Scalar;
    MinOverTime "min_over_time" RANGE Last(0), InstantVector;
    Minute "minute" VECTOR Last(1), InstantVector;
    Month "month" VECTOR Last(1), InstantVector;
    Pi "pi" NONE Last(0), Scalar;
    PredictLinear "predict_linear" RANGE_SCALAR Last(0), InstantVector;
    PresentOverTime "present_over_time" RANGE Last(0), InstantVector;
    QuantileOverTime "quantile_over_time" SCALAR_RANGE Last(0), InstantVector;
    Rad "rad" VECTOR Last(0), InstantVector;
    Range "range" NONE Last(0), Scalar;
    Rate "rate" RANGE Last(0), InstantVector;
    Resets "resets" RANGE Last(0), InstantVector;
    Round "round" VECTOR_SCALAR Last(1), InstantVector;
    Scalar "scalar" VECTOR Last(0), Scalar;
    Sgn "sgn" VECTOR Last(0), InstantVector;
    Sin "sin" VECTOR Last(0), InstantVector;
    Sinh "sinh" VECTOR Last(0), InstantVector;
    Sort "sort" VECTOR Last(0), InstantVector;
    SortByLabel "sort_by_label" VECTOR_STRINGS Repeat, InstantVector;
    SortByLabelDesc "sort_by_label_desc" VECTOR_STRINGS Repeat, InstantVector;
    SortDesc "sort_desc" VECTOR Last(0), InstantVector;
    Sqrt "sqrt" VECTOR Last(0), InstantVector;
    Start "start" NONE Last(0), Scalar;
    StartTimestamp "start_timestamp" VECTOR Last(0), InstantVector;
    StddevOverTime "stddev_over_time" RANGE Last(0), InstantVector;
    StdvarOverTime "stdvar_over_time" RANGE Last(0), InstantVector;
    Step "step" NONE Last(0), Scalar;
    SumOverTime "sum_over_time" RANGE Last(0), InstantVector;
    Tan "tan" VECTOR Last(0), InstantVector;
    Tanh "tanh" VECTOR Last(0), InstantVector;
    Time "time" NONE Last(0), Scalar;
    Timestamp "timestamp" VECTOR Last(0), InstantVector;
    TsOfFirstOverTime "ts_of_first_over_time" RANGE Last(0), InstantVector;
    TsOfLastOverTime "ts_of_last_over_time" RANGE Last(0), InstantVector;
    TsOfMaxOverTime "ts_of_max_over_time" RANGE Last(0), InstantVector;
    TsOfMinOverTime "ts_of_min_over_time" RANGE Last(0), InstantVector;
    Vector "vector" SCALAR Last(0), InstantVector;
    Year "year" VECTOR Last(1), InstantVector;
}

/// Those that must be enabled (`promql-experimental-functions`).
const EXPERIMENTAL: &[FunctionId] = &[
    FunctionId::DoubleExponentialSmoothing,
    FunctionId::End,
    FunctionId::HistogramQuantiles,
    FunctionId::Info,
    FunctionId::MadOverTime,
    FunctionId::MaxOf,
    FunctionId::MinOf,
    FunctionId::Range,
    FunctionId::SortByLabel,
    FunctionId::SortByLabelDesc,
    FunctionId::Start,
    FunctionId::StartTimestamp,
    FunctionId::Step,
    FunctionId::TsOfFirstOverTime,
    FunctionId::TsOfLastOverTime,
    FunctionId::TsOfMaxOverTime,
    FunctionId::TsOfMinOverTime,
];

impl FunctionId {
    /// Whether it must be enabled (`promql-experimental-functions`).
    pub fn is_experimental(self) -> bool {
        EXPERIMENTAL.contains(&self)
    }
}

/// The function called `name`.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &FUNCTIONS[i])
}

/// The function of this identifier.
pub fn by_id(id: FunctionId) -> &'static Function {
    &FUNCTIONS[id as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_function_is_found_by_name_and_id() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        for f in FUNCTIONS {
            assert_eq!(find(f.name), Some(f));
            assert_eq!(by_id(f.id), f);
        }
        assert_eq!(find("rat"), None);
    }

    #[test]
    fn arities_are_those_of_the_signatures() {
        for (name, arity) in [
            ("time", (0, Some(0))),
            ("rate", (1, Some(1))),
            ("round", (1, Some(2))),
            ("clamp", (3, Some(3))),
            ("label_replace", (5, Some(5))),
            ("label_join", (3, None)),
        ] {
            let f = find(name).unwrap();
            assert_eq!(f.arity(), arity, "{name}");
        }
        assert_eq!(find("label_join").unwrap().arg_type(17), Some(ValueType::String));
        assert_eq!(find("round").unwrap().arg_type(2), None);
    }
}
