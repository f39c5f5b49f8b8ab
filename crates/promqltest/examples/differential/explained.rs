//! Differences with a reason: where Prometheus 3.5, the program at hand, is not 3.14, whose answers are wanted, and
//! where Prometheus' own answer changes from one run to the next.

use crate::answer::Difference;

/// Functions that 3.5 does not have.
pub const FUNCTIONS_LEFT_OUT: &[&str] = &[
    "end",
    "first_over_time",
    "histogram_quantiles",
    "max_of",
    "min_of",
    "range",
    "start",
    "start_timestamp",
    "step",
    "ts_of_first_over_time",
];

/// A reason, and whether it explains a difference.
type Explanation = (&'static str, fn(query: &str, difference: &Difference) -> bool);

const EXPLANATIONS: &[Explanation] = &[
    ("3.14 has remarks that 3.5 did not make", |_, difference| {
        annotations(difference).is_some_and(|(ours, theirs)| {
            let (ours, theirs) = (without(ours, NEW_REMARKS), without(theirs, &[]));
            ours == theirs
        })
    }),
    ("3.14 names the metric of a bad `le` only with delayed name removal", |_, difference| {
        annotations(difference).is_some_and(|(ours, theirs)| {
            places(&sorted(&without(ours, NEW_REMARKS))) == places(&without_metric_names(theirs))
        })
    }),
    ("3.14 sorts the two series of a match group that is not unique", |_, difference| match difference {
        Difference::Error(ours, theirs) => {
            ours.contains(DUPLICATE) && theirs.contains(DUPLICATE) && same_characters(ours, theirs)
        }
        _ => false,
    }),
    ("3.14 has other words for some syntax errors", |_, difference| match difference {
        Difference::Error(ours, theirs) => {
            let old = ["<Item 574", "expected number or duration", "unexpected colon '"];
            ours.contains("parse error") && old.iter().any(|text| theirs.contains(text))
        }
        _ => false,
    }),
    ("3.14 points inside the parentheses around an argument", |query, difference| {
        annotations(difference).is_some_and(|(ours, theirs)| {
            query.contains("((")
                && places(&sorted(&without(ours, NEW_REMARKS))) == places(&without_metric_names(theirs))
        })
    }),
    ("3.14 joins series of equal labels that do not meet in time", |_, difference| match difference {
        Difference::Error(ours, theirs) => theirs.contains("same labelset") && !ours.starts_with("error"),
        _ => false,
    }),
    ("of more than ten annotations Prometheus shows any ten", |_, difference| {
        annotations(difference).is_some_and(|(_, theirs)| theirs.iter().any(|text| text.contains("omitted")))
    }),
    (
        "Prometheus' store sorts the matchers of a selector in place, before `absent` reads them",
        |query, difference| {
            query.contains("absent") && query.contains('!') && matches!(difference, Difference::Series(..))
        },
    ),
    ("Prometheus sorts NaN unstably", |query, difference| {
        query.contains("sort") && matches!(difference, Difference::Order(..))
    }),
    ("3.14 counts a match also when the comparison drops it", |query, difference| match difference {
        Difference::Error(ours, theirs) => {
            let comparison = ["=", "!=", "<", ">"].iter().any(|op| query.contains(op));
            let later = !theirs.starts_with("error") || theirs.contains(DUPLICATE);
            comparison && later && ours.contains("many-to-one matching must be explicit")
        }
        _ => false,
    }),
    ("3.14 sorts the buckets of histogram_fraction", |query, difference| {
        query.contains("histogram_fraction")
            && matches!(difference, Difference::Value(_, theirs, _) if theirs == "NaN")
    }),
    ("duration expressions need no flag in 3.14", |_, difference| match difference {
        Difference::Error(_, theirs) => theirs.contains("experimental duration expression is not enabled"),
        _ => false,
    }),
    ("3.14 does not extrapolate rates of histograms below zero", |query, difference| {
        let rates = query.contains("rate(") || query.contains("increase(");
        rates && query.contains("native") && matches!(difference, Difference::Value(..))
    }),
    ("3.14 adds histograms with compensation", |query, difference| {
        let adds = ["sum", "avg"].iter().any(|op| query.contains(op));
        match difference {
            Difference::Value(ours, _, true) => adds && is_histogram(ours),
            Difference::Series(..) => adds && query.contains("count_values") && query.contains("native"),
            _ => false,
        }
    }),
    ("3.14 answers NaN when a sample of mad_over_time is NaN", |query, difference| {
        query.contains("mad_over_time") && !matches!(difference, Difference::Error(..))
    }),
];

/// Remarks that 3.5 does not make: about sorting in range queries, about resets in sums, and about rates of negated
/// histograms, which became gauges.
const NEW_REMARKS: &[&str] =
    &["sort is ineffective for range queries", "conflicting counter resets", "metric is not a counter: \"\""];
const DUPLICATE: &str = "found duplicate series for the match group";

/// Why a difference is no fault, if that is known.
pub fn reason(query: &str, difference: &Difference) -> Option<&'static str> {
    EXPLANATIONS.iter().find(|(_, explains)| explains(query, difference)).map(|(reason, _)| *reason)
}

fn annotations(difference: &Difference) -> Option<(&[String], &[String])> {
    match difference {
        Difference::Annotations(ours, theirs) => Some((ours, theirs)),
        _ => None,
    }
}

fn sorted(texts: &[String]) -> Vec<String> {
    let mut texts = texts.to_vec();
    texts.sort();
    texts
}

fn without(texts: &[String], parts: &[&str]) -> Vec<String> {
    texts.iter().filter(|text| !parts.iter().any(|part| text.contains(part))).cloned().collect()
}

/// The texts of 3.5 about malformed buckets without the metric's name, each once.
fn without_metric_names(texts: &[String]) -> Vec<String> {
    let mut shorter: Vec<String> = texts
        .iter()
        .map(|text| match (text.contains("bucket label"), text.split_once(" for metric name \"")) {
            (true, Some((before, after))) => {
                format!("{before}{}", after.split_once('"').map_or("", |(_, place)| place))
            }
            _ => text.clone(),
        })
        .collect();
    shorter.sort();
    shorter.dedup();
    shorter
}

/// The texts without the place at their end, each once.
fn places(texts: &[String]) -> Vec<String> {
    let shorter =
        |text: &String| text.rsplit_once(" (").map_or(text.clone(), |(before, _)| before.to_owned());
    let mut texts: Vec<String> = texts.iter().map(shorter).collect();
    texts.dedup();
    texts
}

/// Whether a value is the text of a native histogram.
fn is_histogram(text: &str) -> bool {
    text.contains(" [")
}

fn same_characters(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.sort_unstable();
        bytes
    };
    sorted(a) == sorted(b)
}
