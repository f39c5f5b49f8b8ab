//! Merging sources: order, overlaps, tombstones.

use proptest::prelude::*;

use super::*;
use crate::block::Interval;

fn float(timestamp: i64, value: f64) -> Sample {
    Sample { start: 0, timestamp, value: SampleValue::Float(value) }
}

fn encode(samples: &[Sample], samples_max: u16) -> Vec<BlockChunk> {
    let mut encoder = SampleEncoder::new(EncodeOptions { samples_max, ..EncodeOptions::default() });
    samples.iter().for_each(|sample| encoder.push(sample));
    encoder.finish()
}

fn samples(chunks: &[BlockChunk]) -> Vec<Sample> {
    let of = |chunk: &BlockChunk| {
        let samples: Vec<_> =
            SampleIter::new(chunk.encoding, &chunk.data).unwrap().map(|sample| sample.unwrap()).collect();
        assert_eq!(samples.first().map(|s| s.timestamp), Some(chunk.min_time));
        assert_eq!(samples.last().map(|s| s.timestamp), Some(chunk.max_time));
        samples
    };
    chunks.iter().flat_map(of).collect()
}

fn times() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::btree_set(0i64..300, 0..80).prop_map(|set| set.into_iter().collect())
}

proptest! {
    #[test]
    fn merged_chunks_have_unique_timestamps_and_do_not_overlap(
        sources in prop::collection::vec(times(), 1..5),
        samples_max in 1u16..30,
    ) {
        // The value equals the timestamp, so it is correct whichever of several samples is kept.
        let chunks: Vec<_> = sources
            .iter()
            .map(|times| encode(&times.iter().map(|t| float(*t, *t as f64 / 3.0)).collect::<Vec<_>>(), samples_max))
            .collect();
        let merged = merge(chunks, EncodeOptions::default()).unwrap();
        prop_assert!(merged.windows(2).all(|pair| pair[0].max_time < pair[1].min_time));
        let mut expected: Vec<i64> = sources.concat();
        expected.sort_unstable();
        expected.dedup();
        let expected: Vec<_> = expected.into_iter().map(|t| float(t, t as f64 / 3.0)).collect();
        prop_assert_eq!(samples(&merged), expected);
    }

    #[test]
    fn visible_samples_are_neither_deleted_nor_out_of_range(
        times in times(),
        deleted in prop::collection::vec((0i64..300, 0i64..50), 0..4),
        (min, len) in (-10i64..200, 0i64..300),
    ) {
        let deleted: Intervals =
            deleted.into_iter().map(|(min, len)| Interval { min, max: min + len }).collect();
        let all: Vec<_> = times.iter().map(|t| float(*t, 1.0)).collect();
        let mut chunks = encode(&all, 7);
        visible(&mut chunks, &deleted, TimeSpan::closed(min, min + len)).unwrap();
        let seen = |sample: &Sample| {
            let t = sample.timestamp;
            min <= t && t <= min + len && !deleted.contains(t)
        };
        prop_assert_eq!(samples(&chunks), all.into_iter().filter(seen).collect::<Vec<_>>());
    }

    #[test]
    fn joining_changes_no_sample(times in times(), cut in 1u16..40, samples_max in 121u16..200, bytes_max in 50usize..400) {
        let all: Vec<_> = times.iter().map(|t| float(*t, 0.1 * *t as f64)).collect();
        let options =
            BlockOptions { chunk_samples_max: samples_max, chunk_bytes_max: bytes_max, ..BlockOptions::default() };
        let joined = join(encode(&all, cut), &options).unwrap();
        prop_assert!(joined.iter().all(|c| c.sample_count() <= samples_max.max(cut)));
        prop_assert_eq!(samples(&joined), all);
    }
}

#[test]
fn short_chunks_are_joined_and_long_ones_copied() {
    let all: Vec<_> = (0..960).map(|i| float(i * 15, i as f64)).collect();
    let counts = |chunks: &[BlockChunk]| chunks.iter().map(BlockChunk::sample_count).collect::<Vec<_>>();
    let options = BlockOptions::default();
    let joined = join(encode(&all, 120), &options).unwrap();
    assert_eq!(counts(&joined), [480, 480]);
    let again = join(joined.clone(), &options).unwrap();
    assert!(joined.iter().zip(&again).all(|(a, b)| is_same(a, b)));
    let as_cut = BlockOptions { chunk_samples_max: 120, ..options };
    assert_eq!(counts(&join(encode(&all[..120], 30), &as_cut).unwrap()), [30, 30, 30, 30]);
}

#[test]
fn of_identical_chunks_one_is_kept_unchanged() {
    let all: Vec<_> = (0..40).map(|i| float(i, 1.0)).collect();
    let chunks = encode(&all, 20);
    let merged =
        merge(vec![chunks.clone(), chunks.clone(), chunks.clone()], EncodeOptions::default()).unwrap();
    assert!(merged.len() == 2 && merged.iter().zip(&chunks).all(|(a, b)| is_same(a, b)));
}

#[test]
fn of_samples_of_different_types_with_the_same_timestamp_one_is_kept() {
    let histogram = |t| Sample {
        start: 0,
        timestamp: t,
        value: SampleValue::Histogram(Box::new(ferula_model::Histogram { count: 3, ..Default::default() })),
    };
    let floats: Vec<_> = (0..10).map(|t| float(2 * t, 1.0)).collect();
    let histograms: Vec<_> = (0..10).map(|t| histogram(3 * t)).collect();
    let merged =
        merge(vec![encode(&floats, 100), encode(&histograms, 100)], EncodeOptions::default()).unwrap();
    let times: Vec<_> = samples(&merged).iter().map(|sample| sample.timestamp).collect();
    let expected: Vec<_> = (0..28).filter(|t| t % 3 == 0 || (t % 2 == 0 && *t < 20)).collect();
    assert_eq!(times, expected);
}
