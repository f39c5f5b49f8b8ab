//! The fast way from an XOR chunk to columns.
//!
//! Each step reads 57 or more bits at once. A run of samples with the same delta and the same value is a run of
//! zero bits, two per sample, so that counting leading zeros decodes all of it in one step.

use crate::bits::{Corrupt, load, low_mask};
use crate::columns::Columns;
use crate::encoding::Encoding;
use crate::varbit::extend;
use crate::xor::{Window, XorIter};

/// Appends the first `limit` samples of the chunk `data` to `out`; fewer when it has fewer. Returns how many.
///
/// # Errors
/// If `data` is not an XOR chunk; nothing was appended then.
pub fn decode_xor(data: &[u8], limit: u16, out: &mut Columns) -> Result<usize, Corrupt> {
    let base = out.len();
    let count = Encoding::Xor.sample_count(data).ok_or(Corrupt { byte: 0, what: "no header" })?.min(limit);
    let count = usize::from(count);
    out.timestamps.resize(base + count, 0);
    out.values.resize(base + count, 0.0);
    match decode_into(data, &mut out.timestamps[base..], &mut out.values[base..]) {
        Ok(()) => {
            if !out.start_timestamps.is_empty() {
                out.start_timestamps.resize(base + count, 0);
            }
            Ok(count)
        }
        Err(corrupt) => {
            out.truncate(base);
            Err(corrupt)
        }
    }
}

/// Fills both slices, which are of the same length, from the start of the chunk.
fn decode_into(data: &[u8], timestamps: &mut [i64], values: &mut [f64]) -> Result<(), Corrupt> {
    let mut early = XorIter::new(data)?;
    for (timestamp, value) in timestamps.iter_mut().zip(values.iter_mut()).take(2) {
        (*timestamp, *value) = early.next().expect("the sample is there by the header")?;
    }
    if timestamps.len() <= 2 {
        return Ok(());
    }
    let (mut at, mut delta, window) = early.state();
    let mut timestamp = timestamps[1];
    let mut floats = Floats { bits: values[1].to_bits(), window };
    let end = data.len() * 8;
    let ends = Corrupt { byte: data.len(), what: "ends within a sample" };
    let mut rest = timestamps[2..].iter_mut().zip(values[2..].iter_mut());
    while rest.len() > 0 {
        let bits = load(data, at);
        if bits >> 62 == 0 {
            let run = ((bits.leading_zeros().min(56) / 2) as usize).min(rest.len());
            at += 2 * run;
            if at > end {
                return Err(ends);
            }
            for (to_timestamp, to_value) in rest.by_ref().take(run) {
                timestamp = timestamp.wrapping_add(delta);
                (*to_timestamp, *to_value) = (timestamp, f64::from_bits(floats.bits));
            }
            continue;
        }
        // The two most common kinds of sample, each in a branch of its own: where the next load begins is then known as soon
        // as the branches are predicted, before the bits of this one are there.
        if bits >> 61 == 0b010 {
            floats.same_window::<1>(data, &mut at, bits);
        } else if bits >> 62 == 0b10 && (bits >> 46) & 0b11 == 0b10 {
            delta = delta.wrapping_add(extend((bits << 2) >> 50, 14));
            floats.same_window::<16>(data, &mut at, bits);
        } else {
            let (change, change_bits) = delta_of_delta(data, at, bits);
            delta = delta.wrapping_add(change);
            at += change_bits;
            floats.next(data, &mut at)?;
        }
        timestamp = timestamp.wrapping_add(delta);
        if at > end {
            return Err(ends);
        }
        if let Some((to_timestamp, to_value)) = rest.next() {
            (*to_timestamp, *to_value) = (timestamp, f64::from_bits(floats.bits));
        }
    }
    Ok(())
}

/// The part of a decoder that reads values.
struct Floats {
    /// The bits of the value before.
    bits: u64,
    window: Window,
}

impl Floats {
    /// Reads a value in the previous window. `bits` are those from bit `at` on: a timestamp of `BEFORE` bits and the two
    /// control bits precede the value. `at` moves to its end.
    #[inline(always)]
    fn same_window<const BEFORE: usize>(&mut self, data: &[u8], at: &mut usize, bits: u64) {
        let width = self.window.width();
        let before = BEFORE + 2;
        let xor = if usize::from(width) <= 57 - before {
            (bits << before) >> (64 - width)
        } else {
            wide(data, *at + before, width)
        };
        self.bits ^= xor << self.window.trailing();
        *at += before + usize::from(width);
    }

    /// Reads the value that begins at bit `at` and moves `at` to its end.
    fn next(&mut self, data: &[u8], at: &mut usize) -> Result<(), Corrupt> {
        let bits = load(data, *at);
        match bits >> 62 {
            0b10 => self.same_window::<0>(data, at, bits),
            0b11 => {
                self.window = Window::from_header((bits >> 51) & low_mask(11))
                    .ok_or(Corrupt { byte: *at / 8, what: "a value of more than 64 bits" })?;
                self.same_window::<11>(data, at, bits);
            }
            _ => *at += 1,
        }
        Ok(())
    }
}

/// The change of the delta that `bits`, loaded from bit `at`, begin with, and how many bits it takes.
#[inline(always)]
fn delta_of_delta(data: &[u8], at: usize, bits: u64) -> (i64, usize) {
    match bits.leading_ones() {
        0 => (0, 1),
        1 => (extend((bits << 2) >> 50, 14), 16),
        2 => (extend((bits << 3) >> 47, 17), 20),
        3 => (extend((bits << 4) >> 44, 20), 24),
        _ => (wide(data, at + 4, 64) as i64, 68),
    }
}

/// The `width` bits from bit `at` on; a load has at least 57 of them.
#[inline(always)]
fn wide(data: &[u8], at: usize, width: u8) -> u64 {
    debug_assert!(width > 0);
    let bits = load(data, at) >> (64 - width);
    if width <= 57 { bits } else { bits & !low_mask(width - 57) | (load(data, at + 57) >> (121 - width)) }
}
