//! Layout of a savepoint's state; see docs/format/savepoint.md. Only this file contains it.
//!
//! ```text
//! file:  magic 8 bytes | version u32 | frame frame …
//! frame: kind u8 | length u32 | crc32 u32 (of kind, length and body) | body
//! ```
//! Integers are big-endian or LEB128. The first frame has the kind `Begin`. The last one has the kind `End`
//! and contains the number of the others and their total size.

use std::collections::HashMap;
use std::sync::Arc;

use ferula_chunk::{Encoding, XorState};
use ferula_model::{Exemplar, HistogramValue, LabelSet, MetricMetadata};

use crate::bytes::{BadInput, Input, put_uvarint, put_varint};
use crate::head::{ExtraRef, Reopened, SeriesCopy};
use crate::ids::{LogRef, TimeSpan};
use crate::wal::record::{
    LoggedExemplar, LoggedHistogram, Records, labels, put_exemplars, put_histograms, put_labels, put_metadata,
};

const MAGIC: [u8; 8] = *b"ferulasp";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 12;
const FRAME_HEADER_BYTES: usize = 1 + 4 + 4;

/// The content of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// The origin of the savepoint.
    Begin = 1,
    /// Some series.
    Series = 2,
    /// Additional refs of label sets.
    ExtraRefs = 3,
    /// Exemplars in the order of their arrival.
    Exemplars = 4,
    /// The end.
    End = 5,
    /// End times of removed series.
    Departed = 6,
}

/// Why bytes are not a valid savepoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SavepointError {
    /// It is of another type or version.
    #[error("it is not a savepoint of version 1")]
    Header,
    /// The file is too short, or continues after the end frame.
    #[error("its length is wrong at offset {0}")]
    Length(usize),
    /// A checksum does not match.
    #[error("the frame at offset {0} has a wrong checksum")]
    Checksum(usize),
    /// The content of a frame is invalid.
    #[error("{0} cannot be read")]
    Content(&'static str),
}

impl From<BadInput> for SavepointError {
    fn from(_: BadInput) -> Self {
        SavepointError::Content("a value")
    }
}

/// The origin of a savepoint. A database with different values cannot use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Chunks end at multiples of this range, in milliseconds.
    pub chunk_range: i64,
    /// Target number of samples in a chunk.
    pub samples_per_chunk: u16,
    /// Whether start timestamps are stored.
    pub start_timestamps: bool,
    /// Whether new chunks of histograms can store them.
    pub histogram_starts: bool,
    /// The position in the log: segment and offset.
    pub segment: u32,
    /// See `segment`.
    pub offset: u64,
    /// How many bytes immediately before the position are covered by the checksum.
    pub before_bytes: u32,
    /// CRC-32 of those bytes.
    pub before_crc: u32,
    /// Number of the newest checkpoint.
    pub checkpoint: Option<u32>,
    /// The ref of the next new series.
    pub next_ref: LogRef,
}

const PREDICTED: u8 = 1;
const HAS_OPEN: u8 = 2;
const HAS_HISTOGRAM: u8 = 4;
const HAS_METADATA: u8 = 8;
const HAS_DELETED: u8 = 16;

/// Appends the header of a file.
pub fn put_header(out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
}

/// Appends a frame.
pub fn put_frame(out: &mut Vec<u8>, kind: FrameKind, body: &[u8]) {
    let start = out.len();
    out.push(kind as u8);
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&out[start..]);
    crc.update(body);
    out.extend_from_slice(&crc.finalize().to_be_bytes());
    out.extend_from_slice(body);
}

/// The body of the end frame of a file with `frames` other frames and `bytes` bytes before it.
pub fn end_body(frames: u64, bytes: u64) -> Vec<u8> {
    [frames.to_be_bytes(), bytes.to_be_bytes()].concat()
}

/// The frames of a whole file, with checksums verified.
pub fn frames(file: &[u8]) -> Result<Vec<(FrameKind, &[u8])>, SavepointError> {
    let rest = file.strip_prefix(&MAGIC).and_then(|rest| rest.strip_prefix(&VERSION.to_be_bytes()));
    let mut rest = rest.ok_or(SavepointError::Header)?;
    let mut frames = Vec::new();
    loop {
        let at = file.len() - rest.len();
        let short = SavepointError::Length(at);
        let (header, after) = rest.split_first_chunk::<FRAME_HEADER_BYTES>().ok_or(short.clone())?;
        let [kind, length @ .., c0, c1, c2, c3] = header;
        let length = u32::from_be_bytes(*length) as usize;
        let body = after.get(..length).ok_or(short.clone())?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&header[..5]);
        crc.update(body);
        if crc.finalize() != u32::from_be_bytes([*c0, *c1, *c2, *c3]) {
            return Err(SavepointError::Checksum(at));
        }
        let kind = match kind {
            1 => FrameKind::Begin,
            2 => FrameKind::Series,
            3 => FrameKind::ExtraRefs,
            4 => FrameKind::Exemplars,
            5 => FrameKind::End,
            6 => FrameKind::Departed,
            _ => return Err(SavepointError::Content("a frame of an unknown kind")),
        };
        rest = &after[length..];
        if kind == FrameKind::End {
            let whole = rest.is_empty() && *body == *end_body(frames.len() as u64, at as u64);
            return if whole { Ok(frames) } else { Err(short) };
        }
        frames.push((kind, body));
    }
}

