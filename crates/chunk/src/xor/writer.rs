//! Appending to an XOR chunk.

use crate::bits::{BitAccumulator, BitSink, Corrupt, put_chunk};
use crate::encoding::{Chunk, Encoding};
use crate::varbit::fits;
use crate::xor::{Window, XorIter, XorState};

/// The state of a growing XOR chunk, 40 bytes. The chunk's bytes go to a [`BitSink`] that the caller keeps.
///
/// The whole chunk is [`header`](Self::header), the sink's bytes, [`tail`](Self::tail).
#[derive(Clone, Copy, Debug)]
pub struct XorWriter {
    timestamp: i64,
    value: f64,
    /// Between the last two timestamps; wraps, as Prometheus' does.
    delta: u64,
    bits: BitAccumulator,
    count: u16,
    window: Window,
}

impl Default for XorWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl XorWriter {
    /// Bytes before the payload.
    pub const HEADER_BYTES: usize = Encoding::Xor.header_bytes();
    /// No sample takes more bytes than this.
    pub const SAMPLE_BYTES_MAX: usize = 19;

    /// The state of an empty chunk.
    pub const fn new() -> Self {
        XorWriter {
            timestamp: i64::MIN,
            value: 0.0,
            delta: 0,
            bits: BitAccumulator::new(),
            count: 0,
            window: Window::NONE,
        }
    }

    /// The state after all samples of the chunk `data`, so that more can be appended; its payload goes to `sink`.
    ///
    /// # Errors
    /// When `data` is not an XOR chunk.
    pub fn resume<S: BitSink>(data: &[u8], sink: &mut S) -> Result<Self, Corrupt> {
        let mut writer = XorWriter::new();
        for sample in XorIter::new(data)? {
            let (timestamp, value) = sample?;
            writer.push(sink, timestamp, value);
        }
        Ok(writer)
    }

    /// What is needed beside the bytes to continue without decoding them.
    pub fn state(&self) -> XorState {
        XorState {
            timestamp: self.timestamp,
            value: self.value,
            delta: self.delta,
            window: self.window,
            pending: self.bits.pending(),
        }
    }

    /// Like [`resume`](Self::resume), but takes from `state` what would have to be decoded. The state of another chunk goes
    /// unnoticed if it could belong to this one.
    ///
    /// # Errors
    /// If the two cannot belong together.
    pub fn go_on<S: BitSink>(data: &[u8], state: XorState, sink: &mut S) -> Result<Self, Corrupt> {
        let mismatch = |byte| Corrupt { byte, what: "is not of the chunk whose state is given" };
        let (header, payload) = data.split_first_chunk::<{ Self::HEADER_BYTES }>().ok_or(mismatch(0))?;
        let count = u16::from_be_bytes(*header);
        let tail_bytes = usize::from(state.pending).div_ceil(8);
        let (words, rest) = payload.as_chunks::<4>();
        if count == 0 || rest.len() != tail_bytes % 4 || payload.len() < tail_bytes {
            return Err(mismatch(data.len()));
        }
        // 25 to 31 bits that wait are four bytes too.
        let whole = words.len() - tail_bytes / 4;
        let mut bits = BitAccumulator::new();
        for word in &words[..whole] {
            bits.put(sink, u64::from(u32::from_be_bytes(*word)), 32);
        }
        if state.pending > 0 {
            let mut tail = [0; 4];
            tail[..tail_bytes].copy_from_slice(&payload[whole * 4..]);
            let value = u32::from_be_bytes(tail) >> (32 - u32::from(state.pending));
            bits.put(sink, u64::from(value), state.pending);
        }
        let XorState { timestamp, value, delta, window, .. } = state;
        Ok(XorWriter { timestamp, value, delta, bits, count, window })
    }

    /// Appends a sample.
    ///
    /// # Panics
    /// If the chunk has 65,535 samples, the most that its header can count. Chunks are cut long before that.
    #[inline]
    pub fn push<S: BitSink>(&mut self, sink: &mut S, timestamp: i64, value: f64) {
        assert!(self.count < u16::MAX, "an XOR chunk holds at most 65,535 samples");
        if self.count < 2 {
            self.push_early(sink, timestamp, value);
        } else {
            let delta = timestamp.wrapping_sub(self.timestamp) as u64;
            self.put_delta_of_delta(sink, delta.wrapping_sub(self.delta) as i64);
            self.delta = delta;
            self.window.put_xor(&mut self.bits, sink, value, self.value);
        }
        self.timestamp = timestamp;
        self.value = value;
        self.count += 1;
    }

    /// The first sample is written whole, the second with its plain delta.
    fn push_early<S: BitSink>(&mut self, sink: &mut S, timestamp: i64, value: f64) {
        if self.count == 0 {
            self.bits.put_varint(sink, timestamp);
            self.bits.put_wide(sink, value.to_bits(), 64);
        } else {
            self.delta = timestamp.wrapping_sub(self.timestamp) as u64;
            self.bits.put_uvarint(sink, self.delta);
            self.window.put_xor(&mut self.bits, sink, value, self.value);
        }
    }

    #[inline]
    fn put_delta_of_delta<S: BitSink>(&mut self, sink: &mut S, change: i64) {
        if change == 0 {
            self.bits.put(sink, 0, 1);
        } else if fits(change, 14) {
            self.bits.put(sink, 0b10 << 14 | (change as u64 & 0x3fff), 16);
        } else if fits(change, 17) {
            self.bits.put(sink, 0b110 << 17 | (change as u64 & 0x1_ffff), 20);
        } else if fits(change, 20) {
            self.bits.put(sink, 0b1110 << 20 | (change as u64 & 0xf_ffff), 24);
        } else {
            self.bits.put(sink, 0b1111, 4);
            self.bits.put_wide(sink, change as u64, 64);
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

    /// The value appended last; 0 when there is none.
    pub fn last_value(&self) -> f64 {
        self.value
    }

    /// Bytes of the chunk so far, header and unfinished byte included.
    pub fn byte_len(&self) -> usize {
        Self::HEADER_BYTES + self.bits.byte_len()
    }

    /// The bytes before the payload.
    pub fn header(&self) -> [u8; Self::HEADER_BYTES] {
        self.count.to_be_bytes()
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

/// A growing XOR chunk in one piece of memory.
#[derive(Clone, Debug, Default)]
pub struct XorChunk {
    writer: XorWriter,
    payload: Vec<u8>,
    first_timestamp: i64,
}

impl XorChunk {
    /// An empty chunk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a sample; see [`XorWriter::push`].
    pub fn push(&mut self, timestamp: i64, value: f64) {
        if self.writer.is_empty() {
            self.first_timestamp = timestamp;
        }
        self.writer.push(&mut self.payload, timestamp, value);
    }

    /// The state beside the bytes.
    pub fn writer(&self) -> &XorWriter {
        &self.writer
    }

    /// Bytes of the chunk so far.
    pub fn byte_len(&self) -> usize {
        self.writer.byte_len()
    }

    /// The bytes of the chunk.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(self.byte_len());
        self.writer.write_chunk([&self.payload[..]], &mut data);
        data
    }

    /// Takes the chunk and leaves an empty one. `None` if nothing was appended.
    pub fn take(&mut self) -> Option<Chunk> {
        if self.writer.is_empty() {
            return None;
        }
        let chunk = Chunk {
            encoding: Encoding::Xor,
            min_time: self.first_timestamp,
            max_time: self.writer.last_timestamp(),
            data: self.to_bytes(),
        };
        self.writer = XorWriter::new();
        self.payload.clear();
        Some(chunk)
    }
}
