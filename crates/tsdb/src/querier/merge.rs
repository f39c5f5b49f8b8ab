//! Samples of one series from several sources of the database.

use ferula_storage::SeriesSamples;
pub use ferula_storage::merge::{append, join_at, merge_all, newest};

use crate::ids::TimeSpan;

/// Removes the samples whose times lie in one of the ranges.
pub fn remove_ranges(samples: &mut SeriesSamples, ranges: &[TimeSpan]) {
    let deleted = |at: i64| ranges.iter().any(|range| range.contains(at));
    retain(
        &mut samples.floats.timestamps,
        &mut samples.floats.values,
        &mut samples.floats.start_timestamps,
        |at| !deleted(at),
    );
    retain(
        &mut samples.histograms.timestamps,
        &mut samples.histograms.values,
        &mut samples.histograms.start_timestamps,
        |at| !deleted(at),
    );
}

fn retain<T>(
    timestamps: &mut Vec<i64>,
    values: &mut Vec<T>,
    starts: &mut Vec<i64>,
    keep: impl Fn(i64) -> bool,
) {
    let kept: Vec<bool> = timestamps.iter().map(|at| keep(*at)).collect();
    if kept.iter().all(|keep| *keep) {
        return;
    }
    let mut flags = kept.iter();
    timestamps.retain(|_| *flags.next().unwrap_or(&true));
    let mut flags = kept.iter();
    values.retain(|_| *flags.next().unwrap_or(&true));
    let mut flags = kept.iter();
    starts.retain(|_| *flags.next().unwrap_or(&true));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_deleted_ranges_are_removed() {
        let mut all = SeriesSamples::default();
        all.floats.timestamps = vec![2, 4, 6];
        all.floats.values = vec![1.0; 3];
        all.histograms.timestamps = vec![1, 3, 5];
        all.histograms.values = vec![Default::default(); 3];
        remove_ranges(&mut all, &[TimeSpan::closed(2, 3), TimeSpan::new(6, 7)]);
        assert_eq!((all.floats.timestamps, all.floats.values.len()), (vec![4], 1));
        assert_eq!((all.histograms.timestamps, all.histograms.values.len()), (vec![1, 5], 2));
    }
}