impl Origin {
    /// Encodes the body of the first frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.chunk_range);
        put_uvarint(&mut out, u64::from(self.samples_per_chunk));
        out.push(u8::from(self.start_timestamps));
        out.push(u8::from(self.histogram_starts));
        put_uvarint(&mut out, u64::from(self.segment));
        put_uvarint(&mut out, self.offset);
        put_uvarint(&mut out, u64::from(self.before_bytes));
        put_uvarint(&mut out, u64::from(self.before_crc));
        put_uvarint(&mut out, self.checkpoint.map_or(0, |number| u64::from(number) + 1));
        put_uvarint(&mut out, self.next_ref.get());
        out
    }

    /// Decodes the body of the first frame.
    pub fn decode(body: &[u8]) -> Result<Self, SavepointError> {
        let mut input = Input(body);
        let small = |value: u64| u32::try_from(value).map_err(|_| BadInput);
        Ok(Origin {
            chunk_range: input.varint()?,
            samples_per_chunk: u16::try_from(input.uvarint()?).map_err(|_| BadInput)?,
            start_timestamps: input.u8()? != 0,
            histogram_starts: input.u8()? != 0,
            segment: small(input.uvarint()?)?,
            offset: input.uvarint()?,
            before_bytes: small(input.uvarint()?)?,
            before_crc: small(input.uvarint()?)?,
            checkpoint: input.uvarint()?.checked_sub(1).map(small).transpose()?,
            next_ref: LogRef::new(input.uvarint()?),
        })
    }
}

/// Encodes series into the body of a frame, each relative to the previous one.
#[derive(Default)]
pub(crate) struct SeriesEncoder {
    /// The body so far.
    pub body: Vec<u8>,
    labels: Vec<(String, String)>,
    /// Metadata in the body, with their numbers.
    metadata: HashMap<Arc<MetricMetadata>, u64>,
    log_ref: u64,
    place: u64,
    time: i64,
}

