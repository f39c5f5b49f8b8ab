//! One sentence about each function and aggregation, and the names of the arguments, for editors and explanations.

use crate::ast::AggregateOp;
use crate::functions::Function;

/// What an editor shows for a function or an aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Help {
    /// Names of the arguments, with commas; "" when there is none.
    pub arguments: &'static str,
    /// What it does, as the end of a sentence that begins with its name.
    pub text: &'static str,
}

impl Function {
    /// What an editor says about it.
    pub fn help(&self) -> Help {
        let at = FUNCTIONS.binary_search_by(|(name, ..)| name.cmp(&self.name));
        at.map_or(Help { arguments: "", text: "" }, |at| Help {
            arguments: FUNCTIONS[at].1,
            text: FUNCTIONS[at].2,
        })
    }
}

impl AggregateOp {
    /// What an editor says about it.
    pub const fn help(self) -> Help {
        match self {
            AggregateOp::Sum => Help { arguments: "v", text: "adds the values up" },
            AggregateOp::Avg => Help { arguments: "v", text: "takes the mean" },
            AggregateOp::Count => Help { arguments: "v", text: "counts the series" },
            AggregateOp::Min => Help { arguments: "v", text: "takes the smallest value" },
            AggregateOp::Max => Help { arguments: "v", text: "takes the largest value" },
            AggregateOp::Group => Help { arguments: "v", text: "is 1 for each group" },
            AggregateOp::Stddev => Help { arguments: "v", text: "takes the standard deviation" },
            AggregateOp::Stdvar => Help { arguments: "v", text: "takes the variance" },
            AggregateOp::TopK => Help { arguments: "k, v", text: "keeps the k largest series of each group" },
            AggregateOp::BottomK => {
                Help { arguments: "k, v", text: "keeps the k smallest series of each group" }
            }
            AggregateOp::CountValues => Help { arguments: "label, v", text: "counts series by their value" },
            AggregateOp::Quantile => Help { arguments: "q, v", text: "takes a quantile over the series" },
            AggregateOp::LimitK => Help { arguments: "k, v", text: "keeps k series of each group" },
            AggregateOp::LimitRatio => {
                Help { arguments: "ratio, v", text: "keeps a share of the series of each group" }
            }
        }
    }
}

