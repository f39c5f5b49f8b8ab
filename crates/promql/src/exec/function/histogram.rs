//! Functions that look inside histograms: `histogram_quantile(s)`, `histogram_fraction`, and `histogram_count`, `_sum`,
//! `_avg`, `_stddev`, `_stdvar`.
//!
//! The first two take classic histograms as well: series that agree in all labels but `le` are the buckets of one.
//! A native and a classic histogram with the same labels at the same time are both left out, with a warning.

use std::collections::HashMap;

use ferula_go::float::format_g;
use ferula_model::labels::{BUCKET_LABEL, METRIC_NAME};
use ferula_model::{FloatHistogram, LabelSet};
use ferula_promql_syntax::ast::Span;

use super::call::Arguments;
use crate::Grid;
use crate::exec::batch::{Batch, RowRef};
use crate::exec::bitmap;
use crate::exec::collected::{Evaluate, collected};
use crate::exec::context::QueryContext;
use crate::exec::merge::{DuplicateLabels, MergeSameLabels};
use crate::exec::operator::{BoxOperator, Operator, Replay, collect};
use crate::exec::scalars::{Parameters, Scalars};
use crate::exec::series::{SeriesTable, labels_bytes, without_metadata};
use crate::exec::sorting;
use crate::numeric::buckets::{
    Bucket, ForcedMonotonic, NanCause, bucket_fraction, bucket_quantile, histogram_fraction,
    histogram_quantile, histogram_variance,
};
use crate::{Annotation, QueryError};

/// `histogram_count`.
pub(super) fn count<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    number_of(call, |h| h.count)
}

/// `histogram_sum`.
pub(super) fn sum<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    number_of(call, |h| h.sum)
}

/// `histogram_avg`.
pub(super) fn avg<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    number_of(call, |h| h.sum / h.count)
}

/// `histogram_stdvar`.
pub(super) fn stdvar<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    number_of(call, histogram_variance)
}

/// `histogram_stddev`.
pub(super) fn stddev<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    number_of(call, |h| histogram_variance(h).sqrt())
}

/// `histogram_quantile`.
pub(super) fn quantile<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let question = Question::Quantiles(vec![Quantile::new(call, 0, None)]);
    look_inside(call, 1, question)
}

/// `histogram_quantiles`.
pub(super) fn quantiles<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let label = call.string(1)?;
    let quantiles = (2..call.len()).map(|index| Quantile::new(call, index, Some(label))).collect();
    look_inside(call, 0, Question::Quantiles(quantiles))
}

/// `histogram_fraction`.
pub(super) fn fraction<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let unknown = Scalars::Constant(f64::NAN);
    look_inside(call, 2, Question::Fraction { lower: unknown.clone(), upper: unknown })
}

/// One float for every histogram; floats are left out.
fn number_of<'q>(
    call: &mut Arguments<'_, 'q>,
    number: fn(&FloatHistogram) -> f64,
) -> Result<BoxOperator<'q>, QueryError> {
    let steps = call.scope.steps();
    let numbers =
        NumberOf { inner: call.vector(0)?, number, series: SeriesTable::new(), read: Batch::new(steps) };
    Ok(Box::new(MergeSameLabels::new(Box::new(numbers), DuplicateLabels::AtOneStep)))
}

struct NumberOf<'q> {
    inner: BoxOperator<'q>,
    number: fn(&FloatHistogram) -> f64,
    series: SeriesTable,
    read: Batch,
}

impl Operator for NumberOf<'_> {
    fn series(&self) -> &SeriesTable {
        &self.series
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        out.clear();
        while out.is_empty() {
            if !self.inner.next(query, &mut self.read)? {
                return Ok(false);
            }
            for entry in self.inner.series().since(self.series.len()) {
                query.work(8)?;
                // Only the name goes here, not type and unit.
                let labels = if query.features.delayed_name_removal {
                    entry.labels.clone()
                } else {
                    entry.labels.without(METRIC_NAME)
                };
                self.series.push(labels, true);
            }
            for row in self.read.iter() {
                let Some(histograms) = row.histograms.filter(|row| !row.steps.is_empty()) else { continue };
                let mut numbers = out.push(row.series);
                for (step, histogram) in histograms.iter() {
                    query.work(histogram.sample_weight())?;
                    numbers.set_float(step, (self.number)(histogram));
                }
            }
        }
        Ok(true)
    }
}

/// What is computed from every histogram.
enum Question {
    Quantiles(Vec<Quantile>),
    Fraction { lower: Scalars, upper: Scalars },
}

/// One quantile to be computed.
struct Quantile {
    at: Scalars,
    span: Span,
    /// The label that holds the quantile, for `histogram_quantiles`.
    label: Option<String>,
}

