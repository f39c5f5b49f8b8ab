//! The encodings and their numbers on disk, and a chunk with the range of time it covers.

use std::fmt;

/// How the samples of a chunk are written. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Encoding {
    /// Floats, Gorilla's XOR scheme.
    Xor = 1,
    /// Histograms with integer counts.
    Histogram = 2,
    /// Histograms with float counts.
    FloatHistogram = 3,
    /// Floats, joint control bits, optional start timestamps.
    Xor2 = 4,
    /// [`Encoding::Histogram`] with start timestamps.
    HistogramSt = 5,
    /// [`Encoding::FloatHistogram`] with start timestamps.
    FloatHistogramSt = 6,
}

/// What a sample of a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueKind {
    Float,
    /// A histogram with integer counts.
    Histogram,
    /// A histogram with float counts.
    FloatHistogram,
}

impl Encoding {
    /// All encodings, in order of their numbers.
    pub const ALL: [Encoding; 6] = [
        Encoding::Xor,
        Encoding::Histogram,
        Encoding::FloatHistogram,
        Encoding::Xor2,
        Encoding::HistogramSt,
        Encoding::FloatHistogramSt,
    ];

    /// The encoding with this number on disk, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Encoding::Xor),
            2 => Some(Encoding::Histogram),
            3 => Some(Encoding::FloatHistogram),
            4 => Some(Encoding::Xor2),
            5 => Some(Encoding::HistogramSt),
            6 => Some(Encoding::FloatHistogramSt),
            _ => None,
        }
    }

    /// The number on disk.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind of its samples.
    pub const fn value_kind(self) -> ValueKind {
        match self {
            Encoding::Xor | Encoding::Xor2 => ValueKind::Float,
            Encoding::Histogram | Encoding::HistogramSt => ValueKind::Histogram,
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => ValueKind::FloatHistogram,
        }
    }

    /// Whether it can hold start timestamps.
    pub const fn has_start_timestamps(self) -> bool {
        matches!(self, Encoding::Xor2 | Encoding::HistogramSt | Encoding::FloatHistogramSt)
    }

    /// The number of bytes before the first sample.
    pub(crate) const fn header_bytes(self) -> usize {
        match self {
            Encoding::Xor => 2,
            _ => 3,
        }
    }

    /// The number of samples in the header of a chunk of this encoding; `None` if `data` is shorter than the header.
    pub fn sample_count(self, data: &[u8]) -> Option<u16> {
        if data.len() < self.header_bytes() {
            return None;
        }
        let count = u16::from_be_bytes([data[0], data[1]]);
        // The counter reset header of encodings 5 and 6 took the top two bits.
        let mask = match self {
            Encoding::HistogramSt | Encoding::FloatHistogramSt => 0x3fff,
            _ => 0xffff,
        };
        Some(count & mask)
    }
}

/// Prometheus' name of the encoding.
impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Xor => "XOR",
            Encoding::Histogram => "histogram",
            Encoding::FloatHistogram => "floathistogram",
            Encoding::Xor2 => "XOR2",
            Encoding::HistogramSt => "histogramST",
            Encoding::FloatHistogramSt => "floathistogramST",
        })
    }
}

/// How floats are written where there is a choice. All encodings are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FloatEncoding {
    /// Gorilla's XOR scheme, which every Prometheus reads.
    #[default]
    Xor,
    /// Smaller, and with room for start timestamps; Prometheus reads it from 3.11 on.
    Xor2,
}

/// As in the configuration file.
impl fmt::Display for FloatEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FloatEncoding::Xor => "xor",
            FloatEncoding::Xor2 => "xor2",
        })
    }
}

impl From<FloatEncoding> for Encoding {
    fn from(floats: FloatEncoding) -> Self {
        match floats {
            FloatEncoding::Xor => Encoding::Xor,
            FloatEncoding::Xor2 => Encoding::Xor2,
        }
    }
}

/// A chunk that borrows its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRef<'a> {
    /// How `data` is written.
    pub encoding: Encoding,
    /// Milliseconds since the epoch of the first sample.
    pub min_time: i64,
    /// Milliseconds since the epoch of the last sample.
    pub max_time: i64,
    /// The samples, including the header.
    pub data: &'a [u8],
}

/// A chunk that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// How `data` is written.
    pub encoding: Encoding,
    /// Milliseconds since the epoch of the first sample.
    pub min_time: i64,
    /// Milliseconds since the epoch of the last sample.
    pub max_time: i64,
    /// The samples, including the header.
    pub data: Vec<u8>,
}

impl Chunk {
    /// The same chunk, borrowed.
    pub fn as_ref(&self) -> ChunkRef<'_> {
        ChunkRef {
            encoding: self.encoding,
            min_time: self.min_time,
            max_time: self.max_time,
            data: &self.data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_on_disk() {
        for encoding in Encoding::ALL {
            assert_eq!(Encoding::from_number(encoding.number()), Some(encoding));
        }
        assert_eq!(Encoding::from_number(0), None);
        assert_eq!(Encoding::from_number(7), None);
        assert_eq!(Encoding::Xor2.number(), 4);
    }

    #[test]
    fn counts_are_read_from_headers_of_any_length() {
        assert_eq!(Encoding::Xor.sample_count(&[1]), None);
        assert_eq!(Encoding::Xor.sample_count(&[1, 2]), Some(0x0102));
        assert_eq!(Encoding::Xor2.sample_count(&[1, 2]), None);
        assert_eq!(Encoding::HistogramSt.sample_count(&[0xff, 0xff, 0]), Some(0x3fff));
    }
}
