//! Chunks: any bytes are read without a panic in every encoding, the fast XOR decoder agrees with the plain one, and
//! floats that were read are unchanged after being written and read again.

use ferula_chunk::{Columns, Encoding, SampleIter, SampleValue, XorChunk, XorIter, decode_xor};

fn main() {
    let mut xor = XorChunk::new();
    (0..40).for_each(|i| xor.push(i * 15_000 + i % 3, (i / 2) as f64 * 0.7));
    let xor = xor.to_bytes();
    ferula_fuzz::drive("chunk", &[&xor, &[0, 3, 0x40, 0, 0b0101_0101, 0xff, 0xff, 0xff]], |input| {
        for encoding in Encoding::ALL {
            let Ok(samples) = SampleIter::new(encoding, input) else { continue };
            for sample in samples.map_while(Result::ok) {
                if let SampleValue::Histogram(h) = &sample.value {
                    let buckets: u64 = h.positive_spans.iter().map(|span| u64::from(span.length)).sum();
                    assert!(buckets == h.positive_buckets.len() as u64 || h.sum.is_nan());
                }
            }
        }
        let mut columns = Columns::default();
        let plain: Result<Vec<_>, _> = XorIter::new(input).and_then(Iterator::collect);
        match (decode_xor(input, u16::MAX, &mut columns), plain) {
            (Err(_), Err(_)) => assert!(columns.is_empty()),
            (Ok(count), Ok(plain)) => {
                assert_eq!(count, plain.len());
                let mut again = XorChunk::new();
                for ((t, v), (plain_t, plain_v)) in columns.timestamps.iter().zip(&columns.values).zip(&plain)
                {
                    assert_eq!((*t, v.to_bits()), (*plain_t, plain_v.to_bits()));
                    again.push(*t, *v);
                }
                let mut back = Columns::default();
                decode_xor(&again.to_bytes(), u16::MAX, &mut back).expect("a chunk just written");
                assert_eq!(back.timestamps, columns.timestamps);
            }
            (fast, plain) => panic!("columns {fast:?}, iterator {:?}", plain.map(|samples| samples.len())),
        }
    });
}
