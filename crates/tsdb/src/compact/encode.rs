//! Encodes samples into chunks.

use ferula_chunk::{
    Encoding, Fit, FloatEncoding, FloatHistogramWriter, IntegerHistogramWriter, Sample, SampleValue,
    ValueKind, Xor2Chunk, XorChunk,
};

use crate::block::BlockChunk;

/// Maximum length of chunks of histograms and of floats in XOR2: from number 127 on, XOR2 writes a start
/// timestamp with every sample, whether there is one or not.
const OTHER_SAMPLES_MAX: u16 = 120;

/// How samples are encoded.
#[derive(Clone, Copy, Debug)]
pub struct EncodeOptions {
    /// Maximum number of samples in a chunk of floats.
    pub samples_max: u16,
    /// A chunk of floats in XOR ends once it exceeds this size.
    pub bytes_max: usize,
    /// The encoding of floats without start timestamps: XOR or XOR2. Floats with start timestamps always use
    /// XOR2.
    pub floats: FloatEncoding,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        EncodeOptions { samples_max: OTHER_SAMPLES_MAX, bytes_max: usize::MAX, floats: FloatEncoding::Xor }
    }
}

/// Encodes the samples of one series, in time order, into chunks.
#[derive(Debug)]
pub struct SampleEncoder {
    options: EncodeOptions,
    /// All samples are put into one chunk of this encoding.
    fixed: Option<Encoding>,
    open: Open,
    done: Vec<BlockChunk>,
}

#[derive(Debug)]
enum Open {
    Nothing,
    Xor(XorChunk),
    Xor2(Xor2Chunk),
    Histogram(Box<IntegerHistogramWriter>),
    FloatHistogram(Box<FloatHistogramWriter>),
}

impl Open {
    /// Encoding and number of samples.
    fn state(&self) -> Option<(Encoding, u16)> {
        match self {
            Open::Nothing => None,
            Open::Xor(chunk) => Some((Encoding::Xor, chunk.writer().len())),
            Open::Xor2(chunk) => Some((Encoding::Xor2, chunk.writer().len())),
            Open::Histogram(chunk) => Some((chunk.encoding(), chunk.len())),
            Open::FloatHistogram(chunk) => Some((chunk.encoding(), chunk.len())),
        }
    }
}

impl SampleEncoder {
    /// Creates an encoder that begins a new chunk where the options or the samples require it.
    pub fn new(options: EncodeOptions) -> Self {
        SampleEncoder { options, fixed: None, open: Open::Nothing, done: Vec::new() }
    }

    /// Creates an encoder for some of the samples of one chunk, which stay in one chunk.
    pub fn same_as(encoding: Encoding) -> Self {
        SampleEncoder { fixed: Some(encoding), ..SampleEncoder::new(EncodeOptions::default()) }
    }

    fn wanted(&self, sample: &Sample) -> Encoding {
        let has_start = sample.start != 0;
        match &sample.value {
            _ if self.fixed.is_some() => self.fixed.unwrap_or(Encoding::Xor),
            SampleValue::Float(_) if has_start => Encoding::Xor2,
            SampleValue::Float(_) => self.options.floats.into(),
            SampleValue::Histogram(_) if has_start => Encoding::HistogramSt,
            SampleValue::Histogram(_) => Encoding::Histogram,
            SampleValue::FloatHistogram(_) if has_start => Encoding::FloatHistogramSt,
            SampleValue::FloatHistogram(_) => Encoding::FloatHistogram,
        }
    }

    /// Whether the open chunk is full, or its encoding cannot represent the sample.
    fn must_cut(&self, sample: &Sample, wanted: Encoding) -> bool {
        let Some((encoding, samples)) = self.open.state() else { return true };
        if self.fixed.is_some() {
            return false;
        }
        let full = match &self.open {
            Open::Xor(chunk) => {
                samples >= self.options.samples_max || chunk.byte_len() > self.options.bytes_max
            }
            _ => samples >= OTHER_SAMPLES_MAX,
        };
        let floats = [encoding, wanted].iter().all(|e| e.value_kind() == ValueKind::Float);
        let fits = encoding == wanted || (floats && !(sample.start != 0 && encoding == Encoding::Xor));
        full || !fits
    }

    /// Appends a sample that is newer than the previous one.
    pub fn push(&mut self, sample: &Sample) {
        let wanted = self.wanted(sample);
        let cut = self.must_cut(sample, wanted);
        if cut {
            self.cut();
        }
        let (start, t) = (sample.start, sample.timestamp);
        let with_starts = wanted.has_start_timestamps();
        match (&sample.value, &mut self.open) {
            (SampleValue::Float(value), Open::Xor(chunk)) => chunk.push(t, *value),
            (SampleValue::Float(value), Open::Xor2(chunk)) => chunk.push(start, t, *value),
            (SampleValue::Float(value), _) => {
                self.cut();
                self.open = if wanted == Encoding::Xor2 {
                    let mut chunk = Xor2Chunk::new();
                    chunk.push(start, t, *value);
                    Open::Xor2(chunk)
                } else {
                    let mut chunk = XorChunk::new();
                    chunk.push(t, *value);
                    Open::Xor(chunk)
                };
            }
            (SampleValue::Histogram(value), open) => {
                let fit = match open {
                    Open::Histogram(chunk) => chunk.fit(value),
                    _ => Fit::NewChunk(IntegerHistogramWriter::header_after(None, value)),
                };
                match (open, fit) {
                    (Open::Histogram(chunk), Fit::Append(how)) => chunk.append(start, t, value, &how),
                    (_, Fit::NewChunk(header)) => {
                        self.cut();
                        let chunk = IntegerHistogramWriter::begin(header, with_starts, start, t, value);
                        self.open = Open::Histogram(Box::new(chunk));
                    }
                    (_, Fit::Append(_)) => {
                        unreachable!("only an open histogram chunk is asked whether it fits")
                    }
                }
            }
            (SampleValue::FloatHistogram(value), open) => {
                let fit = match open {
                    Open::FloatHistogram(chunk) => chunk.fit(value),
                    _ => Fit::NewChunk(FloatHistogramWriter::header_after(None, value)),
                };
                match (open, fit) {
                    (Open::FloatHistogram(chunk), Fit::Append(how)) => chunk.append(start, t, value, &how),
                    (_, Fit::NewChunk(header)) => {
                        self.cut();
                        let chunk = FloatHistogramWriter::begin(header, with_starts, start, t, value);
                        self.open = Open::FloatHistogram(Box::new(chunk));
                    }
                    (_, Fit::Append(_)) => {
                        unreachable!("only an open histogram chunk is asked whether it fits")
                    }
                }
            }
        }
    }

    fn cut(&mut self) {
        let chunk = match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => None,
            Open::Xor(mut chunk) => chunk.take(),
            Open::Xor2(mut chunk) => chunk.take(),
            Open::Histogram(chunk) => Some(chunk.to_chunk()),
            Open::FloatHistogram(chunk) => Some(chunk.to_chunk()),
        };
        self.done.extend(chunk.map(BlockChunk::from));
    }

    /// Returns the chunks and resets the encoder.
    pub fn finish(&mut self) -> Vec<BlockChunk> {
        self.cut();
        std::mem::take(&mut self.done)
    }
}
