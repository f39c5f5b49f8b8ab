//! Warnings and infos about a query, with Prometheus' texts. Each text is kept once; its place is added when
//! it is shown.

use std::collections::HashMap;

use ferula_go::float::format_g;
use ferula_go::quote::go_quote;
use ferula_promql_syntax::ast::Span;

use crate::numeric::format::{format_rfc3339_seconds, format_two_digits};

/// Which of the two lists of an answer an annotation goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The result may be wrong.
    Warning,
    /// The result may not be what was meant.
    Info,
}

/// One annotation of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// Its list.
    pub level: Level,
    /// The text without its position, which distinguishes annotations.
    pub text: String,
    /// What part of the query it is about.
    pub span: Span,
    detail: Detail,
}

/// What is summed over annotations with the same text.
#[derive(Clone, Debug, PartialEq)]
enum Detail {
    None,
    /// A classic histogram whose buckets had to be made monotonic.
    Monotonicity {
        first_ms: i64,
        last_ms: i64,
        min_bucket: f64,
        max_bucket: f64,
        max_diff: f64,
        count: u64,
    },
    /// Samples whose start time lies before the previous sample.
    Overlap {
        count: u64,
    },
    /// Not of the query but of the store, so without a place.
    OfStore,
}

/// The operation in which histograms met; the last word of two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistogramOperation {
    Addition,
    Subtraction,
    Aggregation,
}

impl HistogramOperation {
    fn as_str(self) -> &'static str {
        match self {
            HistogramOperation::Addition => "addition",
            HistogramOperation::Subtraction => "subtraction",
            HistogramOperation::Aggregation => "aggregation",
        }
    }
}

fn for_metric_name(text: &str, metric_name: &str) -> String {
    if metric_name.is_empty() {
        return text.to_owned();
    }
    format!("{text} for metric name {}", go_quote(metric_name))
}

impl Annotation {
    fn warning(text: impl AsRef<str>, span: Span) -> Self {
        let text = format!("PromQL warning: {}", text.as_ref());
        Annotation { level: Level::Warning, text, span, detail: Detail::None }
    }

    fn info(text: impl AsRef<str>, span: Span) -> Self {
        let text = format!("PromQL info: {}", text.as_ref());
        Annotation { level: Level::Info, text, span, detail: Detail::None }
    }

    /// What the store says about its own answer.
    pub(crate) fn of_store(text: String) -> Self {
        Annotation { level: Level::Warning, text, span: Span::default(), detail: Detail::OfStore }
    }

    pub(crate) fn invalid_quantile(q: f64, span: Span) -> Self {
        let text = format!("quantile value should be between 0 and 1, got {}", format_g(q));
        Self::warning(text, span)
    }

    pub(crate) fn invalid_ratio(ratio: f64, capped: f64, span: Span) -> Self {
        let (ratio, capped) = (format_g(ratio), format_g(capped));
        Self::warning(
            format!("ratio value should be between -1 and 1, got {ratio}, capping to {capped}"),
            span,
        )
    }

    pub(crate) fn bad_bucket_label(metric_name: &str, value: &str, span: Span) -> Self {
        let text = format!("bucket label \"le\" is missing or has a malformed value of {}", go_quote(value));
        Self::warning(for_metric_name(&text, metric_name), span)
    }

    pub(crate) fn mixed_floats_histograms(metric_name: &str, span: Span) -> Self {
        let name = go_quote(metric_name);
        Self::warning(format!("encountered a mix of histograms and floats for metric name {name}"), span)
    }

    pub(crate) fn mixed_floats_histograms_in_aggregation(span: Span) -> Self {
        Self::warning("encountered a mix of histograms and floats for aggregation", span)
    }

    pub(crate) fn mixed_classic_native(metric_name: &str, span: Span) -> Self {
        let text = "vector contains a mix of classic and native histograms";
        Self::warning(for_metric_name(text, metric_name), span)
    }

    pub(crate) fn native_not_counter(metric_name: &str, span: Span) -> Self {
        let name = go_quote(metric_name);
        Self::warning(format!("this native histogram metric is not a counter: {name}"), span)
    }

    pub(crate) fn native_not_gauge(metric_name: &str, span: Span) -> Self {
        let name = go_quote(metric_name);
        Self::warning(format!("this native histogram metric is not a gauge: {name}"), span)
    }

