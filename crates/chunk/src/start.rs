//! Start timestamps, which encodings 4, 5 and 6 write after each sample.
//!
//! There is one header byte. Its top bit is set if the first sample has a start; the rest is the index of the first sample whose
//! start differs from the one before (0: none does). From that sample on each has `t_prev − start`: the first of
//! them whole, the others as its change. Index 127 is the last that fits, so the values begin there at the latest.

use crate::bits::{BitAccumulator, BitReader, BitSink, Corrupt};
use crate::varbit::{put_signed, read_signed};

const CHANGE_ON_MAX: u16 = 0x7f;
const FIRST_KNOWN: u8 = 0x80;

/// The start timestamps written so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StartWriter {
    start: i64,
    /// `t_prev − start` as written last.
    distance: i64,
    header: u8,
}

impl StartWriter {
    /// The header byte.
    pub fn header(&self) -> u8 {
        self.header
    }

    /// Appends the start of sample number `index` at time `t`, `t_previous` being the time of the one before.
    pub fn put<S: BitSink>(
        &mut self,
        out: &mut BitAccumulator,
        sink: &mut S,
        index: u16,
        (t, t_previous): (i64, i64),
        start: i64,
    ) {
        let changes = self.header & !FIRST_KNOWN != 0;
        if index == 0 {
            if start != 0 {
                out.put_varint(sink, t.wrapping_sub(start));
                self.header = FIRST_KNOWN;
            }
        } else if changes {
            let distance = t_previous.wrapping_sub(start);
            put_signed(out, sink, distance.wrapping_sub(self.distance));
            self.distance = distance;
        } else if start != self.start || index == CHANGE_ON_MAX {
            self.distance = t_previous.wrapping_sub(start);
            put_signed(out, sink, self.distance);
            self.header |= index as u8;
        }
        self.start = start;
    }
}

/// The start timestamps read so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartReader {
    start: i64,
    distance: i64,
    header: u8,
}

impl StartReader {
    /// A reader for a chunk with this header byte.
    pub fn new(header: u8) -> Self {
        StartReader { start: 0, distance: 0, header }
    }

    /// Whether no sample has a start timestamp.
    pub fn is_absent(&self) -> bool {
        self.header == 0
    }

    /// Reads the start of sample number `index`; 0 for none.
    #[inline]
    pub fn read(
        &mut self,
        from: &mut BitReader<'_>,
        index: u16,
        (t, t_previous): (i64, i64),
    ) -> Result<i64, Corrupt> {
        let change_on = u16::from(self.header & !FIRST_KNOWN);
        if index == 0 {
            if self.header & FIRST_KNOWN != 0 {
                self.start = t.wrapping_sub(from.read_varint()?);
            }
        } else if change_on != 0 && index >= change_on {
            let change = read_signed(from)?;
            self.distance = if index == change_on { change } else { self.distance.wrapping_add(change) };
            self.start = t_previous.wrapping_sub(self.distance);
        }
        Ok(self.start)
    }
}
