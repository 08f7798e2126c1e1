//! Of which kind each function is: the table that the planner of calls goes by. Plans nothing itself.

use super::{DatePart, HistogramFn, MathFn, WindowFn};
use crate::functions::FunctionId;

/// How a call is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Over windows.
    Window(WindowFn),
    /// Of one number.
    Math(MathFn),
    /// Of one histogram.
    Histogram(HistogramFn),
    /// Of the ranks of observations.
    Ranks,
    Time,
    /// A number that is known before anything is read.
    Constant,
    Vector,
    Scalar,
    Info,
    /// The greater or the lesser of two scalars.
    Extreme,
    Sort,
    Absent,
    AbsentOverTime,
    Timestamp,
    StartTimestamp,
    /// Of one number, and scalars that bound or round it.
    Bounded,
    LabelReplace,
    LabelJoin,
}

/// Declares the table; a function that it lacks does not compile.
macro_rules! kinds {
    ($($id:ident $kind:ident $(($function:expr))?;)*) => {
        impl Kind {
            /// That of the function `id`.
            pub(super) const fn of(id: FunctionId) -> Self {
                match id {
                    $(FunctionId::$id => Self::$kind $(($function))?,)*
                }
            }
        }
    };
}

kinds! {
    Abs Math(MathFn::Abs);
    Absent Absent;
    AbsentOverTime AbsentOverTime;
    Acos Math(MathFn::Acos);
    Acosh Math(MathFn::Acosh);
    Asin Math(MathFn::Asin);
    Asinh Math(MathFn::Asinh);
    Atan Math(MathFn::Atan);
    Atanh Math(MathFn::Atanh);
    AvgOverTime Window(WindowFn::Avg);
    Ceil Math(MathFn::Ceil);
    Changes Window(WindowFn::Changes);
    Clamp Bounded;
    ClampMax Bounded;
    ClampMin Bounded;
    Cos Math(MathFn::Cos);
    Cosh Math(MathFn::Cosh);
    CountOverTime Window(WindowFn::Count);
    DayOfMonth Math(MathFn::Date(DatePart::DayOfMonth));
    DayOfWeek Math(MathFn::Date(DatePart::DayOfWeek));
    DayOfYear Math(MathFn::Date(DatePart::DayOfYear));
    DaysInMonth Math(MathFn::Date(DatePart::DaysInMonth));
    Deg Math(MathFn::Deg);
    Delta Window(WindowFn::Delta);
    Deriv Window(WindowFn::Deriv);
    DoubleExponentialSmoothing Window(WindowFn::DoubleExponentialSmoothing);
    End Constant;
    Exp Math(MathFn::Exp);
    FirstOverTime Window(WindowFn::First);
    Floor Math(MathFn::Floor);
    HistogramAvg Histogram(HistogramFn::Avg);
    HistogramCount Histogram(HistogramFn::Count);
    HistogramFraction Ranks;
    HistogramQuantile Ranks;
    HistogramQuantiles Ranks;
    HistogramStddev Histogram(HistogramFn::Stddev);
    HistogramStdvar Histogram(HistogramFn::Stdvar);
    HistogramSum Histogram(HistogramFn::Sum);
    Hour Math(MathFn::Date(DatePart::Hour));
    Idelta Window(WindowFn::Idelta);
    Increase Window(WindowFn::Increase);
    Info Info;
    Irate Window(WindowFn::Irate);
    LabelJoin LabelJoin;
    LabelReplace LabelReplace;
    LastOverTime Window(WindowFn::Last);
    Ln Math(MathFn::Ln);
    Log10 Math(MathFn::Log10);
    Log2 Math(MathFn::Log2);
    MadOverTime Window(WindowFn::Mad);
    MaxOf Extreme;
    MaxOverTime Window(WindowFn::Max);
    MinOf Extreme;
    MinOverTime Window(WindowFn::Min);
    Minute Math(MathFn::Date(DatePart::Minute));
    Month Math(MathFn::Date(DatePart::Month));
    Pi Constant;
    PredictLinear Window(WindowFn::PredictLinear);
    PresentOverTime Window(WindowFn::Present);
    QuantileOverTime Window(WindowFn::Quantile);
    Rad Math(MathFn::Rad);
    Range Constant;
    Rate Window(WindowFn::Rate);
    Resets Window(WindowFn::Resets);
    Round Bounded;
    Scalar Scalar;
    Sgn Math(MathFn::Sgn);
    Sin Math(MathFn::Sin);
    Sinh Math(MathFn::Sinh);
    Sort Sort;
    SortByLabel Sort;
    SortByLabelDesc Sort;
    SortDesc Sort;
    Sqrt Math(MathFn::Sqrt);
    Start Constant;
    StartTimestamp StartTimestamp;
    StddevOverTime Window(WindowFn::Stddev);
    StdvarOverTime Window(WindowFn::Stdvar);
    Step Constant;
    SumOverTime Window(WindowFn::Sum);
    Tan Math(MathFn::Tan);
    Tanh Math(MathFn::Tanh);
    Time Time;
    Timestamp Timestamp;
    TsOfFirstOverTime Window(WindowFn::TimeOfFirst);
    TsOfLastOverTime Window(WindowFn::TimeOfLast);
    TsOfMaxOverTime Window(WindowFn::TimeOfMax);
    TsOfMinOverTime Window(WindowFn::TimeOfMin);
    Vector Vector;
    Year Math(MathFn::Date(DatePart::Year));
}
