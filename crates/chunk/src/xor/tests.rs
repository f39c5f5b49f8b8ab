//! XOR chunks: their bytes are those that Prometheus writes, and their samples are returned bit for bit.

use proptest::prelude::*;

use super::*;
use crate::columns::Columns;

/// Timestamps and values as real series have them, and as none should: in any order, with any bits.
fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let regular =
        (any::<i32>(), prop::collection::vec((0i64..3, 0u32..5), 0..300)).prop_map(|(t0, steps)| {
            let (mut t, mut v) = (i64::from(t0), 0.0);
            steps
                .into_iter()
                .map(|(jitter, step)| {
                    t += 15_000 + jitter / 2;
                    v += f64::from(step / 3);
                    (t, v)
                })
                .collect()
        });
    let shifted = (any::<i64>(), 0u32..64).prop_map(|(v, shift)| v >> shift);
    let any_bits = prop::collection::vec((shifted, any::<u64>().prop_map(f64::from_bits)), 0..60);
    let decimals =
        prop::collection::vec((0i64..1 << 40, any::<i16>().prop_map(|v| f64::from(v) / 100.0)), 0..60);
    prop_oneof![regular, any_bits, decimals]
}

fn chunk_of(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut chunk = XorChunk::new();
    samples.iter().for_each(|(t, v)| chunk.push(*t, *v));
    chunk.to_bytes()
}

fn bits(samples: impl IntoIterator<Item = (i64, f64)>) -> Vec<(i64, u64)> {
    samples.into_iter().map(|(t, v)| (t, v.to_bits())).collect()
}

fn columns(columns: &Columns) -> Vec<(i64, u64)> {
    bits(columns.timestamps.iter().copied().zip(columns.values.iter().copied()))
}

proptest! {
    #[test]
    fn a_chunk_returns_what_was_appended(samples in samples()) {
        let data = chunk_of(&samples);
        let back: Result<Vec<_>, _> = XorIter::new(&data).unwrap().collect();
        prop_assert_eq!(bits(back.unwrap()), bits(samples.clone()));
        let mut out = Columns::default();
        prop_assert_eq!(decode_xor(&data, u16::MAX, &mut out), Ok(samples.len()));
        prop_assert_eq!(columns(&out), bits(samples));
    }

    #[test]
    fn a_limit_gives_the_first_samples(samples in samples(), limit in 0u16..80) {
        let mut out = Columns::default();
        let count = decode_xor(&chunk_of(&samples), limit, &mut out).unwrap();
        prop_assert_eq!(count, samples.len().min(usize::from(limit)));
        prop_assert_eq!(columns(&out), bits(samples[..count].iter().copied()));
    }

    #[test]
    fn the_fast_decoder_agrees_with_the_iterator_on_any_bytes(data in prop::collection::vec(any::<u8>(), 0..200), count in 0u8..40) {
        let mut data = data;
        if data.len() > 2 {
            (data[0], data[1]) = (0, count);
        }
        let slow: Result<Vec<_>, _> = XorIter::new(&data).and_then(|iter| iter.collect());
        let mut out = Columns::default();
        match (slow, decode_xor(&data, u16::MAX, &mut out)) {
            (Ok(samples), Ok(_)) => prop_assert_eq!(columns(&out), bits(samples)),
            (Err(_), Err(_)) => prop_assert!(out.is_empty()),
            (slow, fast) => prop_assert!(false, "iterator {slow:?}, columns {fast:?}"),
        }
    }

    #[test]
    fn a_chunk_can_be_resumed_at_any_sample(samples in samples(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(samples.len() + 1);
        let mut payload = Vec::new();
        let mut writer = XorWriter::resume(&chunk_of(&samples[..cut]), &mut payload).unwrap();
        samples[cut..].iter().for_each(|(t, v)| writer.push(&mut payload, *t, *v));
        let mut data = Vec::new();
        writer.write_chunk(payload.chunks(7), &mut data);
        prop_assert_eq!(writer.byte_len(), data.len());
        prop_assert_eq!(data, chunk_of(&samples));
    }

    #[test]
    fn a_chunk_goes_on_from_its_state_at_any_sample(samples in samples(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(samples.len() + 1);
        let mut chunk = XorChunk::new();
        samples[..cut].iter().for_each(|(t, v)| chunk.push(*t, *v));
        let state = XorState::from_bytes(&chunk.writer().state().to_bytes()).expect("its own state");
        let (data, mut payload) = (chunk.to_bytes(), Vec::new());
        let writer = XorWriter::go_on(&data, state, &mut payload);
        prop_assert_eq!(writer.is_ok(), cut > 0, "an empty chunk is none");
        let Ok(mut writer) = writer else { return Ok(()) };
        samples[cut..].iter().for_each(|(t, v)| writer.push(&mut payload, *t, *v));
        let mut data = Vec::new();
        writer.write_chunk([&payload[..]], &mut data);
        prop_assert_eq!(data, chunk_of(&samples));
    }

    #[test]
    fn any_state_is_refused_or_goes_on(data in prop::collection::vec(any::<u8>(), 0..80), state in prop::collection::vec(0u8..70, XorState::BYTES)) {
        let state = XorState::from_bytes(state.first_chunk().expect("as long"));
        if let Some(state) = state
            && let Ok(mut writer) = XorWriter::go_on(&data, state, &mut Vec::new())
            && writer.len() < u16::MAX
        {
            writer.push(&mut Vec::new(), 5, 7.0);
        }
    }
}

#[test]
fn a_cut_chunk_is_refused_and_leaves_the_columns_alone() {
    let samples: Vec<_> = (0..50).map(|i| (i * 15_000 + i % 3, i as f64 * 0.7)).collect();
    let data = chunk_of(&samples);
    let mut out = Columns::default();
    out.push(0, 1, 2.0);
    for len in 0..data.len() - 1 {
        assert!(decode_xor(&data[..len], u16::MAX, &mut out).is_err(), "{len}");
        assert_eq!(out.len(), 1);
    }
}

#[test]
fn the_largest_sample_is_within_its_bound() {
    let mut chunk = XorChunk::new();
    chunk.push(0, 0.0);
    chunk.push(0, 0.0);
    let before = chunk.byte_len();
    chunk.push(i64::MAX / 2, f64::from_bits(u64::MAX));
    assert!(chunk.byte_len() - before <= XorWriter::SAMPLE_BYTES_MAX);
}

/// Bytes from the chunk of a block that Prometheus wrote are in `tests/golden.rs`; this one is small enough to check by hand.
#[test]
fn the_layout_is_the_documented_one() {
    // t0 = 1 (zig-zag 2), v0 = 1.0; delta 1, same value: one 0 bit; same delta, same value: two 0 bits.
    assert_eq!(
        chunk_of(&[(1, 1.0), (2, 1.0), (3, 1.0)]),
        [0, 3, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 1, 0b0000_0000]
    );
}