    pub(crate) fn mixed_exponential_custom(metric_name: &str, span: Span) -> Self {
        let name = go_quote(metric_name);
        Self::warning(
            format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {name}"
            ),
            span,
        )
    }

    pub(crate) fn incompatible_bucket_layout(operator: &str, span: Span) -> Self {
        Self::warning(format!("incompatible bucket layout encountered for binary operator {operator}"), span)
    }

    pub(crate) fn sort_in_range_query(span: Span) -> Self {
        Self::warning(
            "sort is ineffective for range queries since results are always ordered by labels",
            span,
        )
    }

    pub(crate) fn counter_reset_collision(operation: HistogramOperation, span: Span) -> Self {
        let during = operation.as_str();
        Self::warning(format!("conflicting counter resets during histogram {during}"), span)
    }

    pub(crate) fn start_time_overlap(metric_name: &str, span: Span) -> Self {
        let name = go_quote(metric_name);
        let text =
            format!("sample has start time that overlaps with previous sample timestamp for metric {name}");
        Annotation { detail: Detail::Overlap { count: 1 }, ..Self::warning(text, span) }
    }

    pub(crate) fn possible_non_counter(metric_name: &str, span: Span) -> Self {
        let name = go_quote(metric_name);
        Self::info(
            format!("metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name}"),
            span,
        )
    }

    pub(crate) fn possible_non_counter_label(metric_name: &str, type_label: &str, span: Span) -> Self {
        let (name, kind) = (go_quote(metric_name), go_quote(type_label));
        Self::info(
            format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {kind}: {name}"
            ),
            span,
        )
    }

    pub(crate) fn forced_monotonicity(
        metric_name: &str,
        span: Span,
        at_ms: i64,
        min_bucket: f64,
        max_bucket: f64,
        max_diff: f64,
    ) -> Self {
        let text = "input to histogram_quantile needed to be fixed for monotonicity \
                    (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
        let detail = Detail::Monotonicity {
            first_ms: at_ms,
            last_ms: at_ms,
            min_bucket,
            max_bucket,
            max_diff,
            count: 0,
        };
        Annotation { detail, ..Self::info(for_metric_name(text, metric_name), span) }
    }

    pub(crate) fn incompatible_types(left: &str, operator: &str, right: &str, span: Span) -> Self {
        Self::info(
            format!(
                "incompatible sample types encountered for binary operator {}: {left} {operator} {right}",
                go_quote(operator)
            ),
            span,
        )
    }

    pub(crate) fn histogram_ignored_in_aggregation(aggregation: &str, span: Span) -> Self {
        Self::info(format!("ignored histogram in {aggregation} aggregation"), span)
    }

    pub(crate) fn histograms_ignored_in_mixed_range(metric_name: &str, span: Span) -> Self {
        let name = go_quote(metric_name);
        Self::info(
            format!(
                "ignored histograms in a range containing both floats and histograms for metric name {name}"
            ),
            span,
        )
    }

    pub(crate) fn quantile_nan_result(metric_name: &str, span: Span) -> Self {
        let text = "input to histogram_quantile has NaN observations, result is NaN";
        Self::info(for_metric_name(text, metric_name), span)
    }

    pub(crate) fn quantile_nan_skew(metric_name: &str, span: Span) -> Self {
        let text = "input to histogram_quantile has NaN observations, result is skewed higher";
        Self::info(for_metric_name(text, metric_name), span)
    }

    pub(crate) fn fraction_nans(metric_name: &str, span: Span) -> Self {
        let text = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
        Self::info(for_metric_name(text, metric_name), span)
    }

    pub(crate) fn custom_buckets_reconciled(operation: HistogramOperation, span: Span) -> Self {
        let during = operation.as_str();
        Self::info(format!("mismatched custom buckets were reconciled during {during}"), span)
    }

    /// The text as it is returned: with the sums, and the position in `query`.
    pub fn render(&self, query: &str) -> String {
        let place = self.span.start_in(query);
        match &self.detail {
            Detail::Monotonicity { first_ms, last_ms, min_bucket, max_bucket, max_diff, count } => format!(
                "{}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {} ({place})",
                self.text,
                format_g(*min_bucket),
                format_g(*max_bucket),
                format_two_digits(*max_diff),
                count + 1,
                format_rfc3339_seconds(*first_ms),
                format_rfc3339_seconds(*last_ms),
            ),
            Detail::Overlap { count } if *count > 1 => {
                format!("{} ({count} occurrences) ({place})", self.text)
            }
            Detail::OfStore => self.text.clone(),
            _ => format!("{} ({place})", self.text),
        }
    }

    /// Merges with an earlier annotation of the same text. The later position is kept.
    fn merge_with_earlier(&mut self, earlier: &Annotation) {
        match (&mut self.detail, &earlier.detail) {
            (
                Detail::Monotonicity { first_ms, last_ms, min_bucket, max_bucket, max_diff, count },
                Detail::Monotonicity {
                    first_ms: first,
                    last_ms: last,
                    min_bucket: min,
                    max_bucket: max,
                    max_diff: diff,
                    count: more,
                },
            ) => {
                *first_ms = (*first_ms).min(*first);
                *last_ms = (*last_ms).max(*last);
                *min_bucket = min_bucket.min(*min);
                *max_bucket = max_bucket.max(*max);
                *max_diff = max_diff.max(*diff);
                *count += more + 1;
                self.span = earlier.span;
            }
            (Detail::Overlap { count }, Detail::Overlap { count: more }) => {
                *count += more;
                self.span = earlier.span;
            }
            _ => {}
        }
    }
}