impl Quantile {
    /// The scalar argument with this index, whose numbers come later.
    fn new(call: &Arguments<'_, '_>, index: usize, label: Option<&str>) -> Quantile {
        let at = Scalars::Constant(f64::NAN);
        Quantile { at, span: call.span(index), label: label.map(str::to_owned) }
    }

    /// Warns at steps where the number is not a quantile.
    fn annotate(&self, steps: usize, query: &QueryContext<'_>) -> Result<(), QueryError> {
        for step in 0..steps {
            query.work(1)?;
            let q = self.at.at(step);
            if !(0.0..=1.0).contains(&q) {
                query.annotate(Annotation::invalid_quantile(q, self.span));
            }
        }
        Ok(())
    }
}

fn look_inside<'q>(
    call: &mut Arguments<'_, 'q>,
    argument: usize,
    question: Question,
) -> Result<BoxOperator<'q>, QueryError> {
    Ok(collected(LookInside {
        inner: call.vector(argument)?,
        scalars: Parameters::new(call.scalars()),
        vector_first: argument == 0,
        question,
        span: call.span(argument),
        steps: call.scope.steps(),
        grid: call.scope.grid,
    }))
}

struct LookInside<'q> {
    inner: BoxOperator<'q>,
    scalars: Parameters<'q>,
    /// The vector stands before the scalars, so it is evaluated before them.
    vector_first: bool,
    question: Question,
    span: Span,
    steps: usize,
    grid: Grid,
}

/// Results of one histogram by step.
type Points = Vec<(usize, f64)>;

/// What a point takes while its list grows, and an entry of a map beside its contents.
const POINT_BYTES: usize = 32;
const ENTRY_BYTES: usize = 64;

/// A classic histogram: its labels without `le`, and its buckets as bound and row.
struct Classic {
    labels: LabelSet,
    buckets: Vec<(f64, usize)>,
    /// Row of the native histogram with the same labels.
    native: Option<usize>,
}

impl Evaluate for LookInside<'_> {
    fn evaluate(&mut self, query: &QueryContext<'_>) -> Result<Replay, QueryError> {
        let scalars = if self.vector_first {
            self.scalars.values_after(&mut *self.inner, self.steps, query)?
        } else {
            self.scalars.values(query)?
        };
        self.question.set_scalars(scalars);
        let before = query.samples.current();
        let rows = collect(&mut *self.inner, self.steps, query)?;
        // After the argument: of two functions that ask for the same, the outer one is named.
        if let Question::Quantiles(quantiles) = &self.question {
            quantiles.iter().try_for_each(|quantile| quantile.annotate(self.steps, query))?;
        }
        let table = self.inner.series();
        let (classic, by_labels) = self.gather(&rows, table, query)?;
        // All quantiles of a classic histogram at once, because one changes the buckets for the next.
        let mut of_classic = Vec::with_capacity(classic.len());
        for histogram in &classic {
            of_classic.push(self.answer_classic(histogram, &rows, query)?);
        }
        let mut results = Results::default();
        for part in 0..self.question.parts() {
            for row in rows.iter().filter(|row| row.histograms.is_some()) {
                let labels = table.labels(row.series);
                let meeting = by_labels.get(labels).map(|&place| &classic[place]);
                let values = self.answer_native(row, part, labels.metric_name(), query, |step| {
                    meeting.is_some_and(|histogram| has_bucket(histogram, &rows, step))
                })?;
                results.add(&self.question, part, labels, &values, query)?;
            }
            for (histogram, values) in classic.iter().zip(&of_classic) {
                results.add(&self.question, part, &histogram.labels, &values[part], query)?;
            }
        }
        query.account.charge(Batch::bytes_for(results.labels.len(), self.steps))?;
        let replay = results.finish(self.steps, query)?;
        query.samples.settle(before, replay.rows.samples())?;
        Ok(replay)
    }
}

