//! A range vector as the result of an instant query: the samples themselves.

use std::sync::Arc;

use ferula_model::value::is_stale;
use ferula_model::{FloatHistogram, TimeRange};
use ferula_promql_syntax::ast::RangeExtension;
use ferula_storage::SeriesSamples;

use crate::exec::context::QueryContext;
use crate::exec::function::interpolate::interpolate;
use crate::exec::scope::Scope;
use crate::exec::select::subquery::SubquerySource;
use crate::exec::series::without_metadata;
use crate::exec::sorting;
use crate::plan::node::RangeSelector;
use crate::plan::ranges::reach;
use crate::{QueryError, RangeSeries};

/// Sorts series by their labels.
pub(crate) fn sort_series(series: &mut Vec<RangeSeries>, query: &QueryContext<'_>) -> Result<(), QueryError> {
    let mut order: Vec<usize> = (0..series.len()).collect();
    sorting::sort_by(&mut order, query, |&a, &b| series[a].labels.cmp(&series[b].labels))?;
    let mut unsorted: Vec<Option<RangeSeries>> = std::mem::take(series).into_iter().map(Some).collect();
    series.extend(order.into_iter().filter_map(|index| unsorted[index].take()));
    Ok(())
}

/// The series of a range selector, not sorted yet.
pub(crate) fn of_selector(
    range: &RangeSelector,
    scope: &Scope,
    query: &QueryContext<'_>,
) -> Result<Vec<RangeSeries>, QueryError> {
    let moment = range.selector.lookup.time(scope.grid.start_ms);
    let (before_ms, after_ms) = reach(range.selector.extension, range.range_ms, query.lookback_ms);
    let window = TimeRange::from_millis(
        moment.saturating_sub(before_ms).saturating_add(1),
        moment.saturating_add(after_ms),
    );
    let bounds = (moment.saturating_sub(range.range_ms), moment);
    let selection = query.selections[range.selector.index];
    let rows = query.snapshot.series_count(selection);
    let mut all = Vec::new();
    query.read_rows(selection, 0..rows, window, |row, samples| {
        let (floats, histograms) = series_of(samples, range.selector.extension, bounds, query)?;
        if !floats.is_empty() || !histograms.is_empty() {
            let weight =
                floats.len() as u64 + histograms.iter().map(|(_, h)| h.sample_weight() as u64).sum::<u64>();
            scope.stats.add(0, weight, weight);
            let labels = query.snapshot.labels(selection, row);
            all.push(RangeSeries { labels, floats, histograms });
        }
        Ok(())
    })?;
    Ok(all)
}

type Columns = (Vec<(i64, f64)>, Vec<(i64, Arc<FloatHistogram>)>);

fn series_of(
    samples: &SeriesSamples,
    extension: Option<RangeExtension>,
    bounds: (i64, i64),
    query: &QueryContext<'_>,
) -> Result<Columns, QueryError> {
    let points = samples.floats.values.len() + samples.histograms.values.len();
    query.work(1 + points)?;
    query.account.charge(points.saturating_mul(16) + size_of::<RangeSeries>())?;
    let floats: Vec<(i64, f64)> = samples
        .floats
        .timestamps
        .iter()
        .zip(&samples.floats.values)
        .filter(|(_, value)| !is_stale(**value))
        .map(|(&time, &value)| (time, value))
        .collect();
    let histograms: Vec<(i64, Arc<FloatHistogram>)> = samples
        .histograms
        .timestamps
        .iter()
        .zip(&samples.histograms.values)
        .filter(|(_, value)| !is_stale(value.sum))
        .map(|(&time, value)| (time, value.clone()))
        .collect();
    let weight = floats.len() as u64 + histograms.iter().map(|(_, h)| h.sample_weight() as u64).sum::<u64>();
    query.samples.hold(weight)?;
    let word = match extension {
        None => return Ok((floats, histograms)),
        Some(RangeExtension::Anchored) => "anchored",
        Some(RangeExtension::Smoothed) => "smoothed",
    };
    if !histograms.is_empty() {
        return Err(QueryError::Execution(format!("{word} modifier is not supported with histograms")));
    }
    let smoothed = extension == Some(RangeExtension::Smoothed);
    Ok((extend(&floats, bounds, smoothed), Vec::new()))
}

