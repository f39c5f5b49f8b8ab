//! Quantiles and fractions of histograms, classic ones from their buckets and native ones.

use ferula_go::math::{exp2, log2};
use ferula_model::FloatHistogram;
use ferula_model::histogram::Bucket as NativeBucket;

use crate::exec::sorting;
use crate::numeric::kahan::Kahan;

/// A bucket of a classic histogram: how many observations are at most `upper`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    pub upper: f64,
    pub count: f64,
}

/// Where the counts of a classic histogram decreased although they must not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ForcedMonotonic {
    pub min_bucket: f64,
    pub max_bucket: f64,
    pub max_diff: f64,
}

/// Neighbouring counts that differ by less than this part of their sum are taken for equal.
const COUNT_TOLERANCE: f64 = 1e-12;

/// The quantile `q` of a classic histogram, and whether its counts had to be made to rise.
///
/// `q` below 0 gives -Inf, above 1 +Inf, NaN gives NaN. There must be a bucket up to +Inf and a second one, otherwise
/// the result is NaN. Inside a bucket the result is linear; the lowest bucket begins at 0 unless it ends below.
///
/// The buckets are sorted, joined and corrected in place; what was joined stays behind them. Prometheus looks at the
/// same list again for the next quantile of `histogram_quantiles`, leftovers included, and so do we.
pub(crate) fn bucket_quantile(q: f64, buckets: &mut [Bucket]) -> (f64, Option<ForcedMonotonic>) {
    if let Some(value) = outside(q) {
        return (value, None);
    }
    sort(buckets);
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return (f64::NAN, None);
    }
    let joined = coalesce(buckets);
    let buckets = &mut buckets[..joined];
    let forced = make_monotonic(buckets);
    let [.., below, last] = &*buckets else { return (f64::NAN, forced) };
    let (below, last) = (*below, *last);
    if last.count == 0.0 {
        return (f64::NAN, forced);
    }
    let mut rank = q * last.count;
    let finite = &buckets[..buckets.len() - 1];
    // A NaN is never at least the rank, so it is passed over.
    let at = finite.partition_point(|bucket| bucket.count < rank || bucket.count.is_nan() || rank.is_nan());
    if at == finite.len() {
        return (below.upper, forced);
    }
    let (mut start, Bucket { upper: end, mut count }) = (0.0, buckets[at]);
    if at == 0 && end <= 0.0 {
        return (end, forced);
    }
    if at > 0 {
        start = buckets[at - 1].upper;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    (start + (end - start) * (rank / count), forced)
}

/// The quantile for a `q` outside of `[0, 1]`.
fn outside(q: f64) -> Option<f64> {
    if q.is_nan() {
        Some(f64::NAN)
    } else if q < 0.0 {
        Some(f64::NEG_INFINITY)
    } else if q > 1.0 {
        Some(f64::INFINITY)
    } else {
        None
    }
}

/// Sorts by bound. A bound that is NaN compares with nothing: few buckets are sorted as Prometheus sorts them, among
/// many it goes to the end.
fn sort(buckets: &mut [Bucket]) {
    if buckets.len() <= sorting::INSERTION_MAX {
        sorting::insert_sort(buckets, |a, b| a.upper < b.upper);
    } else {
        buckets.sort_by(|a, b| order_of_bounds(a.upper, b.upper));
    }
}

/// Bounds by value, NaN last; zeros of both signs are equal.
fn order_of_bounds(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Joins sorted buckets with the same bound at the front of the list, and says how many there are then.
fn coalesce(buckets: &mut [Bucket]) -> usize {
    let Some((&first, _)) = buckets.split_first() else { return 0 };
    let (mut last, mut joined) = (first, 0);
    for i in 1..buckets.len() {
        if buckets[i].upper == last.upper {
            last.count += buckets[i].count;
        } else {
            buckets[joined] = last;
            last = buckets[i];
            joined += 1;
        }
    }
    buckets[joined] = last;
    joined + 1
}

/// Counts must not decrease from bucket to bucket. Tiny differences are rounding errors and are removed silently.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<ForcedMonotonic> {
    let mut forced: Option<ForcedMonotonic> = None;
    let mut previous = buckets.first()?.count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == previous {
            continue;
        }
        if nearly_equal(previous, count) {
            bucket.count = previous;
        } else if count < previous {
            bucket.count = previous;
            let entry = forced.get_or_insert(ForcedMonotonic {
                min_bucket: f64::INFINITY,
                max_bucket: f64::NEG_INFINITY,
                max_diff: 0.0,
            });
            if bucket.upper < entry.min_bucket {
                entry.min_bucket = bucket.upper;
            }
            if bucket.upper > entry.max_bucket {
                entry.max_bucket = bucket.upper;
            }
            if previous - count > entry.max_diff {
                entry.max_diff = previous - count;
            }
        } else {
            previous = count;
        }
    }
    forced
}

