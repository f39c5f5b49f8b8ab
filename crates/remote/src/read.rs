//! The server's side of remote read: sends series of the store as samples, or as a stream of chunks.
//!
//! ```text
//! body ──snappy──▶ ReadRequest ──Answerer──▶ QueryResult …  (one message)
//!                                        └▶ frame, frame …   (length | CRC-32C | ChunkedReadResponse)
//! ```
//!
//! Field numbers are those of `prompb/remote.proto` and `prompb/types.proto` of Prometheus, and what is zero is left out as by its
//! encoder: the answers are equal to its own. Chunks are those of the store.

mod chunks;
mod request;
mod samples;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ferula_model::{LabelSet, MatchOp, Matcher, TimeRange};
use ferula_storage::{Hints, Queryable, SelectionId, SeriesSamples, Snapshot, StorageError, StoredChunk};

use self::chunks::{chunks_of, label_bytes, put_chunk};
pub use self::request::{Query, ReadRequest, ResponseType};
use self::samples::SampleFields;
use crate::label::put_labels;
use crate::protobuf::{ProtobufError, push_varint, put_bytes, put_varint};
use crate::snappy::SnappyError;

/// Default maximum frame size of a stream, in bytes.
pub const FRAME_BYTES: usize = 1 << 20;

/// Why a request was not answered.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// The body cannot be decompressed.
    #[error(transparent)]
    Unpack(#[from] SnappyError),
    /// The body is not a request.
    #[error("unable to unmarshal read request: {0}")]
    Protobuf(#[from] ProtobufError),
    /// None of the types that the client accepts is supported.
    #[error(
        "server does not support any of the requested response types: [{0}]; supported: map[SAMPLES:{{}} STREAMED_XOR_CHUNKS:{{}}]"
    )]
    ResponseType(String),
    /// A matcher of unknown type, or with an invalid regular expression.
    #[error("{0}")]
    Matcher(String),
    /// The answer would exceed the sample limit.
    #[error("exceeded sample limit ({0})")]
    SampleLimit(u64),
    /// The store cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The client has disconnected.
    #[error("the client has disconnected")]
    Gone,
}

impl ReadError {
    /// Whether the client is at fault.
    pub fn is_clients(&self) -> bool {
        !matches!(self, ReadError::Storage(_) | ReadError::Gone | ReadError::Matcher(_))
    }
}

/// Limits on answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of samples per query in a sampled answer; 0 means no limit.
    pub samples_max: u64,
    /// Maximum size of a stream's frame, in bytes.
    pub frame_bytes_max: usize,
    /// Maximum number of concurrent requests; 0 means no limit.
    pub concurrent_max: usize,
}

/// Answers requests from a store.
pub struct Answerer<'s> {
    pub store: &'s dyn Queryable,
    pub external_labels: &'s BTreeMap<String, String>,
    pub limits: Limits,
    /// Options without range and order, which each query sets.
    pub hints: Hints,
}

/// The series that a query selected.
struct Selected<'s> {
    snapshot: Box<dyn Snapshot + 's>,
    selection: SelectionId,
    range: TimeRange,
}

