//! The table of functions: names, argument types, what they return, whether they are experimental, and what planning
//! must know of each. The code behind each is in `ferula-promql`, in a table with the same rows.
//!
//! Always true: a [`FunctionId`] is the index of its row in [`FUNCTIONS`], which is sorted by name.

use crate::value_type::ValueType;
use crate::value_type::ValueType::{Matrix, Scalar, String, Vector};

/// Signature of a function.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Which function it is.
    pub id: FunctionId,
    /// Name as written, case-sensitive.
    pub name: &'static str,
    /// Types of the arguments.
    pub args: &'static [ValueType],
    /// 0: exactly `args`. n > 0: the last type may be missing, or repeat up to n times. −1: the last type any number of times.
    pub variadic: i32,
    /// Type of the result.
    pub returns: ValueType,
    /// Needs `--enable-feature=promql-experimental-functions`.
    pub experimental: bool,
    /// What the result depends on besides the values of the arguments.
    pub depends_on: Dependence,
    /// What it reads of native histograms in its argument.
    pub histograms: HistogramParts,
}

/// What the result of a function depends on besides the values of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependence {
    /// Nothing: with the same arguments it is the same at every step.
    Arguments,
    StepTime,
    /// The times of the samples when the argument is a selector, else the time of the step.
    SampleTimes,
    /// The start, end and step of the query, which are the same at every step.
    QueryTimes,
}

/// What a function reads of native histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistogramParts {
    /// Only count and sum, so its argument may be read without buckets.
    CountAndSum,
    /// The buckets, so its argument must be read with them.
    Buckets,
    /// Whatever the surrounding expression reads.
    Unchanged,
}

use Dependence::{Arguments, QueryTimes, SampleTimes, StepTime};
use HistogramParts::{Buckets, CountAndSum, Unchanged};

/// The function with this name; names are case-sensitive.
pub fn function(name: &str) -> Option<&'static Function> {
    let at = FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok()?;
    FUNCTIONS.get(at)
}

/// A row before it knows which function it is.
struct Row(Function);

impl Row {
    const fn at(self, depends_on: Dependence) -> Self {
        Row(Function { depends_on, ..self.0 })
    }

    const fn of(self, histograms: HistogramParts) -> Self {
        Row(Function { histograms, ..self.0 })
    }

    const fn named(self, id: FunctionId) -> Function {
        Function { id, ..self.0 }
    }
}

const fn stable(name: &'static str, args: &'static [ValueType], variadic: i32, returns: ValueType) -> Row {
    let id = FunctionId::Abs;
    let (depends_on, histograms) = (Arguments, Unchanged);
    Row(Function { id, name, args, variadic, returns, experimental: false, depends_on, histograms })
}

const fn experimental(
    name: &'static str,
    args: &'static [ValueType],
    variadic: i32,
    returns: ValueType,
) -> Row {
    Row(Function { experimental: true, ..stable(name, args, variadic, returns).0 })
}

macro_rules! functions {
    ($($id:ident = $row:expr;)*) => {
        /// A function of the language, named so that a misspelt name does not compile.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the table below says what each is")]
        pub enum FunctionId { $($id,)* }

        /// Every function of the language, sorted by name.
        pub static FUNCTIONS: &[Function] = &[$($row.named(FunctionId::$id),)*];
    };
}

impl FunctionId {
    /// The row of the function.
    pub fn function(self) -> &'static Function {
        &FUNCTIONS[self as usize]
    }
}