/// The samples inside the bounds with one more at each of them: the sample just outside moved there, or the value
/// on the line between the two samples around it.
fn extend(floats: &[(i64, f64)], (start, end): (i64, i64), smoothed: bool) -> Vec<(i64, f64)> {
    let Some(mut last) = floats.len().checked_sub(1) else { return Vec::new() };
    let mut first = floats[..last].partition_point(|(time, _)| *time <= start).saturating_sub(1);
    if smoothed {
        last = floats[..last].partition_point(|(time, _)| *time < end);
    }
    if floats[last].0 <= start {
        return Vec::new();
    }
    let left = if smoothed && floats[first].0 < start {
        interpolate(floats[first], floats[first + 1], start, false)
    } else {
        floats[first].1
    };
    let right = if smoothed && last > 0 && floats[last].0 > end {
        interpolate(floats[last - 1], floats[last], end, false)
    } else {
        floats[last].1
    };
    if floats[first].0 <= start {
        first += 1;
    }
    let inside_end = if floats[last].0 >= end { last } else { last + 1 };
    let mut out = vec![(start, left)];
    out.extend_from_slice(floats.get(first..inside_end).unwrap_or(&[]));
    out.push((end, right));
    out
}

/// The series of a subquery, not sorted yet.
pub(crate) fn of_subquery(
    mut source: SubquerySource<'_>,
    scope: &Scope,
    query: &QueryContext<'_>,
) -> Result<Vec<RangeSeries>, QueryError> {
    let mut all = Vec::new();
    while let Some(row) = source.advance_keeping_hints(query)? {
        let entry = source.series().get(row);
        let labels = if entry.drop_name && query.features.delayed_name_removal {
            without_metadata(&entry.labels)
        } else {
            entry.labels.clone()
        };
        let samples = source.samples();
        query.work(samples.len())?;
        query.account.charge(samples.len().saturating_mul(16) + size_of::<RangeSeries>())?;
        let floats = samples.floats.timestamps.iter().copied().zip(samples.floats.values.iter().copied());
        let histograms =
            samples.histograms.timestamps.iter().copied().zip(samples.histograms.values.iter().cloned());
        all.push(RangeSeries { labels, floats: floats.collect(), histograms: histograms.collect() });
    }
    let inner = &source.inner_scope;
    scope.stats.add(0, inner.stats.total(), inner.stats.read());
    merge_same_labels(all, query)
}

/// With delayed removal of names, series of a subquery may end up with equal labels.
fn merge_same_labels(
    mut all: Vec<RangeSeries>,
    query: &QueryContext<'_>,
) -> Result<Vec<RangeSeries>, QueryError> {
    if !query.features.delayed_name_removal {
        return Ok(all);
    }
    sort_series(&mut all, query)?;
    let mut merged: Vec<RangeSeries> = Vec::with_capacity(all.len());
    for series in all {
        query.work(series.floats.len() + series.histograms.len())?;
        match merged.last_mut() {
            Some(last) if last.labels == series.labels => {
                last.floats.extend(series.floats);
                last.histograms.extend(series.histograms);
                last.floats.sort_by_key(|(time, _)| *time);
                last.histograms.sort_by_key(|(time, _)| *time);
                let same_float = last.floats.windows(2).any(|pair| pair[0].0 == pair[1].0);
                let same_histogram = last.histograms.windows(2).any(|pair| pair[0].0 == pair[1].0);
                if same_float || same_histogram {
                    return Err(QueryError::same_labelset());
                }
            }
            _ => merged.push(series),
        }
    }
    Ok(merged)
}