fn nearly_equal(a: f64, b: f64) -> bool {
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < COUNT_TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < COUNT_TOLERANCE
}

/// The fraction of the observations of a classic histogram that lies between two values.
pub(crate) fn bucket_fraction(lower: f64, upper: f64, buckets: &mut [Bucket]) -> f64 {
    sort(buckets);
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return f64::NAN;
    }
    let joined = coalesce(buckets);
    let buckets = &buckets[..joined];
    let count = buckets[joined - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut start = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut ranks = Ranks::new(lower, upper);
    let mut below = 0.0;
    for bucket in buckets {
        let rank_in = |v: f64| {
            // Nothing is known about where observations lie in a bucket without a lower end.
            if start == f64::NEG_INFINITY {
                bucket.count
            } else {
                below + (bucket.count - below) * (v - start) / (bucket.upper - start)
            }
        };
        if ranks.bucket(start, bucket.upper, below, rank_in) {
            break;
        }
        below = bucket.count;
        start = bucket.upper;
    }
    ranks.distance(count) / count
}

/// Finds the ranks of two values while walking the buckets upwards.
struct Ranks {
    values: [f64; 2],
    ranks: [Option<f64>; 2],
}

impl Ranks {
    fn new(lower: f64, upper: f64) -> Ranks {
        Ranks { values: [lower, upper], ranks: [None; 2] }
    }

    /// A bucket with `rank` observations below it. `inside` says the rank of a value inside. Whether both are known.
    fn bucket(&mut self, start: f64, end: f64, rank: f64, inside: impl Fn(f64) -> f64) -> bool {
        for (value, found) in self.values.iter().zip(&mut self.ranks) {
            if found.is_none() && start >= *value {
                *found = Some(rank);
            } else if found.is_none() && start < *value && end > *value {
                *found = Some(inside(*value));
            }
        }
        self.ranks.iter().all(Option::is_some)
    }

    /// The fraction of the `count` observations that lies between the two.
    fn distance(&self, count: f64) -> f64 {
        let within = |rank: Option<f64>| match rank {
            Some(rank) if rank > count => count,
            Some(rank) => rank,
            None => count,
        };
        let [lower, upper] = self.ranks.map(within);
        upper - lower
    }
}

/// What NaN observations, which are in the count but in no bucket, did to a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NanCause {
    /// They are the result.
    Result,
    /// They shifted it.
    Skew,
}

/// The quantile `q` of a native histogram.
///
/// Interpolated linearly in custom buckets and in the zero bucket, exponentially elsewhere. Walks from the nearer end,
/// so that rounding errors stay small.
pub(crate) fn histogram_quantile(q: f64, h: &FloatHistogram) -> (f64, Option<NanCause>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if h.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    // NaN observations lie above all buckets, so they can only be skipped from below.
    let forward = h.sum.is_nan() || q < 0.5;
    let mut buckets = h.all_bucket_iter();
    let mut next = || if forward { buckets.next() } else { buckets.next_back() };
    let rank = if forward { q * h.count } else { (1.0 - q) * h.count };
    let mut bucket = EMPTY;
    let mut count = 0.0;
    while let Some(reached) = next() {
        bucket = reached;
        if bucket.count != 0.0 {
            count += bucket.count;
            if count >= rank {
                break;
            }
        }
    }
    if let Some(value) = settle_ends(&mut bucket, h) {
        return (value, None);
    }
    // Rounding may have added up to more than there is.
    if count > h.count {
        count = h.count;
    }
    if count < rank {
        return if h.sum.is_nan() { (f64::NAN, Some(NanCause::Result)) } else { (bucket.upper, None) };
    }
    let rank = if forward { rank - (count - bucket.count) } else { count - rank };
    let mut cause = None;
    let mut reached = bucket;
    if h.sum.is_nan() {
        while let Some(rest) = next() {
            // Prometheus continues with the last bucket that it saw here, not with the one that holds the rank.
            reached = rest;
            count += rest.count;
        }
        cause = (count < h.count).then_some(NanCause::Skew);
    }
    (interpolate(&reached, rank / reached.count, h.uses_custom_buckets()), cause)
}