functions! {
    Abs = stable("abs", &[Vector], 0, Vector);
    Absent = stable("absent", &[Vector], 0, Vector);
    AbsentOverTime = stable("absent_over_time", &[Matrix], 0, Vector);
    Acos = stable("acos", &[Vector], 0, Vector);
    Acosh = stable("acosh", &[Vector], 0, Vector);
    Asin = stable("asin", &[Vector], 0, Vector);
    Asinh = stable("asinh", &[Vector], 0, Vector);
    Atan = stable("atan", &[Vector], 0, Vector);
    Atanh = stable("atanh", &[Vector], 0, Vector);
    AvgOverTime = stable("avg_over_time", &[Matrix], 0, Vector);
    Ceil = stable("ceil", &[Vector], 0, Vector);
    Changes = stable("changes", &[Matrix], 0, Vector);
    Clamp = stable("clamp", &[Vector, Scalar, Scalar], 0, Vector);
    ClampMax = stable("clamp_max", &[Vector, Scalar], 0, Vector);
    ClampMin = stable("clamp_min", &[Vector, Scalar], 0, Vector);
    Cos = stable("cos", &[Vector], 0, Vector);
    Cosh = stable("cosh", &[Vector], 0, Vector);
    CountOverTime = stable("count_over_time", &[Matrix], 0, Vector);
    DayOfMonth = stable("day_of_month", &[Vector], 1, Vector).at(StepTime);
    DayOfWeek = stable("day_of_week", &[Vector], 1, Vector).at(StepTime);
    DayOfYear = stable("day_of_year", &[Vector], 1, Vector).at(StepTime);
    DaysInMonth = stable("days_in_month", &[Vector], 1, Vector).at(StepTime);
    Deg = stable("deg", &[Vector], 0, Vector);
    Delta = stable("delta", &[Matrix], 0, Vector);
    Deriv = stable("deriv", &[Matrix], 0, Vector);
    DoubleExponentialSmoothing = experimental("double_exponential_smoothing", &[Matrix, Scalar, Scalar], 0, Vector);
    End = experimental("end", &[], 0, Scalar).at(QueryTimes);
    Exp = stable("exp", &[Vector], 0, Vector);
    FirstOverTime = stable("first_over_time", &[Matrix], 0, Vector);
    Floor = stable("floor", &[Vector], 0, Vector);
    HistogramAvg = stable("histogram_avg", &[Vector], 0, Vector).of(CountAndSum);
    HistogramCount = stable("histogram_count", &[Vector], 0, Vector).of(CountAndSum);
    HistogramFraction = stable("histogram_fraction", &[Scalar, Scalar, Vector], 0, Vector).of(Buckets);
    HistogramQuantile = stable("histogram_quantile", &[Scalar, Vector], 0, Vector).of(Buckets);
    HistogramQuantiles = experimental("histogram_quantiles", &[Vector, String, Scalar, Scalar], 9, Vector).of(Buckets);
    HistogramStddev = stable("histogram_stddev", &[Vector], 0, Vector);
    HistogramStdvar = stable("histogram_stdvar", &[Vector], 0, Vector);
    HistogramSum = stable("histogram_sum", &[Vector], 0, Vector).of(CountAndSum);
    Hour = stable("hour", &[Vector], 1, Vector).at(StepTime);
    Idelta = stable("idelta", &[Matrix], 0, Vector);
    Increase = stable("increase", &[Matrix], 0, Vector);
    Info = experimental("info", &[Vector, Vector], 1, Vector);
    Irate = stable("irate", &[Matrix], 0, Vector);
    LabelJoin = stable("label_join", &[Vector, String, String, String], -1, Vector);
    LabelReplace = stable("label_replace", &[Vector, String, String, String, String], 0, Vector);
    LastOverTime = stable("last_over_time", &[Matrix], 0, Vector);
    Ln = stable("ln", &[Vector], 0, Vector);
    Log10 = stable("log10", &[Vector], 0, Vector);
    Log2 = stable("log2", &[Vector], 0, Vector);
    MadOverTime = experimental("mad_over_time", &[Matrix], 0, Vector);
    MaxOf = experimental("max_of", &[Scalar, Scalar], 0, Scalar);
    MaxOverTime = stable("max_over_time", &[Matrix], 0, Vector);
    MinOf = experimental("min_of", &[Scalar, Scalar], 0, Scalar);
    MinOverTime = stable("min_over_time", &[Matrix], 0, Vector);
    Minute = stable("minute", &[Vector], 1, Vector).at(StepTime);
    Month = stable("month", &[Vector], 1, Vector).at(StepTime);
    Pi = stable("pi", &[], 0, Scalar);
    PredictLinear = stable("predict_linear", &[Matrix, Scalar], 0, Vector).at(StepTime);
    PresentOverTime = stable("present_over_time", &[Matrix], 0, Vector);
    QuantileOverTime = stable("quantile_over_time", &[Scalar, Matrix], 0, Vector);
    Rad = stable("rad", &[Vector], 0, Vector);
    Range = experimental("range", &[], 0, Scalar).at(QueryTimes);
    Rate = stable("rate", &[Matrix], 0, Vector);
    Resets = stable("resets", &[Matrix], 0, Vector);
    Round = stable("round", &[Vector, Scalar], 1, Vector);
    Scalar = stable("scalar", &[Vector], 0, Scalar);
    Sgn = stable("sgn", &[Vector], 0, Vector);
    Sin = stable("sin", &[Vector], 0, Vector);
    Sinh = stable("sinh", &[Vector], 0, Vector);
    Sort = stable("sort", &[Vector], 0, Vector);
    SortByLabel = experimental("sort_by_label", &[Vector, String], -1, Vector);
    SortByLabelDesc = experimental("sort_by_label_desc", &[Vector, String], -1, Vector);
    SortDesc = stable("sort_desc", &[Vector], 0, Vector);
    Sqrt = stable("sqrt", &[Vector], 0, Vector);
    Start = experimental("start", &[], 0, Scalar).at(QueryTimes);
    StartTimestamp = experimental("start_timestamp", &[Vector], 0, Vector);
    StddevOverTime = stable("stddev_over_time", &[Matrix], 0, Vector);
    StdvarOverTime = stable("stdvar_over_time", &[Matrix], 0, Vector);
    Step = experimental("step", &[], 0, Scalar).at(QueryTimes);
    SumOverTime = stable("sum_over_time", &[Matrix], 0, Vector);
    Tan = stable("tan", &[Vector], 0, Vector);
    Tanh = stable("tanh", &[Vector], 0, Vector);
    Time = stable("time", &[], 0, Scalar).at(StepTime);
    Timestamp = stable("timestamp", &[Vector], 0, Vector).at(SampleTimes);
    TsOfFirstOverTime = experimental("ts_of_first_over_time", &[Matrix], 0, Vector);
    TsOfLastOverTime = experimental("ts_of_last_over_time", &[Matrix], 0, Vector);
    TsOfMaxOverTime = experimental("ts_of_max_over_time", &[Matrix], 0, Vector);
    TsOfMinOverTime = experimental("ts_of_min_over_time", &[Matrix], 0, Vector);
    Vector = stable("vector", &[Scalar], 0, Vector);
    Year = stable("year", &[Vector], 1, Vector).at(StepTime);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_found_by_its_name() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        for entry in FUNCTIONS {
            assert_eq!(function(entry.name), Some(entry));
            assert_eq!(entry.id.function(), entry, "the number of a function is its row");
        }
        assert_eq!(function("Rate"), None);
        assert_eq!(function(""), None);
    }
}
