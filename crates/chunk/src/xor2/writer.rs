//! Appending to an XOR2 chunk.

use ferula_model::value::is_stale;

use crate::bits::{BitAccumulator, BitSink, Corrupt, put_chunk};
use crate::encoding::{Chunk, Encoding};
use crate::start::StartWriter;
use crate::xor::Window;
use crate::xor2::Xor2Iter;

/// The state of a growing XOR2 chunk, 64 bytes. The chunk's bytes go to a [`BitSink`] that the caller keeps.
///
/// The whole chunk is [`header`](Self::header), the sink's bytes, [`tail`](Self::tail).
#[derive(Clone, Copy, Debug)]
pub struct Xor2Writer {
    timestamp: i64,
    /// The last value that is not a staleness marker.
    baseline: f64,
    delta: u64,
    bits: BitAccumulator,
    starts: StartWriter,
    count: u16,
    window: Window,
}

impl Default for Xor2Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Xor2Writer {
    /// Bytes before the payload.
    pub const HEADER_BYTES: usize = Encoding::Xor2.header_bytes();

    /// The state of an empty chunk.
    pub fn new() -> Self {
        Xor2Writer {
            timestamp: i64::MIN,
            baseline: 0.0,
            delta: 0,
            bits: BitAccumulator::new(),
            starts: StartWriter::default(),
            count: 0,
            window: Window::NONE,
        }
    }

    /// The state after all samples of the chunk `data`, so that more can be appended; its payload goes to `sink`.
    ///
    /// # Errors
    /// When `data` is not an XOR2 chunk.
    pub fn resume<S: BitSink>(data: &[u8], sink: &mut S) -> Result<Self, Corrupt> {
        let mut writer = Xor2Writer::new();
        for sample in Xor2Iter::new(data)? {
            let (start, timestamp, value) = sample?;
            writer.push(sink, start, timestamp, value);
        }
        Ok(writer)
    }

    /// Appends a sample; `start` is 0 for none.
    ///
    /// # Panics
    /// If the chunk has 65,535 samples, the most that its header can count. Chunks are cut long before that.
    pub fn push<S: BitSink>(&mut self, sink: &mut S, start: i64, timestamp: i64, value: f64) {
        assert!(self.count < u16::MAX, "an XOR2 chunk holds at most 65,535 samples");
        let delta = timestamp.wrapping_sub(self.timestamp) as u64;
        match self.count {
            0 => {
                self.bits.put_varint(sink, timestamp);
                self.bits.put_wide(sink, value.to_bits(), 64);
            }
            1 => {
                self.bits.put_uvarint(sink, delta);
                self.put_value(sink, value);
                self.delta = delta;
            }
            _ => {
                self.put_joint(sink, delta.wrapping_sub(self.delta) as i64, value);
                self.delta = delta;
            }
        }
        self.starts.put(&mut self.bits, sink, self.count, (timestamp, self.timestamp), start);
        self.timestamp = timestamp;
        if !is_stale(value) {
            self.baseline = value;
        }
        self.count += 1;
    }

    fn put_joint<S: BitSink>(&mut self, sink: &mut S, change: i64, value: f64) {
        if change == 0 {
            let xor = value.to_bits() ^ self.baseline.to_bits();
            if is_stale(value) {
                self.bits.put(sink, 0b11111, 5);
            } else if xor == 0 {
                self.bits.put(sink, 0, 1);
            } else {
                self.bits.put(sink, 0b10, 2);
                self.put_changed(sink, xor, (0, 1), (1, 1));
            }
            return;
        }
        match change {
            -0x1000..=0xfff => self.bits.put(sink, 0b110 << 13 | (change as u64 & 0x1fff), 16),
            -0x8_0000..=0x7_ffff => self.bits.put(sink, 0b1110 << 20 | (change as u64 & 0xf_ffff), 24),
            _ => {
                self.bits.put(sink, 0b11110, 5);
                self.bits.put_wide(sink, change as u64, 64);
            }
        }
        self.put_value(sink, value);
    }

    fn put_value<S: BitSink>(&mut self, sink: &mut S, value: f64) {
        let xor = value.to_bits() ^ self.baseline.to_bits();
        if is_stale(value) {
            self.bits.put(sink, 0b111, 3);
        } else if xor == 0 {
            self.bits.put(sink, 0, 1);
        } else {
            self.put_changed(sink, xor, (0b10, 2), (0b110, 3));
        }
    }

    /// Appends an XOR that is not 0 after the prefix for "in the window" or for "new window".
    fn put_changed<S: BitSink>(&mut self, sink: &mut S, xor: u64, inside: (u64, u8), new_window: (u64, u8)) {
        let needed = Window::of(xor);
        if self.window.covers(needed) {
            self.bits.put(sink, inside.0, inside.1);
            self.bits.put_wide(sink, xor >> self.window.trailing(), self.window.width());
        } else {
            self.window = needed;
            self.bits.put(sink, new_window.0, new_window.1);
            needed.put(&mut self.bits, sink, xor);
        }
    }

    /// How many samples were appended.
    pub fn len(&self) -> u16 {
        self.count
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The timestamp appended last; `i64::MIN` when there is none.
    pub fn last_timestamp(&self) -> i64 {
        self.timestamp
    }

    /// Bytes of the chunk so far, header and unfinished byte included.
    pub fn byte_len(&self) -> usize {
        Self::HEADER_BYTES + self.bits.byte_len()
    }

    /// The bytes before the payload.
    pub fn header(&self) -> [u8; Self::HEADER_BYTES] {
        let [high, low] = self.count.to_be_bytes();
        [high, low, self.starts.header()]
    }

    /// The bytes after those of the sink, and how many of the four are used.
    pub fn tail(&self) -> ([u8; 4], usize) {
        self.bits.tail()
    }

    /// Appends the whole chunk to `out`; `payload` is the sink's bytes, in pieces of any size.
    pub fn write_chunk<'a>(&self, payload: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
        put_chunk(out, &self.header(), payload, self.tail());
    }
}

/// A growing XOR2 chunk in one piece of memory.
#[derive(Clone, Debug, Default)]
pub struct Xor2Chunk {
    writer: Xor2Writer,
    payload: Vec<u8>,
    first_timestamp: i64,
}

impl Xor2Chunk {
    /// An empty chunk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a sample; see [`Xor2Writer::push`].
    pub fn push(&mut self, start: i64, timestamp: i64, value: f64) {
        if self.writer.is_empty() {
            self.first_timestamp = timestamp;
        }
        self.writer.push(&mut self.payload, start, timestamp, value);
    }

    /// The state beside the bytes.
    pub fn writer(&self) -> &Xor2Writer {
        &self.writer
    }

    /// The bytes of the chunk.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(self.writer.byte_len());
        self.writer.write_chunk([&self.payload[..]], &mut data);
        data
    }

    /// Takes the chunk and leaves an empty one. `None` if nothing was appended.
    pub fn take(&mut self) -> Option<Chunk> {
        if self.writer.is_empty() {
            return None;
        }
        let chunk = Chunk {
            encoding: Encoding::Xor2,
            min_time: self.first_timestamp,
            max_time: self.writer.last_timestamp(),
            data: self.to_bytes(),
        };
        self.writer = Xor2Writer::new();
        self.payload.clear();
        Some(chunk)
    }
}