const EMPTY: NativeBucket = NativeBucket {
    lower: 0.0,
    upper: 0.0,
    lower_inclusive: false,
    upper_inclusive: false,
    count: 0.0,
    index: 0,
};

/// Ends of the bucket that holds the rank: the zero bucket begins or ends at 0 when there is nothing on the other side,
/// the lowest custom bucket begins at 0. Some custom buckets decide the result.
fn settle_ends(bucket: &mut NativeBucket, h: &FloatHistogram) -> Option<f64> {
    if h.uses_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return Some(bucket.upper);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return Some(bucket.lower);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        one_sided_zero_bucket(bucket, h);
    }
    None
}

fn one_sided_zero_bucket(bucket: &mut NativeBucket, h: &FloatHistogram) {
    if h.negative_buckets.is_empty() && !h.positive_buckets.is_empty() {
        bucket.lower = 0.0;
    } else if h.positive_buckets.is_empty() && !h.negative_buckets.is_empty() {
        bucket.upper = 0.0;
    }
}

/// The value a fraction of the way into a bucket.
fn interpolate(bucket: &NativeBucket, fraction: f64, custom: bool) -> f64 {
    if custom || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * fraction;
    }
    let (lower, upper) = (log2(bucket.lower.abs()), log2(bucket.upper.abs()));
    if bucket.lower > 0.0 {
        exp2(lower + (upper - lower) * fraction)
    } else {
        -exp2(upper + (lower - upper) * (1.0 - fraction))
    }
}

/// What share of the observations of a native histogram lies between two values, and whether NaN observations were
/// left out of it.
pub(crate) fn histogram_fraction(lower: f64, upper: f64, h: &FloatHistogram) -> (f64, bool) {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if lower >= upper {
        return (0.0, false);
    }
    let custom = h.uses_custom_buckets();
    let mut ranks = Ranks::new(lower, upper);
    let (mut rank, mut count) = (0.0, 0.0);
    let mut buckets = h.all_bucket_iter();
    for mut bucket in buckets.by_ref() {
        count += bucket.count;
        let zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if zero {
            one_sided_zero_bucket(&mut bucket, h);
        }
        let linear = custom || zero;
        let rank_in = |v: f64| {
            if linear && bucket.lower == f64::NEG_INFINITY {
                return bucket.count;
            }
            rank + bucket.count * bucket.fraction_below(v, linear)
        };
        if ranks.bucket(bucket.lower, bucket.upper, rank, rank_in) {
            break;
        }
        rank += bucket.count;
    }
    let mut nans = false;
    if h.sum.is_nan() {
        for bucket in buckets {
            count += bucket.count;
        }
        nans = count < h.count;
    } else {
        count = h.count;
    }
    (ranks.distance(count) / h.count, nans)
}

