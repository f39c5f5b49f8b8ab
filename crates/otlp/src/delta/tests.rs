//! Streams of deltas, and their sums.

use proptest::prelude::*;

use super::*;
use crate::point::Buckets;
use crate::point::Common;

fn common<'a>(start: u64, time: u64) -> Common<'a> {
    let mut common = Common::default();
    (common.start, common.time) = (start, time);
    common
}

fn number(deltas: &mut Deltas, start: u64, time: u64, value: i64) -> Option<(u64, Number)> {
    let mut point = NumberPoint { common: common(start, time), value: Number::Int(value) };
    deltas.number(7, &mut point).then_some((point.common.start, point.value))
}

#[test]
fn a_stream_adds_up_from_its_first_point_and_leaves_out_what_is_older() {
    let mut deltas = Deltas::new();
    assert_eq!(number(&mut deltas, 10, 20, 3), Some((10, Number::Int(3))));
    assert_eq!(number(&mut deltas, 20, 30, 4), Some((10, Number::Int(7))));
    assert_eq!(number(&mut deltas, 20, 30, 4), None, "the same again");
    assert_eq!(number(&mut deltas, 5, 40, 4), None, "of an older life");
    assert_eq!(number(&mut deltas, 30, 40, 1), Some((10, Number::Int(8))));
}

#[test]
fn a_stream_without_points_for_long_begins_anew() {
    let mut deltas = Deltas::new();
    number(&mut deltas, 10, 20, 3);
    deltas.advance(STALE_AFTER);
    assert_eq!(number(&mut deltas, 20, 30, 4), Some((10, Number::Int(7))));
    deltas.advance(STALE_AFTER * 2 + Duration::from_secs(61));
    assert_eq!(number(&mut deltas, 40, 50, 4), Some((40, Number::Int(4))));
}

#[test]
fn histograms_with_other_bounds_begin_anew() {
    let mut deltas = Deltas::new();
    let mut add = |time, bounds: &[f64], counts: &[u64]| {
        let mut point = HistogramPoint {
            common: common(1, time),
            count: counts.iter().sum(),
            sum: Some(1.5),
            bucket_counts: counts.to_vec(),
            explicit_bounds: bounds.to_vec(),
        };
        assert!(deltas.histogram(1, &mut point));
        (point.count, point.sum, point.bucket_counts)
    };
    assert_eq!(add(2, &[1.0], &[1, 2]), (3, Some(1.5), vec![1, 2]));
    assert_eq!(add(3, &[1.0], &[0, 5]), (8, Some(3.0), vec![1, 7]));
    assert_eq!(add(4, &[2.0], &[4, 4]), (8, Some(1.5), vec![4, 4]));
}

fn buckets() -> impl Strategy<Value = Buckets> {
    (-300i32..300, proptest::collection::vec(0u64..4, 0..120))
        .prop_map(|(offset, counts)| Buckets { offset, counts })
}

fn points() -> impl Strategy<Value = Vec<(i32, Buckets)>> {
    proptest::collection::vec((-2i32..9, buckets()), 1..6)
}

proptest! {
    /// However coarse the sum becomes, no observation is lost, and each is in its bucket at the sum's scale.
    #[test]
    fn exponential_sums_have_every_observation_in_its_bucket(points in points()) {
        let mut deltas = Deltas::new();
        let mut last = ExponentialPoint::default();
        for (index, (scale, positive)) in points.iter().enumerate() {
            let mut point = ExponentialPoint {
                common: common(1, index as u64 + 2),
                count: positive.counts.iter().sum(),
                scale: *scale,
                positive: positive.clone(),
                ..ExponentialPoint::default()
            };
            prop_assert!(deltas.exponential(1, &mut point));
            last = point;
        }
        let mut want = std::collections::BTreeMap::<i64, u64>::new();
        for (scale, positive) in &points {
            prop_assert!(last.scale <= *scale);
            let steps = (scale - last.scale) as u32;
            for (index, count) in positive.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                *want.entry((i64::from(positive.offset) + index as i64) >> steps.min(62)).or_default() += count;
            }
        }
        let filled = last.positive.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let got: std::collections::BTreeMap<i64, u64> =
            filled.map(|(index, count)| (i64::from(last.positive.offset) + index as i64, *count)).collect();
        prop_assert_eq!(got, want);
        prop_assert_eq!(last.count, points.iter().flat_map(|(_, buckets)| &buckets.counts).sum::<u64>());
        prop_assert!(points.len() == 1 || last.positive.counts.len() <= 160);
    }
}