impl<'s> Answerer<'s> {
    fn select(&self, query: &Query, sorted: bool) -> Result<Selected<'s>, ReadError> {
        let matchers: Vec<Matcher> = query.matchers.iter().map(|matcher| self.local(matcher)).collect();
        let mut snapshot = self.store.snapshot(TimeRange::from_millis(query.start_ms, query.end_ms))?;
        let range = query.read_range();
        let hints = Hints { range: Some(range), sorted, ..self.hints.clone() };
        let selection = snapshot.select(&matchers, &hints)?;
        snapshot.freeze()?;
        Ok(Selected { snapshot, selection, range })
    }

    /// External labels are not stored, so a matcher for one of ours becomes a matcher for its absence.
    fn local(&self, matcher: &Matcher) -> Matcher {
        let own = self.external_labels.get(&*matcher.name).map_or("", String::as_str);
        if matcher.op == MatchOp::Equal && own == &*matcher.value {
            return Matcher::equal(&matcher.name, "");
        }
        matcher.clone()
    }

    /// The labels of a series, plus the external labels that it does not set itself.
    fn labels(&self, labels: &LabelSet) -> LabelSet {
        if self.external_labels.is_empty() {
            return labels.clone();
        }
        let mut builder = labels.to_builder();
        for (name, value) in self.external_labels {
            if builder.value(name).is_empty() {
                builder.set(name, value);
            }
        }
        builder.finish()
    }

    /// Returns the message with all samples, uncompressed.
    ///
    /// # Errors
    /// The answer has too many samples, or the store failed.
    pub fn samples(&self, request: &ReadRequest) -> Result<Vec<u8>, ReadError> {
        let mut message = Vec::new();
        for query in &request.queries {
            let selected = self.select(query, false)?;
            let (mut result, mut count) = (Vec::new(), 0u64);
            let mut series = Vec::new();
            for row in 0..selected.count() {
                self.check_stop()?;
                let before = result.len();
                series.clear();
                put_labels(&mut series, &self.labels(&selected.labels(row)));
                if !query.only_series() {
                    count += selected.put_samples(row, &mut series)?;
                }
                if self.limits.samples_max > 0 && count > self.limits.samples_max {
                    return Err(ReadError::SampleLimit(self.limits.samples_max));
                }
                put_bytes(&mut result, 1, &series);
                self.hints.charge(result.len() - before)?;
            }
            put_bytes(&mut message, 1, &result);
        }
        Ok(message)
    }

    /// Passes one frame after the other to `send`, until `send` returns `Break`.
    ///
    /// # Errors
    /// The store failed.
    pub fn stream(
        &self,
        request: &ReadRequest,
        send: &mut dyn FnMut(Vec<u8>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        for (index, query) in request.queries.iter().enumerate() {
            let selected = self.select(query, true)?;
            for (labels, row) in self.sorted_rows(&selected)? {
                self.check_stop()?;
                let chunks = selected.chunks(row)?;
                if self.frames_of(index, &self.labels(&labels), &chunks, send).is_break() {
                    return Err(ReadError::Gone);
                }
            }
        }
        Ok(())
    }

    fn check_stop(&self) -> Result<(), ReadError> {
        if self.hints.stop.is_set() { Err(StorageError::Stopped.into()) } else { Ok(()) }
    }

    /// The rows by their labels, which is the order that readers of a stream rely on.
    fn sorted_rows(&self, selected: &Selected<'_>) -> Result<Vec<(LabelSet, usize)>, ReadError> {
        let count = selected.count();
        self.hints.charge(count.saturating_mul(size_of::<(LabelSet, usize)>()))?;
        let mut rows: Vec<(LabelSet, usize)> = (0..count).map(|row| (selected.labels(row), row)).collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(rows)
    }

    /// The frames of one series. As in Prometheus a frame ends with the chunk that fills it.
    fn frames_of(
        &self,
        query: usize,
        labels: &LabelSet,
        chunks: &[StoredChunk],
        send: &mut dyn FnMut(Vec<u8>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut head = Vec::new();
        put_labels(&mut head, labels);
        let bound = self.limits.frame_bytes_max.saturating_sub(label_bytes(labels));
        let (mut series, mut filled, mut message) = (head.clone(), 0, Vec::new());
        for (index, chunk) in chunks.iter().enumerate() {
            message.clear();
            put_chunk(&mut message, chunk);
            filled += message.len();
            put_bytes(&mut series, 2, &message);
            if filled >= bound || index + 1 == chunks.len() {
                send(frame(query, &series))?;
                series.clone_from(&head);
                filled = 0;
            }
        }
        ControlFlow::Continue(())
    }
}

impl Selected<'_> {
    fn count(&self) -> usize {
        self.snapshot.series_count(self.selection)
    }

    fn labels(&self, row: usize) -> LabelSet {
        self.snapshot.labels(self.selection, row)
    }

    /// The chunks of a row as they are stored, or else made of its samples.
    fn chunks(&self, row: usize) -> Result<Vec<StoredChunk>, StorageError> {
        if let Some(chunks) = self.snapshot.read_chunks(self.selection, row, self.range, true)? {
            return Ok(chunks);
        }
        let mut chunks = Vec::new();
        self.read(row, &mut |samples| chunks = chunks_of(samples))?;
        Ok(chunks)
    }

    /// Appends the samples of a row. Returns how many there are.
    fn put_samples(&self, row: usize, series: &mut Vec<u8>) -> Result<u64, StorageError> {
        let mut fields = SampleFields::default();
        // Whole chunks: what a histogram knows of resets depends on its place in them.
        match self.snapshot.read_chunks(self.selection, row, self.range, false)? {
            Some(chunks) => {
                for chunk in &chunks {
                    fields.put_chunk(chunk, self.range)?;
                }
            }
            None => self.read(row, &mut |samples| fields.put_columns(samples))?,
        }
        series.append(&mut fields.floats);
        series.append(&mut fields.histograms);
        Ok(fields.count)
    }

    fn read(&self, row: usize, take: &mut dyn FnMut(&SeriesSamples)) -> Result<(), StorageError> {
        let mut sink = |_: usize, samples: &SeriesSamples| {
            take(samples);
            ControlFlow::Continue(())
        };
        self.snapshot.read(self.selection, row..row + 1, self.range, &mut sink)
    }
}

/// Length, CRC-32C and message of one frame.
fn frame(query: usize, series: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(series.len() + 16);
    put_bytes(&mut message, 1, series);
    if query > 0 {
        put_varint(&mut message, 2, query as u64);
    }
    let mut frame = Vec::with_capacity(message.len() + 14);
    push_varint(&mut frame, message.len() as u64);
    frame.extend_from_slice(&crc32c::crc32c(&message).to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

#[cfg(test)]
mod tests;
