//! Reading an XOR chunk sample by sample: plain, the oracle of the fast decoder.

use crate::bits::{BitReader, Corrupt};
use crate::encoding::Encoding;
use crate::varbit::extend;
use crate::xor::Window;

/// Samples of an XOR chunk in order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct XorIter<'a> {
    reader: BitReader<'a>,
    left: u16,
    read: u16,
    timestamp: i64,
    value: f64,
    delta: u64,
    window: Window,
}

impl<'a> XorIter<'a> {
    /// An iterator over the chunk `data`, header included.
    ///
    /// # Errors
    /// When `data` is shorter than the header.
    pub fn new(data: &'a [u8]) -> Result<Self, Corrupt> {
        let left = Encoding::Xor.sample_count(data).ok_or(Corrupt { byte: 0, what: "no header" })?;
        Ok(XorIter {
            reader: BitReader::new(data, Encoding::Xor.header_bytes()),
            left,
            read: 0,
            timestamp: 0,
            value: 0.0,
            delta: 0,
            window: Window::WHOLE,
        })
    }

    /// Samples that are left by the header.
    pub fn remaining(&self) -> u16 {
        self.left
    }

    /// Where the next sample begins (in bits), the delta and the window before it.
    pub(super) fn state(&self) -> (usize, i64, Window) {
        (self.reader.position(), self.delta as i64, self.window)
    }

    fn read(&mut self) -> Result<(i64, f64), Corrupt> {
        match self.read {
            0 => {
                self.timestamp = self.reader.read_varint()?;
                self.value = f64::from_bits(self.reader.read(64)?);
            }
            1 => {
                self.delta = self.reader.read_uvarint()?;
                self.timestamp = self.timestamp.wrapping_add(self.delta as i64);
                self.value = self.window.read_xor(&mut self.reader, self.value)?;
            }
            _ => {
                self.delta = self.delta.wrapping_add(self.read_delta_of_delta()? as u64);
                self.timestamp = self.timestamp.wrapping_add(self.delta as i64);
                self.value = self.window.read_xor(&mut self.reader, self.value)?;
            }
        }
        Ok((self.timestamp, self.value))
    }

    fn read_delta_of_delta(&mut self) -> Result<i64, Corrupt> {
        let bits = match self.reader.read_ones(4)? {
            0 => return Ok(0),
            1 => 14,
            2 => 17,
            3 => 20,
            _ => return Ok(self.reader.read(64)? as i64),
        };
        Ok(extend(self.reader.read(bits)?, bits))
    }
}

impl Iterator for XorIter<'_> {
    type Item = Result<(i64, f64), Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let sample = self.read();
        self.read += 1;
        self.left = if sample.is_ok() { self.left - 1 } else { 0 };
        Some(sample)
    }
}
