//! Reading an XOR2 chunk.

use ferula_model::value::STALE_NAN;

use crate::bits::{BitReader, Corrupt};
use crate::columns::Columns;
use crate::encoding::Encoding;
use crate::start::StartReader;
use crate::xor::Window;

/// Samples of an XOR2 chunk in order: start timestamp (0 for none), timestamp, value. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Xor2Iter<'a> {
    reader: BitReader<'a>,
    starts: StartReader,
    left: u16,
    index: u16,
    timestamp: i64,
    /// The last value that is not a staleness marker.
    baseline: f64,
    delta: i64,
    window: Window,
}

impl<'a> Xor2Iter<'a> {
    /// An iterator over the chunk `data`, header included.
    ///
    /// # Errors
    /// When `data` is shorter than the header.
    pub fn new(data: &'a [u8]) -> Result<Self, Corrupt> {
        let left = Encoding::Xor2.sample_count(data).ok_or(Corrupt { byte: 0, what: "no header" })?;
        Ok(Xor2Iter {
            reader: BitReader::new(data, Encoding::Xor2.header_bytes()),
            starts: StartReader::new(data[2]),
            left,
            index: 0,
            timestamp: 0,
            baseline: 0.0,
            delta: 0,
            window: Window::WHOLE,
        })
    }

    /// Samples that are left by the header.
    pub fn remaining(&self) -> u16 {
        self.left
    }

    #[inline]
    fn read(&mut self) -> Result<(i64, i64, f64), Corrupt> {
        let previous = self.timestamp;
        let value = match self.index {
            0 => {
                self.timestamp = self.reader.read_varint()?;
                let value = f64::from_bits(self.reader.read(64)?);
                if !ferula_model::value::is_stale(value) {
                    self.baseline = value;
                }
                value
            }
            1 => {
                self.delta = self.reader.read_uvarint()? as i64;
                self.timestamp = previous.wrapping_add(self.delta);
                self.read_value()?
            }
            _ => self.read_joint()?,
        };
        let start = if self.starts.is_absent() {
            0
        } else {
            self.starts.read(&mut self.reader, self.index, (self.timestamp, previous))?
        };
        Ok((start, self.timestamp, value))
    }

    #[inline]
    fn read_joint(&mut self) -> Result<f64, Corrupt> {
        let ones = self.reader.read_ones(5)?;
        let change = match ones {
            2 => self.read_change(13)?,
            3 => self.read_change(20)?,
            4 => self.read_change(64)?,
            _ => 0,
        };
        self.delta = self.delta.wrapping_add(change);
        self.timestamp = self.timestamp.wrapping_add(self.delta);
        match ones {
            0 => Ok(self.baseline),
            1 => {
                let new_window = self.reader.read_bit()?;
                self.read_changed(new_window)
            }
            5 => Ok(STALE_NAN),
            _ => self.read_value(),
        }
    }

    /// A two's complement number of that many bits.
    fn read_change(&mut self, bits: u8) -> Result<i64, Corrupt> {
        let raw = self.reader.read(bits)? as i64;
        let shift = 64 - bits;
        Ok(raw << shift >> shift)
    }

    fn read_value(&mut self) -> Result<f64, Corrupt> {
        match self.reader.read_ones(3)? {
            0 => Ok(self.baseline),
            1 => self.read_changed(false),
            2 => self.read_changed(true),
            _ => Ok(STALE_NAN),
        }
    }

    fn read_changed(&mut self, new_window: bool) -> Result<f64, Corrupt> {
        let reader = &mut self.reader;
        let xor = if new_window { self.window.read(reader)? } else { self.window.read_bits(reader)? };
        self.baseline = f64::from_bits(self.baseline.to_bits() ^ xor);
        Ok(self.baseline)
    }
}

impl Iterator for Xor2Iter<'_> {
    type Item = Result<(i64, i64, f64), Corrupt>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let sample = self.read();
        self.index += 1;
        self.left = if sample.is_ok() { self.left - 1 } else { 0 };
        Some(sample)
    }
}

/// Appends the first `limit` samples of the chunk `data` to `out`; fewer when it has fewer. Returns how many.
///
/// # Errors
/// When `data` is not an XOR2 chunk; nothing was appended then.
pub fn decode_xor2(data: &[u8], limit: u16, out: &mut Columns) -> Result<usize, Corrupt> {
    let base = out.len();
    let samples = Xor2Iter::new(data)?;
    // Each sample takes at least one bit.
    let count = usize::from(samples.remaining().min(limit)).min(data.len() * 8);
    out.timestamps.reserve(count);
    out.values.reserve(count);
    for sample in samples.take(usize::from(limit)) {
        match sample {
            Ok((start, timestamp, value)) => out.push(start, timestamp, value),
            Err(corrupt) => {
                out.truncate(base);
                return Err(corrupt);
            }
        }
    }
    Ok(out.len() - base)
}
