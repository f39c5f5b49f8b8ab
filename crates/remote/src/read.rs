//! Remote read, the server's side: series of the store as samples, or as a stream of chunks.
//!
//! ```text
//! body ──snappy──▶ ReadRequest ──Answerer──▶ QueryResult …  (one message)
//!                                        └▶ frame, frame …   (length | CRC-32C | ChunkedReadResponse)
//! ```
//!
//! Field numbers are those of `prompb/remote.proto` and `prompb/types.proto` of Prometheus. Native histograms are sent as float
//! histograms, which is what readers of the store get.

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

/// The largest frames of a stream by default, in bytes.
pub const FRAME_BYTES: usize = 1 << 20;

/// Why a request is not answered.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// The body cannot be unpacked.
    #[error(transparent)]
    Unpack(#[from] SnappyError),
    /// It is not a request.
    #[error("unable to unmarshal read request: {0}")]
    Protobuf(#[from] ProtobufError),
    /// None of the types that the client takes is known.
    #[error(
        "server does not support any of the requested response types: [{0}]; supported: map[SAMPLES:{{}} STREAMED_XOR_CHUNKS:{{}}]"
    )]
    ResponseType(String),
    /// A matcher of no kind, or whose regular expression is wrong.
    #[error("{0}")]
    Matcher(String),
    /// The answer has more samples than it may.
    #[error("exceeded sample limit ({0})")]
    SampleLimit(u64),
    /// The store cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The client has gone.
    #[error("the client has gone")]
    Gone,
}

impl ReadError {
    /// Whether the client is at fault.
    pub fn is_clients(&self) -> bool {
        !matches!(self, ReadError::Storage(_) | ReadError::Gone | ReadError::Matcher(_))
    }
}

/// Bounds of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Samples of one query of an answer in samples; 0 for no limit.
    pub samples_max: u64,
    /// Bytes of a frame of a stream.
    pub frame_bytes_max: usize,
    /// Requests at once; 0 for no limit.
    pub concurrent_max: usize,
}

/// Answers requests from a store.
pub struct Answerer<'s> {
    pub store: &'s dyn Queryable,
    pub external_labels: &'s BTreeMap<String, String>,
    pub limits: Limits,
    /// Without a range and order, which each query has.
    pub hints: Hints,
}

/// What a query selected.
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

    /// External labels are not stored: a matcher that asks for one of ours asks for none here.
    fn local(&self, matcher: &Matcher) -> Matcher {
        let own = self.external_labels.get(&*matcher.name).map_or("", String::as_str);
        if matcher.op == MatchOp::Equal && own == &*matcher.value {
            return Matcher::equal(&matcher.name, "");
        }
        matcher.clone()
    }

    /// The labels of a series with the external ones that it does not have itself.
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

    /// The message with all samples, not packed.
    ///
    /// # Errors
    /// More samples than an answer may have, and failures of the store.
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

    /// Hands frame after frame to `send`, until it breaks.
    ///
    /// # Errors
    /// Failures of the store.
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

    /// The frames of one series: as many chunks in each as have room, at least one.
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

/// Floats and histograms of a series.
fn put_samples(series: &mut Vec<u8>, part: &mut Vec<u8>, samples: &SeriesSamples) {
    for (at, value) in samples.floats.timestamps.iter().zip(&samples.floats.values) {
        part.clear();
        // As Prometheus' encoder has it: what is zero is left out, but a negative zero is not.
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

/// Length, CRC-32C and message of one part of a stream.
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
