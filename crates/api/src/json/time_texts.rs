//! The times of a result's points as text. All series of a range query have the times of one grid, so each time is
//! formatted once and then copied.

use super::number::push_timestamp;

/// More times than a range query can have are formatted for each point.
const KEPT_MAX: usize = 12_000;

/// `[time,"`, all that comes before the value of a point, and how long it is. Copies of a fixed length take no call.
#[derive(Clone, Copy)]
struct Text([u8; 32], u8);

/// Texts of rising times.
#[derive(Default)]
pub struct TimeTexts {
    times: Vec<i64>,
    texts: Vec<Text>,
}

impl TimeTexts {
    /// Appends `[time,"`. `next` is where the time probably is: 0 for the first point of a series, and then what the last
    /// call left there.
    #[inline]
    pub fn push(&mut self, out: &mut Vec<u8>, millis: i64, next: &mut usize) {
        // Series may leave times out.
        while self.times.get(*next).is_some_and(|known| *known < millis) {
            *next += 1;
        }
        if self.times.get(*next) == Some(&millis) {
            let Text(bytes, length) = self.texts[*next];
            let end = out.len() + usize::from(length);
            out.extend_from_slice(&bytes);
            out.truncate(end);
            *next += 1;
            return;
        }
        let from = out.len();
        out.push(b'[');
        push_timestamp(out, millis);
        out.extend_from_slice(b",\"");
        if *next == self.times.len() && *next < KEPT_MAX {
            let text = &out[from..];
            let mut bytes = [0; 32];
            bytes[..text.len()].copy_from_slice(text);
            self.times.push(millis);
            self.texts.push(Text(bytes, text.len() as u8));
            *next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_those_of_each_time_by_itself(
            series in proptest::collection::vec(proptest::collection::vec(-3i64..40, 0..30), 0..6),
            step in prop_oneof![Just(1i64), Just(15_000), Just(i64::MAX / 50)],
            sorted in proptest::bool::weighted(0.8),
        ) {
            let mut texts = TimeTexts::default();
            for mut times in series {
                if sorted {
                    times.sort_unstable();
                    times.dedup();
                }
                let mut next = 0;
                for time in times {
                    let (mut out, mut plain) = (b"before".to_vec(), b"before[".to_vec());
                    texts.push(&mut out, time * step, &mut next);
                    push_timestamp(&mut plain, time * step);
                    plain.extend_from_slice(b",\"");
                    prop_assert_eq!(out, plain);
                }
            }
        }
    }
}
