//! Remote read: any answer of a source is read or refused, and any request of a client answered.

use bytes::Bytes;
use ferula_model::TimeRange;
use ferula_remote::read::ReadRequest;
use ferula_remote::snappy;
use ferula_remote::source::answer::{AnswerError, Pieces, Rows, chunked, sampled};
use ferula_storage::Hints;

/// A body in pieces of a few bytes.
struct Cut<'a>(&'a [u8]);

impl Pieces for Cut<'_> {
    fn next(&mut self) -> Result<Option<Bytes>, AnswerError> {
        let (piece, rest) = self.0.split_at(self.0.len().min(7));
        self.0 = rest;
        Ok((!piece.is_empty()).then(|| Bytes::copy_from_slice(piece)))
    }
}

fn main() {
    // A series `{__name__="m"}` with a sample, in one result.
    let message: &[u8] =
        b"\x0a\x1e\x0a\x1c\x0a\x0d\x0a\x08__name__\x12\x01m\x12\x0b\x09\0\0\0\0\0\0\xf0\x3f\x10\x05";
    // The same as a frame with a chunk.
    let series: &[u8] = b"\x0a\x24\x0a\x0d\x0a\x08__name__\x12\x01m\x12\x13\x08\x05\x10\x05\x18\x01\x22\x0b\0\x01\x0a\x3f\xf0\0\0\0\0\0\0";
    let mut frame = vec![series.len() as u8];
    frame.extend_from_slice(&crc32c::crc32c(series).to_be_bytes());
    frame.extend_from_slice(series);
    ferula_fuzz::drive("remote_read", &[message, &frame], |input| {
        let hints = Hints::default();
        let hidden = ["job".to_owned()];
        let rows = || Rows::new(TimeRange::ALL, &hidden, &hints);
        let _ = sampled(input, &mut rows());
        let _ = sampled(&snappy::encode(input), &mut rows());
        let _ = chunked(&mut Cut(input), 1 << 20, &mut rows());
        // The checks of a frame let few inputs through: one around all of it.
        let mut frame = Vec::new();
        ferula_remote::protobuf::push_varint(&mut frame, input.len() as u64);
        frame.extend_from_slice(&crc32c::crc32c(input).to_be_bytes());
        frame.extend_from_slice(input);
        let _ = chunked(&mut Cut(&frame), 1 << 20, &mut rows());
        let _ = ReadRequest::decode(input);
    });
}