impl SeriesEncoder {
    /// Adds a series.
    pub fn put<'l>(
        &mut self,
        labels: impl ExactSizeIterator<Item = (&'l str, &'l str)>,
        series: &SeriesCopy<'_>,
    ) {
        put_varint(&mut self.body, series.log_ref.get().wrapping_sub(self.log_ref) as i64);
        self.log_ref = series.log_ref.get();
        self.put_labels(labels);
        let histogram = series.open.as_ref().and_then(|(open, _)| open.last_histogram.as_ref());
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        self.body.push(
            flag(series.open.as_ref().is_some_and(|(open, _)| open.predicted), PREDICTED)
                | flag(series.open.is_some(), HAS_OPEN)
                | flag(histogram.is_some(), HAS_HISTOGRAM)
                | flag(series.metadata.is_some(), HAS_METADATA)
                | flag(!series.deleted.is_empty(), HAS_DELETED),
        );
        self.put_chunks(series);
        let out = &mut self.body;
        if let Some(value) = histogram {
            let logged = LoggedHistogram { series: LogRef::default(), at: 0, start: 0, value: value.clone() };
            put_histograms(&[logged], false, |write| {
                let mut record = Vec::new();
                write(&mut record);
                put_bytes(out, &record);
            });
        }
        if let Some(metadata) = &series.metadata {
            self.put_metadata(metadata);
        }
        if !series.deleted.is_empty() {
            put_uvarint(&mut self.body, series.deleted.len() as u64);
            for span in &series.deleted {
                put_varint(&mut self.body, span.start());
                put_varint(&mut self.body, span.last());
            }
        }
    }

    /// The labels. A pair that equals the one in the same position of the series before is a 0.
    fn put_labels<'l>(&mut self, labels: impl ExactSizeIterator<Item = (&'l str, &'l str)>) {
        let out = &mut self.body;
        put_uvarint(out, labels.len() as u64);
        self.labels.truncate(labels.len());
        for (position, (name, value)) in labels.enumerate() {
            match self.labels.get_mut(position) {
                Some((old_name, old_value)) if old_name == name && old_value == value => put_uvarint(out, 0),
                old => {
                    put_uvarint(out, name.len() as u64 + 1);
                    out.extend_from_slice(name.as_bytes());
                    put_uvarint(out, value.len() as u64);
                    out.extend_from_slice(value.as_bytes());
                    match old {
                        Some(pair) => *pair = (name.to_owned(), value.to_owned()),
                        None => self.labels.push((name.to_owned(), value.to_owned())),
                    }
                }
            }
        }
    }

    /// The places of the full chunks, and the open chunk with its bytes.
    fn put_chunks(&mut self, series: &SeriesCopy<'_>) {
        let out = &mut self.body;
        put_uvarint(out, series.full.len() as u64);
        for (place, max) in &series.full {
            put_varint(out, place.wrapping_sub(self.place) as i64);
            put_varint(out, max.wrapping_sub(self.time));
            (self.place, self.time) = (*place, *max);
        }
        if let Some((open, data)) = &series.open {
            out.push(open.encoding.number());
            put_varint(out, open.min.wrapping_sub(self.time));
            put_varint(out, open.next_at.wrapping_sub(open.min));
            self.time = open.min;
            put_bytes(out, data);
            if let Some(xor) = &open.xor {
                out.extend_from_slice(&xor.to_bytes());
            }
        }
    }

    /// Metadata that the body already has is its number there.
    fn put_metadata(&mut self, metadata: &Arc<MetricMetadata>) {
        let out = &mut self.body;
        match self.metadata.get(metadata) {
            Some(number) => put_uvarint(out, number + 1),
            None => {
                put_uvarint(out, 0);
                let mut record = Vec::new();
                put_metadata(&mut record, [(LogRef::default(), &**metadata)]);
                put_bytes(out, &record);
                self.metadata.insert(metadata.clone(), self.metadata.len() as u64);
            }
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Decodes series from the body of a frame.
pub(crate) struct SeriesDecoder<'a> {
    input: Input<'a>,
    labels: Vec<(&'a str, &'a str)>,
    metadata: Vec<Arc<MetricMetadata>>,
    records: Records,
    log_ref: u64,
    place: u64,
    time: i64,
}

impl<'a> SeriesDecoder<'a> {
    /// The series of a frame.
    pub fn new(body: &'a [u8]) -> Self {
        SeriesDecoder {
            input: Input(body),
            labels: Vec::new(),
            metadata: Vec::new(),
            records: Records::default(),
            log_ref: 0,
            place: 0,
            time: 0,
        }
    }

    /// Labels of the last decoded series, sorted by name.
    pub fn labels(&self) -> &[(&'a str, &'a str)] {
        &self.labels
    }

    /// The next series; `None` at the end.
    pub fn next_series(&mut self) -> Result<Option<SeriesCopy<'a>>, SavepointError> {
        if self.input.is_empty() {
            return Ok(None);
        }
        self.log_ref = self.log_ref.wrapping_add_signed(self.input.varint()?);
        self.read_labels()?;
        let flags = self.input.u8()?;
        let mut series = SeriesCopy { log_ref: LogRef::new(self.log_ref), ..SeriesCopy::default() };
        for _ in 0..self.input.count(2)? {
            self.place = self.place.wrapping_add_signed(self.input.varint()?);
            self.time = self.time.wrapping_add(self.input.varint()?);
            series.full.push((self.place, self.time));
        }
        if flags & HAS_OPEN != 0 {
            series.open = Some(self.read_open(flags)?);
        }
        if flags & HAS_METADATA != 0 {
            series.metadata = Some(self.read_metadata()?);
        }
        if flags & HAS_DELETED != 0 {
            for _ in 0..self.input.count(2)? {
                series.deleted.push(TimeSpan::closed(self.input.varint()?, self.input.varint()?));
            }
        }
        Ok(Some(series))
    }

    fn read_labels(&mut self) -> Result<(), SavepointError> {
        let wrong = || SavepointError::Content("a label");
        let count = self.input.count(1)?;
        self.labels.truncate(count);
        for place in 0..count {
            let Some(name_bytes) = self.input.uvarint()?.checked_sub(1) else {
                // The same as in the previous series.
                self.labels.get(place).ok_or_else(wrong)?;
                continue;
            };
            let name = self.input.bytes(usize::try_from(name_bytes).map_err(|_| BadInput)?)?;
            let value = self.input.string()?;
            let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| wrong());
            let pair = (text(name)?, text(value)?);
            match self.labels.get_mut(place) {
                Some(old) => *old = pair,
                None => self.labels.push(pair),
            }
        }
        let sorted = self.labels.windows(2).all(|two| two[0].0 < two[1].0);
        let sound = sorted && !self.labels.is_empty() && self.labels.iter().all(|(_, v)| !v.is_empty());
        if sound { Ok(()) } else { Err(wrong()) }
    }

    fn read_metadata(&mut self) -> Result<Arc<MetricMetadata>, SavepointError> {
        let wrong = SavepointError::Content("metadata");
        if let Some(number) = self.input.uvarint()?.checked_sub(1) {
            let known = usize::try_from(number).ok().and_then(|number| self.metadata.get(number));
            return known.cloned().ok_or(wrong);
        }
        self.records.decode(self.input.string()?).map_err(|_| wrong.clone())?;
        let metadata = Arc::new(self.records.metadata.pop().ok_or(wrong)?.metadata);
        self.metadata.push(metadata.clone());
        Ok(metadata)
    }

    fn xor_state(&mut self) -> Result<XorState, SavepointError> {
        let bytes = self.input.bytes(XorState::BYTES)?;
        let state = bytes.first_chunk().and_then(XorState::from_bytes);
        state.ok_or(SavepointError::Content("the state of a chunk"))
    }

    fn read_open(&mut self, flags: u8) -> Result<(Reopened, &'a [u8]), SavepointError> {
        let encoding =
            Encoding::from_number(self.input.u8()?).ok_or(SavepointError::Content("an encoding"))?;
        self.time = self.time.wrapping_add(self.input.varint()?);
        let min = self.time;
        let next_at = min.wrapping_add(self.input.varint()?);
        let data = self.input.string()?;
        let xor = match encoding {
            Encoding::Xor => Some(self.xor_state()?),
            _ => None,
        };
        let mut last_histogram: Option<HistogramValue> = None;
        if flags & HAS_HISTOGRAM != 0 {
            let record = self.input.string()?;
            self.records.decode(record).map_err(|_| SavepointError::Content("a histogram"))?;
            last_histogram = self.records.histograms.pop().map(|logged| logged.value);
        }
        let predicted = flags & PREDICTED != 0;
        Ok((Reopened { encoding, min, next_at, predicted, last_histogram, xor }, data))
    }
}

