//! Sample values: the two NaNs with a special meaning, and how the HTTP API prints a value.
//!
//! Any other NaN is an ordinary value whose bits are preserved.

use ferula_go::float::{format_e, format_f};

/// Bits of the staleness marker: "this series ended here". Always compared by bits.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Bits of the NaN that exposition parsers and PromQL produce.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// The staleness marker as a value.
pub const STALE_NAN: f64 = f64::from_bits(STALE_NAN_BITS);

/// The ordinary NaN as a value.
pub const NORMAL_NAN: f64 = f64::from_bits(NORMAL_NAN_BITS);

/// Whether `v` is the staleness marker, by bits.
#[inline]
pub fn is_stale(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}

/// A sample value as the HTTP API prints it: exponent form below 1e-6 and from 1e21.
pub fn format_api(v: f64) -> String {
    let magnitude = v.abs();
    if magnitude != 0.0 && magnitude.is_finite() && !(1e-6..1e21).contains(&magnitude) {
        format_e(v)
    } else {
        format_f(v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn very_small_and_very_large_values_have_an_exponent() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1e6, "1000000"),
            (1e-6, "0.000001"),
            (-1e-7, "-1e-07"),
            (9.99e20, "999000000000000000000"),
            (1e21, "1e+21"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(format_api(value), text);
        }
    }
}
