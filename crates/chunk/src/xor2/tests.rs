//! XOR2 chunks: values, start timestamps and markers are returned bit for bit.

use ferula_model::value::STALE_NAN;
use proptest::prelude::*;

use super::*;
use crate::columns::Columns;

type Sample = (i64, i64, f64);

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let shifted = || (any::<i64>(), 0u32..64).prop_map(|(v, shift)| v >> shift);
    let any_bits =
        prop::collection::vec((shifted(), shifted(), any::<u64>().prop_map(f64::from_bits)), 0..40);
    // Regular series with a few gaps of staleness; start timestamps absent, constant, or changing at some point.
    let regular = (any::<i32>(), 0u8..4, prop::collection::vec((0i64..3, 0u32..6), 0..300)).prop_map(
        |(t0, starts, steps)| {
            let (mut t, mut v, mut start) = (i64::from(t0), 0.0, i64::from(t0) - 10);
            let mut samples = Vec::new();
            for (index, (jitter, step)) in steps.into_iter().enumerate() {
                t += 15_000 + jitter / 2;
                v += f64::from(step / 4);
                if starts == 3 && index % 7 == 5 {
                    start = t - 1;
                }
                let start = if starts == 0 || (starts == 1 && index < 50) { 0 } else { start };
                samples.push((start, t, if step == 5 { STALE_NAN } else { v }));
            }
            samples
        },
    );
    prop_oneof![regular, any_bits]
}

fn chunk_of(samples: &[Sample]) -> Vec<u8> {
    let mut chunk = Xor2Chunk::new();
    samples.iter().for_each(|(start, t, v)| chunk.push(*start, *t, *v));
    chunk.to_bytes()
}

fn bits(samples: &[Sample]) -> Vec<(i64, i64, u64)> {
    samples.iter().map(|(start, t, v)| (*start, *t, v.to_bits())).collect()
}

proptest! {
    #[test]
    fn a_chunk_returns_what_was_appended(samples in samples()) {
        let data = chunk_of(&samples);
        let back: Result<Vec<_>, _> = Xor2Iter::new(&data).unwrap().collect();
        prop_assert_eq!(bits(&back.unwrap()), bits(&samples));
        let mut out = Columns::default();
        prop_assert_eq!(decode_xor2(&data, u16::MAX, &mut out), Ok(samples.len()));
        prop_assert_eq!(&out.timestamps, &samples.iter().map(|s| s.1).collect::<Vec<_>>());
        if out.start_timestamps.is_empty() {
            prop_assert!(samples.iter().all(|s| s.0 == 0));
        } else {
            prop_assert_eq!(&out.start_timestamps, &samples.iter().map(|s| s.0).collect::<Vec<_>>());
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(data in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut out = Columns::default();
        if decode_xor2(&data, u16::MAX, &mut out).is_err() {
            prop_assert!(out.is_empty());
        }
    }

    #[test]
    fn a_chunk_can_be_resumed_at_any_sample(samples in samples(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(samples.len() + 1);
        let mut payload = Vec::new();
        let mut writer = Xor2Writer::resume(&chunk_of(&samples[..cut]), &mut payload).unwrap();
        samples[cut..].iter().for_each(|(start, t, v)| writer.push(&mut payload, *start, *t, *v));
        let mut data = Vec::new();
        writer.write_chunk([&payload[..]], &mut data);
        prop_assert_eq!(data, chunk_of(&samples));
    }
}

#[test]
fn a_cut_chunk_is_refused() {
    let samples: Vec<_> = (0..50).map(|i| (7, i * 15_000 + i % 3, i as f64 * 0.7)).collect();
    let data = chunk_of(&samples);
    for len in 0..data.len() - 1 {
        assert!(decode_xor2(&data[..len], u16::MAX, &mut Columns::default()).is_err(), "{len}");
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    // As in an XOR chunk up to the delta; then one bit: same value; then one bit: same delta and value; then
    // 11111 for a staleness marker; then one bit for the value before it.
    assert_eq!(
        chunk_of(&[(0, 1, 1.0), (0, 2, 1.0), (0, 3, 1.0), (0, 4, STALE_NAN), (0, 5, 1.0)]),
        [0, 5, 0, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 1, 0b0011_1110]
    );
    // The first start is 1 - (-1) = 2, zig-zag 4; it never changes.
    assert_eq!(chunk_of(&[(-1, 1, 1.0)]), [0, 1, 0x80, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 4]);
}