/// Appends a ref to the body of a frame.
pub(crate) fn put_extra_ref(out: &mut Vec<u8>, log_ref: LogRef, extra: &ExtraRef) {
    put_uvarint(out, log_ref.get());
    put_uvarint(out, extra.first.get());
    put_varint(out, extra.newest);
}

/// Decodes a frame of refs.
pub(crate) fn extra_refs(body: &[u8]) -> Result<Vec<(LogRef, ExtraRef)>, SavepointError> {
    let (mut input, mut refs) = (Input(body), Vec::new());
    while !input.is_empty() {
        let (log_ref, first) = (LogRef::new(input.uvarint()?), LogRef::new(input.uvarint()?));
        refs.push((log_ref, ExtraRef { first, newest: input.varint()? }));
    }
    Ok(refs)
}

/// Appends the end time of a removed series to the body of a frame.
pub fn put_departed(out: &mut Vec<u8>, hash: u64, end: i64) {
    out.extend_from_slice(&hash.to_be_bytes());
    put_varint(out, end);
}

/// Decodes a frame of end times: hash of the labels, and time.
pub fn departed(body: &[u8]) -> Result<Vec<(u64, i64)>, SavepointError> {
    let (mut input, mut ends) = (Input(body), Vec::new());
    while !input.is_empty() {
        ends.push((input.u64_be()?, input.varint()?));
    }
    Ok(ends)
}

/// Appends an exemplar with the labels of its series to the body of a frame.
pub fn put_exemplar(out: &mut Vec<u8>, series: &LabelSet, exemplar: &Exemplar) {
    put_labels(out, series.iter());
    let mut record = Vec::new();
    put_exemplars(&mut record, &[LoggedExemplar { series: LogRef::default(), exemplar: exemplar.clone() }]);
    put_bytes(out, &record);
}

/// Decodes a frame of exemplars.
pub fn exemplars(body: &[u8]) -> Result<Vec<(LabelSet, Exemplar)>, SavepointError> {
    let (mut input, mut records, mut found) = (Input(body), Records::default(), Vec::new());
    while !input.is_empty() {
        let series = labels(&mut input)?;
        records.decode(input.string()?).map_err(|_| SavepointError::Content("an exemplar"))?;
        let logged = records.exemplars.pop().ok_or(SavepointError::Content("an exemplar"))?;
        found.push((series, logged.exemplar));
    }
    Ok(found)
}

const _: () = assert!(HEADER_BYTES == MAGIC.len() + size_of::<u32>());
