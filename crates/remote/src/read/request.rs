//! Requests of remote read.

use ferula_model::{MatchOp, Matcher, TimeRange};

use super::ReadError;
use crate::protobuf::Reader;
use crate::snappy;

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseType {
    /// One message with all samples.
    Samples,
    /// A stream of chunks.
    StreamedChunks,
}

/// A client's request.
#[derive(Clone, Debug, Default)]
pub struct ReadRequest {
    /// The queries, in the order of their answers.
    pub queries: Vec<Query>,
    /// The numbers of the types that the client accepts, in order of preference.
    accepted: Vec<u32>,
}

/// A selector over a time range, both ends included.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Start in milliseconds.
    pub start_ms: i64,
    /// End in milliseconds.
    pub end_ms: i64,
    /// All of them must match.
    pub matchers: Vec<Matcher>,
    hints: Option<ReadHints>,
}

/// What the client does with the series.
#[derive(Clone, Debug, Default)]
struct ReadHints {
    start_ms: i64,
    end_ms: i64,
    only_series: bool,
}

impl Query {
    /// The range of the samples that are read: as in Prometheus that of the hints, if there are any.
    pub fn read_range(&self) -> TimeRange {
        match &self.hints {
            Some(hints) => TimeRange::from_millis(hints.start_ms, hints.end_ms),
            None => TimeRange::from_millis(self.start_ms, self.end_ms),
        }
    }

    /// Whether the client wants to know which series there are, and no samples.
    pub fn only_series(&self) -> bool {
        self.hints.as_ref().is_some_and(|hints| hints.only_series)
    }
}

const STREAMED_CHUNKS: u32 = 1;

impl ReadRequest {
    /// Decompresses and parses a request.
    ///
    /// # Errors
    /// The bytes are not a request, or a matcher is invalid.
    pub fn decode(body: &[u8]) -> Result<Self, ReadError> {
        let bytes = snappy::decode(body)?;
        let mut request = ReadRequest::default();
        let mut reader = Reader::new(&bytes);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => request.queries.push(query(value.bytes("ReadRequest.queries")?)?),
                2 => value.extend_uints("ReadRequest.accepted_response_types", &mut request.accepted)?,
                _ => {}
            }
        }
        Ok(request)
    }

    /// The first supported type.
    ///
    /// # Errors
    /// None is supported.
    pub fn response_type(&self) -> Result<ResponseType, ReadError> {
        if self.accepted.is_empty() {
            return Ok(ResponseType::Samples);
        }
        for number in &self.accepted {
            match *number {
                0 => return Ok(ResponseType::Samples),
                STREAMED_CHUNKS => return Ok(ResponseType::StreamedChunks),
                _ => {}
            }
        }
        let numbers: Vec<String> = self.accepted.iter().map(u32::to_string).collect();
        Err(ReadError::ResponseType(numbers.join(" ")))
    }
}

fn query(message: &[u8]) -> Result<Query, ReadError> {
    let mut reader = Reader::new(message);
    let mut query = Query::default();
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => query.start_ms = value.int("Query.start_timestamp_ms")?,
            2 => query.end_ms = value.int("Query.end_timestamp_ms")?,
            3 => query.matchers.push(matcher(value.bytes("Query.matchers")?)?),
            4 => query.hints = Some(hints(value.bytes("Query.hints")?)?),
            _ => {}
        }
    }
    Ok(query)
}

fn hints(message: &[u8]) -> Result<ReadHints, ReadError> {
    let mut reader = Reader::new(message);
    let mut hints = ReadHints::default();
    while let Some((field, value)) = reader.field()? {
        match field {
            2 => hints.only_series = value.bytes("ReadHints.func")? == b"series",
            3 => hints.start_ms = value.int("ReadHints.start_ms")?,
            4 => hints.end_ms = value.int("ReadHints.end_ms")?,
            _ => {}
        }
    }
    Ok(hints)
}

fn matcher(message: &[u8]) -> Result<Matcher, ReadError> {
    let mut reader = Reader::new(message);
    let (mut op, mut name, mut text) = (0, &b""[..], &b""[..]);
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => op = value.uint("LabelMatcher.type")?,
            2 => name = value.bytes("LabelMatcher.name")?,
            3 => text = value.bytes("LabelMatcher.value")?,
            _ => {}
        }
    }
    let op = match op {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        _ => return Err(ReadError::Matcher("invalid matcher type".to_owned())),
    };
    let (name, text) = (String::from_utf8_lossy(name), String::from_utf8_lossy(text));
    Matcher::new(op, &name, &text).map_err(|error| ReadError::Matcher(error.to_string()))
}
