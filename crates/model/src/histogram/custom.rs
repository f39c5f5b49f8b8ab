//! Brings two histograms with custom buckets to their common bounds.

use super::kahan::kahan_add;
use super::layout::SpanBuilder;
use super::{FloatHistogram, Span};

/// Whether both lists have the same bounds.
pub fn bounds_match(a: &[f64], b: &[f64]) -> bool {
    a == b
}

/// The bounds that are in both ascending lists.
pub(super) fn intersection(a: &[f64], b: &[f64]) -> Vec<f64> {
    let (mut i, mut j) = (0, 0);
    let mut common = Vec::new();
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x == y {
            common.push(*x);
        }
        // NaN bounds are refused on input; here they only must not cause an endless loop.
        i += usize::from(x <= y || x.is_nan());
        j += usize::from(y <= x || y.is_nan());
    }
    common
}

/// Counts per bucket for a coarser list of bounds; the last bucket is `+Inf`.
#[derive(Debug)]
pub(super) struct Rebinned {
    pub(super) counts: Vec<f64>,
    pub(super) compensation: Vec<f64>,
}

impl Rebinned {
    /// A histogram for `bounds` without observations.
    pub(super) fn empty(bounds: &[f64]) -> Rebinned {
        Rebinned { counts: vec![0.0; bounds.len() + 1], compensation: vec![0.0; bounds.len() + 1] }
    }

    /// Adds the buckets of `h`, times `sign`, and their compensation, if any.
    pub(super) fn add(&mut self, h: &FloatHistogram, sign: f64, lost: Option<&[f64]>, bounds: &[f64]) {
        for (i, bucket) in h.positive_bucket_iter().enumerate() {
            // The `+Inf` bucket goes to the `+Inf` bucket, and so does any bucket without a common bound above it.
            let target = bounds.partition_point(|bound| *bound < bucket.upper);
            let (count, compensation) = (&mut self.counts[target], &mut self.compensation[target]);
            kahan_add(sign * bucket.count, count, compensation);
            if let Some(lost) = lost.and_then(|c| c.get(i)) {
                kahan_add(*lost, count, compensation);
            }
        }
    }

    /// Spans, counts and compensation of the non-empty buckets.
    pub(super) fn into_side(self) -> (Vec<Span>, Vec<f64>, Vec<f64>) {
        let mut built = SpanBuilder::default();
        let (mut counts, mut lost) = (Vec::new(), Vec::new());
        for (i, (count, compensation)) in self.counts.into_iter().zip(self.compensation).enumerate() {
            if count != 0.0 || compensation != 0.0 {
                built.push(i as i32);
                counts.push(count);
                lost.push(compensation);
            }
        }
        (built.finish(), counts, lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_bounds() {
        assert_eq!(intersection(&[1.0, 2.0, 3.0], &[0.0, 2.0, 3.0, 4.0]), [2.0, 3.0]);
        assert_eq!(intersection(&[1.0], &[2.0]), [0.0; 0]);
        assert_eq!(intersection(&[f64::NAN, 1.0], &[1.0, f64::NAN]), [1.0]);
    }
}
