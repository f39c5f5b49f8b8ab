//! Series of a request in the shape that all known senders write, read without the general reader.
//!
//! The shape: all labels, each shorter than 128 bytes, then samples, each of its value and its time. Nothing here produces an error:
//! a message of any other shape is left to the general reader (`message`), which accepts the same ones and more.

/// First bytes of a label and of a sample: field and wire type.
const LABEL: u8 = 0x0a;
const SAMPLE: u8 = 0x12;
/// First bytes of the value and of the time of a sample.
const VALUE: u8 = 0x09;
const TIME: u8 = 0x10;

/// Where the labels of a series end; `None` if it is not in the plain shape.
#[inline]
pub(super) fn labels_end(message: &[u8]) -> Option<usize> {
    let labels_end = skip(message, 0, LABEL)?;
    (labels_end > 0 && skip(message, labels_end, SAMPLE)? == message.len()).then_some(labels_end)
}

/// The position behind all short fields from `at` on that begin with `tag`; `None` if one of them is long or cut off.
#[inline]
fn skip(message: &[u8], mut at: usize, tag: u8) -> Option<usize> {
    while message.get(at) == Some(&tag) {
        let length = *message.get(at + 1)?;
        if length >= 0x80 {
            return None;
        }
        at += 2 + usize::from(length);
    }
    (at <= message.len()).then_some(at)
}

/// The first of several samples, whose fields `labels_end` has checked, and the rest.
#[inline]
pub(super) fn split_sample(samples: &[u8]) -> Option<(&[u8], &[u8])> {
    let [SAMPLE, length, rest @ ..] = samples else { return None };
    rest.split_at_checked(usize::from(*length))
}

/// Value and time of a sample; `None` if it is not in the plain shape. As everywhere in protobuf, a value of 0 may be missing.
#[inline]
pub(super) fn sample(message: &[u8]) -> Option<(f64, i64)> {
    let (value, rest) = match message {
        [VALUE, rest @ ..] => {
            let (bits, rest) = rest.split_first_chunk()?;
            (f64::from_le_bytes(*bits), rest)
        }
        _ => (0.0, message),
    };
    let [TIME, digits @ ..] = rest else { return None };
    let mut time = 0u64;
    for (index, byte) in digits.iter().take(9).enumerate() {
        time |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return (index + 1 == digits.len()).then_some((value, time as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::message::{self, TimeSeries};
    use super::*;
    use crate::protobuf::{put_bytes, put_double, put_varint};

    /// A field of a series as senders write it, or a stranger one.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        let label = ("[a-c]{0,3}", "[x-z]{0,140}").prop_map(|(name, value)| {
            let (mut label, mut out) = (Vec::new(), Vec::new());
            put_bytes(&mut label, 1, name.as_bytes());
            put_bytes(&mut label, 2, value.as_bytes());
            put_bytes(&mut out, 1, &label);
            out
        });
        let sample = (any::<bool>(), any::<f64>(), any::<i64>(), any::<bool>()).prop_map(
            |(valued, value, time, timed)| {
                let (mut sample, mut out) = (Vec::new(), Vec::new());
                if valued {
                    put_double(&mut sample, 1, value);
                }
                if timed {
                    put_varint(&mut sample, 2, time as u64);
                }
                put_bytes(&mut out, 2, &sample);
                out
            },
        );
        let odd = prop::collection::vec(any::<u8>(), 0..6);
        // Tags in more bytes than necessary.
        let long_tag = Just(vec![0x8a, 0x00, 0x03, 0x0a, 0x01, b'q']);
        prop_oneof![6 => label, 6 => sample, 1 => odd, 1 => long_tag]
    }

    proptest! {
        /// What the plain reader accepts, the general one reads in the same way.
        #[test]
        fn plain_series_are_read_as_by_the_general_reader(
            fields in prop::collection::vec(field(), 0..8),
            sorted: bool,
        ) {
            let mut fields = fields;
            if sorted {
                fields.sort_by_key(|field| field.first().copied());
            }
            let message = fields.concat();
            let series = TimeSeries::new(&message);
            if let Some(end) = labels_end(&message) {
                prop_assert_eq!(series.label_bytes(), Ok(Some(&message[..end])));
                let mut rest = &message[end..];
                prop_assert_eq!(series.has_samples(), Ok(!rest.is_empty()));
                while let Some((one, after)) = split_sample(rest) {
                    if let Some((value, time)) = sample(one) {
                        let (times, general) = message::sample(one).expect("it is well formed");
                        prop_assert_eq!((times.at, times.start, general.to_bits()), (time, 0, value.to_bits()));
                    }
                    rest = after;
                }
                prop_assert!(rest.is_empty());
            }
        }
    }

    #[test]
    fn what_senders_write_is_plain() {
        let mut message = vec![LABEL, 4, 0x0a, 2, b'u', b'p'];
        for (value, time) in [(1.5, 1_700_000_000_000i64), (0.0, 0), (-1.0, i64::MAX)] {
            let mut one = Vec::new();
            put_double(&mut one, 1, value);
            put_varint(&mut one, 2, time as u64);
            assert_eq!(sample(&one), Some((value, time)));
            put_bytes(&mut message, 2, &one);
        }
        assert_eq!(labels_end(&message), Some(6));
        assert_eq!(sample(&[TIME, 7]), Some((0.0, 7)), "a missing value is 0");
        // Labels behind samples, exemplars, no labels, a field that is cut off.
        let behind = [&message[..], &message[..6]].concat();
        assert_eq!(labels_end(&behind), None);
        assert_eq!(labels_end(&[&message[..], &[0x1a, 0]].concat()), None);
        assert_eq!(labels_end(&message[6..]), None);
        assert_eq!(labels_end(&message[..message.len() - 1]), None);
    }
}