impl LookInside<'_> {
    /// Classic histograms among the rows, in order of their first bucket. Warns about floats that are not a bucket, and
    /// about steps where a native histogram has the same labels.
    fn gather(
        &self,
        rows: &Batch,
        table: &SeriesTable,
        query: &QueryContext<'_>,
    ) -> Result<(Vec<Classic>, HashMap<LabelSet, usize>), QueryError> {
        let mut found: Vec<Classic> = Vec::new();
        let mut by_labels: HashMap<LabelSet, usize> = HashMap::new();
        for (index, row) in rows.iter().enumerate().filter(|(_, row)| !bitmap::is_empty(row.present)) {
            query.work(32)?;
            let labels = table.labels(row.series);
            let le = labels.value(BUCKET_LABEL);
            let Some(upper) = parse_float(le) else {
                let name = shown_name(labels.metric_name(), query);
                query.annotate(Annotation::bad_bucket_label(name, le, self.span));
                continue;
            };
            let labels = labels.without(BUCKET_LABEL);
            let place = *by_labels.entry(labels.clone()).or_insert(found.len());
            if place == found.len() {
                query.account.charge(2 * labels_bytes(&labels) + size_of::<Classic>() + ENTRY_BYTES)?;
                found.push(Classic { labels, buckets: Vec::new(), native: None });
            }
            found[place].buckets.push((upper, index));
        }
        for (index, row) in rows.iter().enumerate() {
            let (Some(histograms), labels) = (row.histograms, table.labels(row.series)) else { continue };
            let Some(&place) = by_labels.get(labels) else { continue };
            found[place].native = Some(index);
            query.work(histograms.steps.len().saturating_mul(1 + found[place].buckets.len()))?;
            if histograms.iter().any(|(step, _)| has_bucket(&found[place], rows, step)) {
                let name = shown_name(labels.metric_name(), query);
                query.annotate(Annotation::mixed_classic_native(name, self.span));
            }
        }
        Ok((found, by_labels))
    }

    /// The results of a native histogram for one part of the question, except where `skip` says so.
    fn answer_native(
        &self,
        row: RowRef<'_>,
        part: usize,
        metric_name: &str,
        query: &QueryContext<'_>,
        skip: impl Fn(usize) -> bool,
    ) -> Result<Points, QueryError> {
        let name = shown_name(metric_name, query);
        let histograms = row.histograms.into_iter().flat_map(|row| row.iter());
        let mut values = Vec::new();
        for (step, histogram) in histograms.filter(|(step, _)| !skip(*step)) {
            query.work(histogram.sample_weight())?;
            query.account.charge(POINT_BYTES)?;
            let value = match &self.question {
                Question::Quantiles(quantiles) => {
                    let (value, cause) = histogram_quantile(quantiles[part].at.at(step), histogram);
                    let annotation = cause.map(|cause| match cause {
                        NanCause::Result => Annotation::quantile_nan_result(name, self.span),
                        NanCause::Skew => Annotation::quantile_nan_skew(name, self.span),
                    });
                    annotation.into_iter().for_each(|annotation| query.annotate(annotation));
                    value
                }
                Question::Fraction { lower, upper } => {
                    let (value, nans) = histogram_fraction(lower.at(step), upper.at(step), histogram);
                    if nans {
                        query.annotate(Annotation::fraction_nans(name, self.span));
                    }
                    value
                }
            };
            values.push((step, value));
        }
        Ok(values)
    }

    /// The results of a classic histogram, one list for every part of the question.
    fn answer_classic(
        &self,
        histogram: &Classic,
        rows: &Batch,
        query: &QueryContext<'_>,
    ) -> Result<Vec<Points>, QueryError> {
        let native = histogram.native.map(|index| rows.row(index));
        let mut values: Vec<Points> = vec![Vec::new(); self.question.parts()];
        let mut buckets = Vec::with_capacity(histogram.buckets.len());
        for step in 0..self.steps {
            query.work(1 + histogram.buckets.len())?;
            if native.is_some_and(|row| row.histogram(step).is_some()) {
                continue;
            }
            buckets.clear();
            buckets.extend(
                histogram.buckets.iter().filter_map(|&(upper, row)| {
                    rows.row(row).float(step).map(|count| Bucket { upper, count })
                }),
            );
            if buckets.is_empty() {
                continue;
            }
            query.work(buckets.len() * 8 * values.len())?;
            query.account.charge(values.len() * POINT_BYTES)?;
            match &self.question {
                Question::Quantiles(quantiles) => {
                    for (quantile, values) in quantiles.iter().zip(&mut values) {
                        let (value, forced) = bucket_quantile(quantile.at.at(step), &mut buckets);
                        if let Some(forced) = forced {
                            self.annotate_forced(forced, step, histogram.labels.metric_name(), query);
                        }
                        values.push((step, value));
                    }
                }
                Question::Fraction { lower, upper } => {
                    values[0].push((step, bucket_fraction(lower.at(step), upper.at(step), &mut buckets)));
                }
            }
        }
        Ok(values)
    }

    fn annotate_forced(
        &self,
        forced: ForcedMonotonic,
        step: usize,
        metric_name: &str,
        query: &QueryContext<'_>,
    ) {
        query.annotate(Annotation::forced_monotonicity(
            shown_name(metric_name, query),
            self.span,
            self.grid.time(step),
            forced.min_bucket,
            forced.max_bucket,
            forced.max_diff,
        ));
    }
}

