//! The sum of exponential histograms: the coarser scale is used, and each side has at most 160 buckets.

use crate::point::{Buckets, ExponentialPoint};

const BUCKETS_MAX: i64 = 160;

/// The sum.
pub struct Sum {
    count: u64,
    sum: Option<f64>,
    scale: i32,
    zero_count: u64,
    positive: Buckets,
    negative: Buckets,
}

impl Sum {
    /// The first point.
    pub fn of(point: &ExponentialPoint<'_>) -> Self {
        Sum {
            count: point.count,
            sum: point.sum,
            scale: point.scale,
            zero_count: point.zero_count,
            positive: point.positive.clone(),
            negative: point.negative.clone(),
        }
    }

    /// Adds a point.
    pub fn add(&mut self, point: &ExponentialPoint<'_>) {
        let (mut positive, mut negative) = (point.positive.clone(), point.negative.clone());
        let scale = self.scale.min(point.scale);
        coarsen(&mut self.positive, self.scale.abs_diff(scale));
        coarsen(&mut self.negative, self.scale.abs_diff(scale));
        coarsen(&mut positive, point.scale.abs_diff(scale));
        coarsen(&mut negative, point.scale.abs_diff(scale));
        let more = steps_to_fit(&self.positive, &positive).max(steps_to_fit(&self.negative, &negative));
        for buckets in [&mut self.positive, &mut self.negative, &mut positive, &mut negative] {
            coarsen(buckets, more);
        }
        self.scale = scale.saturating_sub(i32::try_from(more).unwrap_or(i32::MAX));
        self.positive = merged(&self.positive, &positive);
        self.negative = merged(&self.negative, &negative);
        self.count = self.count.wrapping_add(point.count);
        self.zero_count = self.zero_count.wrapping_add(point.zero_count);
        self.sum = self.sum.zip(point.sum).map(|(a, b)| a + b);
    }

    /// Replaces the point by the sum.
    pub fn write(&self, point: &mut ExponentialPoint<'_>) {
        point.count = self.count;
        point.sum = self.sum;
        point.scale = self.scale;
        point.zero_count = self.zero_count;
        point.positive.clone_from(&self.positive);
        point.negative.clone_from(&self.negative);
    }
}

/// Begin and end of the buckets.
fn bounds(buckets: &Buckets) -> (i64, i64) {
    let begin = i64::from(buckets.offset);
    (begin, begin + buckets.counts.len() as i64)
}

/// Merges pairs of buckets, `steps` times.
fn coarsen(buckets: &mut Buckets, steps: u32) {
    if steps == 0 || buckets.counts.is_empty() {
        return;
    }
    let steps = steps.min(62);
    let (begin, _) = bounds(buckets);
    let first = begin >> steps;
    let mut counts: Vec<u64> = Vec::new();
    for (index, count) in buckets.counts.iter().enumerate() {
        let place = (((begin + index as i64) >> steps) - first) as usize;
        if counts.len() <= place {
            counts.resize(place + 1, 0);
        }
        counts[place] = counts[place].wrapping_add(*count);
    }
    *buckets = Buckets { offset: first as i32, counts };
}

/// How often pairs must be merged until both together have few enough buckets.
fn steps_to_fit(a: &Buckets, b: &Buckets) -> u32 {
    let filled = |buckets: &Buckets| {
        let first = buckets.counts.iter().position(|count| *count > 0)? as i64;
        let last = buckets.counts.iter().rposition(|count| *count > 0)? as i64;
        Some((i64::from(buckets.offset) + first, i64::from(buckets.offset) + last + 1))
    };
    let (mut low, mut high) = match (filled(a), filled(b)) {
        (Some(a), Some(b)) => (a.0.min(b.0), a.1.max(b.1)),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return 0,
    };
    let mut steps = 0;
    while high - low > BUCKETS_MAX {
        low >>= 1;
        high >>= 1;
        steps += 1;
    }
    steps
}

/// Both, without empty buckets at their ends that would exceed the limit.
fn merged(a: &Buckets, b: &Buckets) -> Buckets {
    if b.counts.is_empty() {
        return a.clone();
    }
    if a.counts.is_empty() {
        return b.clone();
    }
    let ((a_begin, a_end), (b_begin, b_end)) = (bounds(a), bounds(b));
    let (mut begin, mut end) = (a_begin.min(b_begin), a_end.max(b_end));
    let is_empty = |index: i64| at(a, index) == 0 && at(b, index) == 0;
    while end - begin > BUCKETS_MAX && is_empty(begin) {
        begin += 1;
    }
    while end - begin > BUCKETS_MAX && is_empty(end - 1) {
        end -= 1;
    }
    let counts = (begin..end).map(|index| at(a, index).wrapping_add(at(b, index))).collect();
    Buckets { offset: begin as i32, counts }
}

/// Counts by bucket number, by which deltas of exponential histograms are added.
fn at(buckets: &Buckets, index: i64) -> u64 {
    let place = usize::try_from(index - i64::from(buckets.offset)).ok();
    place.and_then(|place| buckets.counts.get(place)).copied().unwrap_or(0)
}