/// Sorted by name.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("abs", "v", "absolute value of each sample"),
    ("absent", "v", "one series with value 1 when the vector is empty, else nothing"),
    ("absent_over_time", "range", "1 when no series has a sample in the range"),
    ("acos", "v", "arc cosine, in radians"),
    ("acosh", "v", "inverse hyperbolic cosine"),
    ("asin", "v", "arc sine, in radians"),
    ("asinh", "v", "inverse hyperbolic sine"),
    ("atan", "v", "arc tangent, in radians"),
    ("atanh", "v", "inverse hyperbolic tangent"),
    ("avg_over_time", "range", "mean of the samples in the range"),
    ("ceil", "v", "rounds up to whole numbers"),
    ("changes", "range", "how often the value changed in the range"),
    ("clamp", "v, min, max", "keeps values between two bounds"),
    ("clamp_max", "v, max", "no value above the bound"),
    ("clamp_min", "v, min", "no value below the bound"),
    ("cos", "v", "cosine of radians"),
    ("cosh", "v", "hyperbolic cosine"),
    ("count_over_time", "range", "number of samples in the range"),
    ("day_of_month", "v", "day of the month in UTC, 1 to 31"),
    ("day_of_week", "v", "day of the week in UTC, 0 is Sunday"),
    ("day_of_year", "v", "day of the year in UTC, 1 to 366"),
    ("days_in_month", "v", "number of days of the month in UTC"),
    ("deg", "v", "radians to degrees"),
    ("delta", "range", "difference between the ends of the range, for gauges"),
    ("deriv", "range", "slope per second by linear regression, for gauges"),
    ("double_exponential_smoothing", "range, sf, tf", "smoothed value with trend"),
    ("end", "", "end of the query's range, in seconds"),
    ("exp", "v", "e to the power of each sample"),
    ("first_over_time", "range", "oldest sample in the range"),
    ("floor", "v", "rounds down to whole numbers"),
    ("histogram_avg", "v", "mean observation of native histograms"),
    ("histogram_count", "v", "number of observations of native histograms"),
    ("histogram_fraction", "lower, upper, v", "share of observations between two bounds"),
    ("histogram_quantile", "q, v", "the value below which the share q of observations lies"),
    ("histogram_quantiles", "v, label, q…", "several quantiles at once, told apart by a label"),
    ("histogram_stddev", "v", "standard deviation of observations"),
    ("histogram_stdvar", "v", "variance of observations"),
    ("histogram_sum", "v", "sum of observations of native histograms"),
    ("hour", "v", "hour of the day in UTC"),
    ("idelta", "range", "difference between the last two samples"),
    ("increase", "range", "growth of a counter over the range, resets counted"),
    ("info", "v, {matchers}", "adds the labels of matching info series"),
    ("irate", "range", "growth per second between the last two samples of a counter"),
    ("label_join", "v, dst, sep, src…", "joins label values into another label"),
    ("label_replace", "v, dst, replacement, src, regex", "sets a label from a match on another"),
    ("last_over_time", "range", "newest sample in the range"),
    ("ln", "v", "natural logarithm"),
    ("log10", "v", "logarithm to base 10"),
    ("log2", "v", "logarithm to base 2"),
    ("mad_over_time", "range", "median distance from the median"),
    ("max_of", "a, b", "the larger of two numbers"),
    ("max_over_time", "range", "largest sample in the range"),
    ("min_of", "a, b", "the smaller of two numbers"),
    ("min_over_time", "range", "smallest sample in the range"),
    ("minute", "v", "minute of the hour in UTC"),
    ("month", "v", "month of the year in UTC"),
    ("pi", "", "3.14159…"),
    ("predict_linear", "range, seconds", "where the value will be, by linear regression"),
    ("present_over_time", "range", "1 for each series with a sample in the range"),
    ("quantile_over_time", "q, range", "quantile of the samples in the range"),
    ("rad", "v", "degrees to radians"),
    ("range", "", "length of the query's range, in seconds"),
    ("rate", "range", "growth per second of a counter over the range, resets counted"),
    ("resets", "range", "how often a counter was reset in the range"),
    ("round", "v, to", "rounds to the nearest multiple"),
    ("scalar", "v", "the value of a single series as a number"),
    ("sgn", "v", "sign: -1, 0 or 1"),
    ("sin", "v", "sine of radians"),
    ("sinh", "v", "hyperbolic sine"),
    ("sort", "v", "smallest values first"),
    ("sort_by_label", "v, label…", "in the order of labels"),
    ("sort_by_label_desc", "v, label…", "in the reverse order of labels"),
    ("sort_desc", "v", "largest values first"),
    ("sqrt", "v", "square root"),
    ("start", "", "start of the query's range, in seconds"),
    ("start_timestamp", "v", "when each series began to count, in seconds"),
    ("stddev_over_time", "range", "standard deviation in the range"),
    ("stdvar_over_time", "range", "variance in the range"),
    ("step", "", "step of the query, in seconds"),
    ("sum_over_time", "range", "sum of the samples in the range"),
    ("tan", "v", "tangent of radians"),
    ("tanh", "v", "hyperbolic tangent"),
    ("time", "", "the moment of evaluation, in seconds"),
    ("timestamp", "v", "when each sample was taken, in seconds"),
    ("ts_of_first_over_time", "range", "when the oldest sample was taken"),
    ("ts_of_last_over_time", "range", "when the newest sample was taken"),
    ("ts_of_max_over_time", "range", "when the largest sample was taken"),
    ("ts_of_min_over_time", "range", "when the smallest sample was taken"),
    ("vector", "s", "a number as a vector without labels"),
    ("year", "v", "year in UTC"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions;

    #[test]
    fn every_function_has_a_sentence_and_no_sentence_is_left_over() {
        let with = |function: &&Function| function.help().text.is_empty();
        let without: Vec<&str> =
            functions::FUNCTIONS.iter().filter(with).map(|function| function.name).collect();
        assert_eq!(without, Vec::<&str>::new());
        assert!(
            FUNCTIONS.is_sorted() && FUNCTIONS.iter().all(|(name, ..)| functions::function(name).is_some())
        );
    }

    #[test]
    fn as_many_arguments_are_named_as_there_are_at_least() {
        for function in functions::FUNCTIONS {
            let named = function.help().arguments.split(", ").filter(|name| !name.is_empty()).count();
            assert!(named >= function.args.len().min(1), "{}", function.name);
        }
    }
}