/// The annotations of one query, each text once, in the order in which they were first added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations {
    entries: Vec<Annotation>,
    by_text: HashMap<String, usize>,
}

impl Annotations {
    /// No annotations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an annotation, which replaces an earlier one with the same text. Returns whether the text is new.
    pub fn add(&mut self, mut annotation: Annotation) -> bool {
        match self.by_text.get(&annotation.text) {
            Some(&at) => {
                annotation.merge_with_earlier(&self.entries[at]);
                self.entries[at] = annotation;
                false
            }
            None => {
                self.by_text.insert(annotation.text.clone(), self.entries.len());
                self.entries.push(annotation);
                true
            }
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Annotation> {
        self.entries.iter()
    }

    /// The texts as they are answered, warnings and infos, at most `max` of each (0: all) and then how many were left
    /// out.
    pub fn render(&self, query: &str, max: usize) -> (Vec<String>, Vec<String>) {
        (self.render_level(query, max, Level::Warning), self.render_level(query, max, Level::Info))
    }

    fn render_level(&self, query: &str, max: usize, level: Level) -> Vec<String> {
        let of_level = || self.entries.iter().filter(|annotation| annotation.level == level);
        let shown = if max == 0 { usize::MAX } else { max };
        let mut texts: Vec<String> = of_level().take(shown).map(|entry| entry.render(query)).collect();
        let omitted = of_level().count().saturating_sub(shown);
        if omitted > 0 {
            let word = if level == Level::Warning { "warning" } else { "info" };
            texts.push(format!("{omitted} more {word} annotations omitted"));
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_kept_once_and_places_count_lines() {
        let mut annotations = Annotations::new();
        let span = Span { start: 6, end: 7 };
        annotations.add(Annotation::possible_non_counter("a", Span::default()));
        annotations.add(Annotation::possible_non_counter("a", span));
        annotations.add(Annotation::invalid_quantile(1.5, span));
        let (warnings, infos) = annotations.render("sum\n  x", 10);
        assert_eq!(warnings, ["PromQL warning: quantile value should be between 0 and 1, got 1.5 (2:3)"]);
        assert_eq!(
            infos,
            ["PromQL info: metric might not be a counter, name does not end in \
              _total/_sum/_count/_bucket: \"a\" (2:3)"]
        );
    }

    #[test]
    fn a_list_that_is_too_long_says_how_much_is_missing() {
        let mut annotations = Annotations::new();
        for name in ["a", "b", "c"] {
            annotations.add(Annotation::native_not_gauge(name, Span::default()));
        }
        let (warnings, _) = annotations.render("q", 2);
        assert_eq!(warnings.len(), 3);
        assert_eq!(warnings[2], "1 more warning annotations omitted");
    }
}
