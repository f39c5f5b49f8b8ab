//! The two NaNs with a meaning of their own. Everywhere else a NaN is an ordinary value whose bits are kept.

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