/// Variance of the observations, each taken to be in the middle of its bucket: the arithmetic middle of custom buckets,
/// 0 in the zero bucket, the geometric middle elsewhere.
pub(crate) fn histogram_variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let custom = h.uses_custom_buckets();
    let mut variance = Kahan::ZERO;
    for bucket in h.all_bucket_iter().filter(|bucket| bucket.count != 0.0) {
        let middle = if custom {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let middle = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let delta = middle - mean;
        variance = variance.plus(bucket.count * delta * delta);
    }
    variance.value() / h.count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_bounds_is_total() {
        let bounds = [f64::NAN, -f64::NAN, 0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY];
        ferula_testkit::assert_total_order(&bounds, |a, b| order_of_bounds(*a, *b));
    }

    fn classic(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|&(upper, count)| Bucket { upper, count }).collect()
    }

    #[test]
    fn quantiles_of_classic_histograms() {
        let inf = f64::INFINITY;
        for (q, buckets, want) in [
            (0.5, &[(1.0, 2.0), (2.0, 4.0), (inf, 4.0)][..], 1.0),
            (0.75, &[(1.0, 2.0), (2.0, 4.0), (inf, 4.0)], 1.5),
            (0.25, &[(1.0, 2.0), (2.0, 4.0), (inf, 4.0)], 0.5),
            (0.25, &[(-1.0, 2.0), (2.0, 4.0), (inf, 4.0)], -1.0),
            (1.0, &[(1.0, 2.0), (2.0, 4.0), (inf, 5.0)], 2.0),
            (0.5, &[(2.0, 4.0), (1.0, 2.0), (inf, 4.0)], 1.0),
            (0.5, &[(1.0, 1.0), (1.0, 1.0), (inf, 4.0)], 1.0),
            (-0.1, &[(inf, 4.0)], f64::NEG_INFINITY),
            (1.1, &[(inf, 4.0)], inf),
        ] {
            let (value, forced) = bucket_quantile(q, &mut classic(buckets));
            assert_eq!((value, forced), (want, None), "{q} of {buckets:?}");
        }
        for buckets in [&[(1.0, 2.0)][..], &[(inf, 2.0)], &[(1.0, 0.0), (inf, 0.0)], &[]] {
            assert!(bucket_quantile(0.5, &mut classic(buckets)).0.is_nan(), "{buckets:?}");
        }
    }

    #[test]
    fn counts_that_fall_are_lifted() {
        let mut buckets = classic(&[(1.0, 10.0), (2.0, 8.0), (3.0, 7.0), (f64::INFINITY, 20.0)]);
        let (value, forced) = bucket_quantile(0.75, &mut buckets);
        assert_eq!(value, 3.0);
        assert_eq!(forced, Some(ForcedMonotonic { min_bucket: 2.0, max_bucket: 3.0, max_diff: 3.0 }));
        // A difference in the last digits is not a fall.
        let mut buckets = classic(&[(1.0, 1e15), (2.0, 1e15 - 1.0), (f64::INFINITY, 2e15)]);
        assert_eq!(bucket_quantile(0.75, &mut buckets).1, None);
    }

    #[test]
    fn fractions_of_classic_histograms() {
        let inf = f64::INFINITY;
        let buckets = [(1.0, 2.0), (2.0, 4.0), (inf, 8.0)];
        for (lower, upper, want) in
            [(0.0, 1.0, 0.25), (0.5, 1.5, 0.25), (-inf, inf, 1.0), (3.0, inf, 0.5), (2.0, 1.0, 0.0)]
        {
            assert_eq!(bucket_fraction(lower, upper, &mut classic(&buckets)), want, "{lower} to {upper}");
        }
        assert!(bucket_fraction(0.0, 1.0, &mut classic(&[(1.0, 2.0)])).is_nan());
    }

    fn native() -> FloatHistogram {
        let span = ferula_model::Span { offset: 1, length: 2 };
        FloatHistogram {
            count: 12.0,
            sum: 100.0,
            zero_threshold: 0.5,
            zero_count: 4.0,
            positive_spans: vec![span],
            positive_buckets: vec![4.0, 4.0],
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn quantiles_of_native_histograms() {
        // (1,2] and (2,4] hold four each, the zero bucket four between 0 and 0.5.
        for (q, want) in
            [(0.0, 0.0), (1.0 / 6.0, 0.25), (0.5, 2f64.sqrt()), (1.0, 4.0), (5.0 / 6.0, 8f64.sqrt())]
        {
            let (value, cause) = histogram_quantile(q, &native());
            assert!((value - want).abs() < 1e-12 && cause.is_none(), "{q}: {value}");
        }
        assert!(histogram_quantile(0.5, &FloatHistogram::default()).0.is_nan());
        let with_nans = FloatHistogram { sum: f64::NAN, count: 20.0, ..native() };
        let (value, cause) = histogram_quantile(0.9, &with_nans);
        assert!(value.is_nan() && cause == Some(NanCause::Result));
        assert_eq!(histogram_quantile(0.1, &with_nans).1, Some(NanCause::Skew));
    }

    #[test]
    fn fractions_and_variance_of_native_histograms() {
        assert_eq!(histogram_fraction(0.0, 2.0, &native()), (8.0 / 12.0, false));
        assert_eq!(histogram_fraction(f64::NEG_INFINITY, f64::INFINITY, &native()), (1.0, false));
        let with_nans = FloatHistogram { sum: f64::NAN, count: 20.0, ..native() };
        assert_eq!(histogram_fraction(0.0, 2.0, &with_nans), (8.0 / 20.0, true));
        let one_place = FloatHistogram {
            count: 4.0,
            sum: 4.0 * 2f64.sqrt(),
            positive_spans: vec![ferula_model::Span { offset: 1, length: 1 }],
            positive_buckets: vec![4.0],
            ..FloatHistogram::default()
        };
        assert!(histogram_variance(&one_place).abs() < 1e-15);
    }
}
