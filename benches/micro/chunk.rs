//! Chunks: nanoseconds per sample to append and to decode, for typical kinds of series.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ferula_chunk::{Columns, Xor2Chunk, XorChunk, XorIter, decode_xor, decode_xor2};

const SAMPLES: usize = 120;

/// A splitmix64: small, and the same numbers every time.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn series(kind: &str) -> Vec<(i64, f64)> {
    let (mut state, mut value) = (7, 1e6);
    (0..SAMPLES as i64)
        .map(|i| {
            let number = random(&mut state);
            let jitter = if kind == "counter-jitter" { (number >> 32) as i64 % 20 } else { 0 };
            value = match kind {
                "constant" => value,
                "gauge" => f64::from((number % 10_000) as u32) / 100.0,
                _ => value + f64::from((number % 1000) as u32),
            };
            (1_700_000_000_000 + i * 15_000 + jitter, value)
        })
        .collect()
}

fn chunk(criterion: &mut Criterion) {
    for kind in ["counter", "counter-jitter", "gauge", "constant"] {
        let samples = series(kind);
        let mut group = criterion.benchmark_group(format!("chunk/{kind}"));
        group.throughput(Throughput::Elements(SAMPLES as u64));
        let mut xor = XorChunk::new();
        let mut xor2 = Xor2Chunk::new();
        for (t, v) in &samples {
            xor.push(*t, *v);
            xor2.push(0, *t, *v);
        }
        let (xor, xor2) = (xor.to_bytes(), xor2.to_bytes());
        let mut columns = Columns::default();
        group.bench_function("xor-decode", |bench| {
            bench.iter(|| {
                columns.clear();
                decode_xor(black_box(&xor), u16::MAX, &mut columns).expect("a chunk just written")
            });
        });
        group.bench_function("xor-iterate", |bench| {
            bench.iter(|| XorIter::new(black_box(&xor)).expect("a chunk").map_while(Result::ok).count());
        });
        group.bench_function("xor2-decode", |bench| {
            bench.iter(|| {
                columns.clear();
                decode_xor2(black_box(&xor2), u16::MAX, &mut columns).expect("a chunk just written")
            });
        });
        group.bench_function("xor-append", |bench| {
            bench.iter(|| {
                let mut chunk = XorChunk::new();
                black_box(&samples).iter().for_each(|(t, v)| chunk.push(*t, *v));
                chunk.byte_len()
            });
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = chunk
}
criterion_main!(benches);
