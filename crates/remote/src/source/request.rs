//! The request for one selector, byte for byte as Prometheus sends it.

use bytes::Bytes;
use ferula_model::{MatchOp, Matcher, TimeRange};
use ferula_storage::{Hints, Purpose};

use crate::protobuf::{put_bytes, put_varint};
use crate::snappy;

/// What the client takes: a stream of chunks, or else samples. Packed.
const ACCEPTED: [u8; 2] = [1, 0];

/// A packed request for the samples of a selector in a range.
pub fn encode(range: TimeRange, matchers: &[Matcher], hints: &Hints) -> Bytes {
    let mut query = Vec::new();
    put_number(&mut query, 1, range.start.millis());
    put_number(&mut query, 2, range.end.millis());
    for matcher in matchers {
        put_bytes(&mut query, 3, &matcher_message(matcher));
    }
    if let Some(purpose) = &hints.purpose {
        put_bytes(&mut query, 4, &hints_message(hints.range.unwrap_or(range), purpose));
    }
    let mut message = Vec::new();
    put_bytes(&mut message, 1, &query);
    put_bytes(&mut message, 2, &ACCEPTED);
    Bytes::from(snappy::encode(&message))
}

fn matcher_message(matcher: &Matcher) -> Vec<u8> {
    let mut message = Vec::new();
    let kind = match matcher.op {
        MatchOp::Equal => 0,
        MatchOp::NotEqual => 1,
        MatchOp::Regex => 2,
        MatchOp::NotRegex => 3,
    };
    put_number(&mut message, 1, kind);
    put_text(&mut message, 2, &matcher.name);
    put_text(&mut message, 3, &matcher.value);
    message
}

fn hints_message(range: TimeRange, purpose: &Purpose) -> Vec<u8> {
    let mut message = Vec::new();
    put_number(&mut message, 1, purpose.step_ms);
    put_text(&mut message, 2, &purpose.function);
    put_number(&mut message, 3, range.start.millis());
    put_number(&mut message, 4, range.end.millis());
    for label in &purpose.grouping {
        put_bytes(&mut message, 5, label.as_bytes());
    }
    put_number(&mut message, 6, i64::from(purpose.by));
    put_number(&mut message, 7, purpose.range_ms);
    message
}

/// What is zero is left out.
fn put_number(message: &mut Vec<u8>, field: u32, number: i64) {
    if number != 0 {
        put_varint(message, field, number as u64);
    }
}

fn put_text(message: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(message, field, text.as_bytes());
    }
}
