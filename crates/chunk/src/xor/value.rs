//! One float as the XOR with the one before it.
//!
//! ```text
//! 0                                     the same bits
//! 10 + bits of the window before        fits the window before
//! 11 + 5 bits leading + 6 bits width (0 means 64) + bits
//! ```

use crate::bits::{BitAccumulator, BitReader, BitSink, Corrupt};

/// Which bits of the XOR were written last: all but `leading` zeros above and `trailing` zeros below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// At most 31; [`Window::NONE`] has a value no chunk has.
    leading: u8,
    trailing: u8,
}

impl Window {
    /// Before the first window was written.
    pub const NONE: Window = Window { leading: 0xff, trailing: 0 };
    /// The window that a reader starts with: the whole width.
    pub const WHOLE: Window = Window { leading: 0, trailing: 0 };

    /// The smallest window of `delta`, which is not 0.
    pub fn of(delta: u64) -> Self {
        Window { leading: delta.leading_zeros().min(31) as u8, trailing: delta.trailing_zeros() as u8 }
    }

    /// Leading and trailing zeros, for [`from_parts`](Self::from_parts).
    pub fn parts(self) -> (u8, u8) {
        (self.leading, self.trailing)
    }

    /// The window with these zeros; `None` when there is none.
    pub fn from_parts(leading: u8, trailing: u8) -> Option<Self> {
        let window = Window { leading, trailing };
        (window == Window::NONE || (leading <= 31 && leading + trailing.min(64) < 64)).then_some(window)
    }

    /// Bits in the window.
    #[inline]
    pub fn width(self) -> u8 {
        64 - self.leading - self.trailing
    }

    /// Whether what fits `inner` can be written in this window.
    pub fn covers(self, inner: Window) -> bool {
        self.leading != 0xff && inner.leading >= self.leading && inner.trailing >= self.trailing
    }

    /// How far the bits are shifted.
    #[inline]
    pub fn trailing(self) -> u8 {
        self.trailing
    }

    /// Appends 5 bits of leading zeros, 6 bits of width and the bits themselves.
    pub fn put<S: BitSink>(self, out: &mut BitAccumulator, sink: &mut S, delta: u64) {
        let width = self.width();
        out.put(sink, u64::from(self.leading) << 6 | u64::from(width & 63), 11);
        out.put_wide(sink, delta >> self.trailing, width);
    }

    /// Reads what [`put`](Self::put) wrote; the bits are shifted to their place.
    pub fn read(&mut self, from: &mut BitReader<'_>) -> Result<u64, Corrupt> {
        *self = Window::from_header(from.read(11)?)
            .ok_or_else(|| from.corrupt("a value of more than 64 bits"))?;
        self.read_bits(from)
    }

    /// The window that the 11 bits before the value describe.
    #[inline]
    pub fn from_header(header: u64) -> Option<Window> {
        let leading = (header >> 6) as u8 & 31;
        let width = match header as u8 & 63 {
            0 => 64,
            width => width,
        };
        let trailing = 64u8.checked_sub(leading + width)?;
        Some(Window { leading, trailing })
    }

    /// Reads bits in this window; they are shifted to their place.
    #[inline]
    pub fn read_bits(self, from: &mut BitReader<'_>) -> Result<u64, Corrupt> {
        Ok(from.read(self.width())? << self.trailing)
    }

    /// Appends `new` as the XOR with `old`.
    #[inline]
    pub fn put_xor<S: BitSink>(&mut self, out: &mut BitAccumulator, sink: &mut S, new: f64, old: f64) {
        let delta = new.to_bits() ^ old.to_bits();
        if delta == 0 {
            out.put(sink, 0, 1);
            return;
        }
        let needed = Window::of(delta);
        if self.covers(needed) {
            out.put(sink, 0b10, 2);
            out.put_wide(sink, delta >> self.trailing, self.width());
        } else {
            *self = needed;
            out.put(sink, 0b11, 2);
            needed.put(out, sink, delta);
        }
    }

    /// Reads the float after `old`.
    #[inline]
    pub fn read_xor(&mut self, from: &mut BitReader<'_>, old: f64) -> Result<f64, Corrupt> {
        if !from.read_bit()? {
            return Ok(old);
        }
        let delta = if from.read_bit()? { self.read(from)? } else { self.read_bits(from)? };
        Ok(f64::from_bits(old.to_bits() ^ delta))
    }
}
