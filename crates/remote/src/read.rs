//! The server's side of remote read: sends series of the store as samples, or as a stream of chunks.
//!
//! ```text
//! body ──snappy──▶ ReadRequest ──Answerer──▶ QueryResult …  (one message)
//!                                        └▶ frame, frame …   (length | CRC-32C | ChunkedReadResponse)
//! ```
//!
//! Field numbers are those of `prompb/remote.proto` and `prompb/types.proto` of Prometheus. Native histograms
//! are sent as float histograms, because that is how the store returns them.

mod chunks;
mod request;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use ferula_model::{HistogramValue, LabelSet, MatchOp, Matcher, TimeRange};
use ferula_storage::{Hints, Queryable, SelectionId, SeriesSamples, Snapshot, StorageError};

use self::chunks::chunks_of;
pub use self::request::{Query, ReadRequest, ResponseType};
use crate::histogram::put_histogram;
use crate::label::put_labels;
use crate::protobuf::{ProtobufError, push_varint, put_bytes, put_double, put_varint};
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
        let range = TimeRange::from_millis(query.start_ms, query.end_ms);
        let matchers: Vec<Matcher> = query.matchers.iter().map(|matcher| self.local(matcher)).collect();
        let mut snapshot = self.store.snapshot(range)?;
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
            let mut failed = None;
            let (mut series, mut part) = (Vec::new(), Vec::new());
            selected.read(&mut |row, samples| {
                count += samples.len() as u64;
                if self.limits.samples_max > 0 && count > self.limits.samples_max {
                    failed = Some(ReadError::SampleLimit(self.limits.samples_max));
                    return ControlFlow::Break(());
                }
                if samples.is_empty() {
                    return ControlFlow::Continue(());
                }
                let before = result.len();
                series.clear();
                put_labels(&mut series, &self.labels(&selected.labels(row)));
                put_samples(&mut series, &mut part, samples);
                put_bytes(&mut result, 1, &series);
                if let Err(error) = self.hints.charge(result.len() - before) {
                    failed = Some(error.into());
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })?;
            if let Some(error) = failed {
                return Err(error);
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
            let mut gone = false;
            selected.read(&mut |row, samples| {
                if samples.is_empty() {
                    return ControlFlow::Continue(());
                }
                let labels = self.labels(&selected.labels(row));
                let sent = self.frames_of(index, &labels, samples, send);
                gone |= sent.is_break();
                sent
            })?;
            if gone {
                return Err(ReadError::Gone);
            }
        }
        Ok(())
    }

    /// The frames of one series: each has as many chunks as fit, but at least one.
    fn frames_of(
        &self,
        query: usize,
        labels: &LabelSet,
        samples: &SeriesSamples,
        send: &mut dyn FnMut(Vec<u8>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut head = Vec::new();
        put_labels(&mut head, labels);
        let mut series = head.clone();
        let mut chunks = chunks_of(samples).into_iter().peekable();
        while let Some(chunk) = chunks.next() {
            put_bytes(&mut series, 2, &chunk);
            let next = chunks.peek().map_or(0, Vec::len);
            if chunks.peek().is_none() || series.len() + next > self.limits.frame_bytes_max {
                send(frame(query, &series))?;
                series.clone_from(&head);
            }
        }
        ControlFlow::Continue(())
    }
}

impl Selected<'_> {
    fn labels(&self, row: usize) -> LabelSet {
        self.snapshot.labels(self.selection, row)
    }

    fn read(
        &self,
        sink: &mut dyn FnMut(usize, &SeriesSamples) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let rows = 0..self.snapshot.series_count(self.selection);
        let mut take = |row: usize, samples: &SeriesSamples| sink(row, samples);
        self.snapshot.read(self.selection, rows, self.range, &mut take)
    }
}

/// Appends the floats and histograms of a series.
fn put_samples(series: &mut Vec<u8>, part: &mut Vec<u8>, samples: &SeriesSamples) {
    for (at, value) in samples.floats.timestamps.iter().zip(&samples.floats.values) {
        part.clear();
        // As in Prometheus' encoder: zeros are omitted, but negative zeros are not.
        if value.to_bits() != 0 {
            put_double(part, 1, *value);
        }
        if *at != 0 {
            put_varint(part, 2, *at as u64);
        }
        put_bytes(series, 2, part);
    }
    for (at, value) in samples.histograms.timestamps.iter().zip(&samples.histograms.values) {
        part.clear();
        put_histogram(part, *at, 0, &HistogramValue::Float(Arc::clone(value)));
        put_bytes(series, 4, part);
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