impl Question {
    /// Sets the numbers of the scalar arguments, which are in the order of the quantiles or bounds.
    fn set_scalars(&mut self, scalars: &[Scalars]) {
        let places: Vec<&mut Scalars> = match self {
            Question::Quantiles(quantiles) => quantiles.iter_mut().map(|quantile| &mut quantile.at).collect(),
            Question::Fraction { lower, upper } => vec![lower, upper],
        };
        places.into_iter().zip(scalars).for_each(|(place, scalar)| place.clone_from(scalar));
    }

    /// How many results every histogram has.
    fn parts(&self) -> usize {
        match self {
            Question::Quantiles(quantiles) => quantiles.len(),
            Question::Fraction { .. } => 1,
        }
    }
}

/// The metric name for an annotation. Where names go at once, Prometheus has dropped it by then.
fn shown_name<'n>(metric_name: &'n str, query: &QueryContext<'_>) -> &'n str {
    if query.features.delayed_name_removal { metric_name } else { "" }
}

fn has_bucket(histogram: &Classic, rows: &Batch, step: usize) -> bool {
    histogram.buckets.iter().any(|&(_, row)| rows.row(row).float(step).is_some())
}

/// A bound as Go parses it: one that is too large is not a number.
fn parse_float(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let too_large = value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit());
    (!too_large).then_some(value)
}

/// Results by their labels, in the order in which those first come up.
#[derive(Default)]
struct Results {
    labels: Vec<LabelSet>,
    by_labels: HashMap<LabelSet, usize>,
    points: Vec<Points>,
}

impl Results {
    /// Adds results of the histogram `labels`. Its metric name is dropped now or at the end of the query. A quantile with
    /// a label name becomes a label, whose value differs by step if the quantile does.
    fn add(
        &mut self,
        question: &Question,
        part: usize,
        labels: &LabelSet,
        values: &[(usize, f64)],
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        if values.is_empty() {
            return Ok(());
        }
        query.work(values.len())?;
        query
            .account
            .charge(labels_bytes(labels) + ENTRY_BYTES + values.len().saturating_mul(POINT_BYTES))?;
        let labels =
            if query.features.delayed_name_removal { labels.clone() } else { without_metadata(labels) };
        let noted = match question {
            Question::Quantiles(quantiles) => &quantiles[part],
            Question::Fraction { .. } => {
                self.row(labels).extend(values);
                return Ok(());
            }
        };
        let with_label = |name: &str, q: f64| labels.to_builder().set(name, &format_open_metrics(q)).finish();
        match (&noted.label, &noted.at) {
            (None, _) => self.row(labels).extend(values),
            (Some(name), Scalars::Constant(q)) => self.row(with_label(name, *q)).extend(values),
            (Some(name), Scalars::PerStep(qs)) => {
                for (step, value) in values {
                    query.work(32)?;
                    query.account.charge(labels_bytes(&labels) + ENTRY_BYTES)?;
                    self.row(with_label(name, qs[*step])).push((*step, *value));
                }
            }
        }
        Ok(())
    }

    fn row(&mut self, labels: LabelSet) -> &mut Points {
        let place = *self.by_labels.entry(labels.clone()).or_insert(self.labels.len());
        if place == self.labels.len() {
            self.labels.push(labels);
            self.points.push(Vec::new());
        }
        &mut self.points[place]
    }

    /// All results as rows.
    ///
    /// # Errors
    /// When two results of one step have the same labels.
    fn finish(self, steps: usize, query: &QueryContext<'_>) -> Result<Replay, QueryError> {
        let (mut table, mut rows) = (SeriesTable::new(), Batch::new(steps));
        for (labels, mut points) in self.labels.into_iter().zip(self.points) {
            sorting::sort_by(&mut points, query, |a, b| a.0.cmp(&b.0))?;
            if points.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return Err(QueryError::same_labelset());
            }
            let series = table.push(labels, true);
            let mut row = rows.push(series);
            query.in_pieces(&points, |piece| {
                piece.iter().for_each(|&(step, value)| row.set_float(step, value));
            })?;
        }
        Ok(Replay::new(table, rows))
    }
}

/// A number as OpenMetrics writes it: never without a point or an exponent.
fn format_open_metrics(v: f64) -> String {
    // −0 is written like 0.
    let text = format_g(if v == 0.0 { 0.0 } else { v });
    if v.is_finite() && !text.contains(['.', 'e']) { text + ".0" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_labels() {
        for (v, text) in [
            (1.0, "1.0"),
            (0.95, "0.95"),
            (1e-7, "1e-07"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
            (-0.0, "0.0"),
        ] {
            assert_eq!(format_open_metrics(v), text);
        }
    }

    #[test]
    fn bounds() {
        for (text, want) in
            [("0.5", Some(0.5)), ("+Inf", Some(f64::INFINITY)), ("", None), ("1e999", None), ("x", None)]
        {
            assert_eq!(parse_float(text), want, "{text}");
        }
    }
}
