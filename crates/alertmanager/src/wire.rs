//! The format of the protobuf files `silences` and `nflog`: messages, each preceded by its length.
//!
//! Here: what these files need beyond `ferula_go::protobuf`. Unknown fields are skipped.

use ferula_go::protobuf::{ProtobufError, Reader, Value, push_varint, put_bytes, put_double, put_varint};
use ferula_model::UnixNanos;

/// Why bytes are not a valid message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error(transparent)]
    Protobuf(#[from] ProtobufError),
    /// A text that is not UTF-8.
    #[error("proto: string field contains invalid UTF-8")]
    InvalidUtf8,
    /// A required field is missing.
    #[error("invalid state")]
    Incomplete,
}

/// A field: its number and value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    pub number: u32,
    value: Value<'a>,
}

/// Used in errors; the field names of these files mean nothing to users.
const FIELD: &str = "field";

impl<'a> Field<'a> {
    /// As an unsigned number.
    pub fn uint(&self) -> Result<u64, WireError> {
        Ok(self.value.uint(FIELD)?)
    }

    /// As a floating-point number.
    pub fn double(&self) -> Result<f64, WireError> {
        Ok(self.value.double(FIELD)?)
    }

    /// As bytes, or a nested message.
    pub fn bytes(&self) -> Result<&'a [u8], WireError> {
        Ok(self.value.bytes(FIELD)?)
    }

    /// As text.
    pub fn text(&self) -> Result<String, WireError> {
        self.str().map(str::to_owned)
    }

    /// As text that is not copied.
    pub fn str(&self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::InvalidUtf8)
    }

    /// As a time; times beyond the range of nanoseconds are clamped.
    pub fn time(&self) -> Result<UnixNanos, WireError> {
        let (mut seconds, mut nanos) = (0_i64, 0_i64);
        for field in fields(self.bytes()?) {
            let field = field?;
            match field.number {
                1 => seconds = field.uint()? as i64,
                2 => nanos = i64::from(field.uint()? as i32),
                _ => {}
            }
        }
        let exact = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Ok(UnixNanos(exact.clamp(i64::MIN.into(), i64::MAX.into()) as i64))
    }

    /// Appends the numbers of a repeated field of eight bytes each, packed or not.
    pub fn extend_fixed64s(&self, into: &mut Vec<u64>) -> Result<(), WireError> {
        Ok(self.value.extend_fixed64s(FIELD, into)?)
    }

    /// Appends the numbers of a repeated field, packed or not.
    pub fn extend_uints(&self, into: &mut Vec<u64>) -> Result<(), WireError> {
        Ok(self.value.extend_uint64s(FIELD, into)?)
    }
}

/// The fields of a message, up to the first error.
pub fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, WireError>> {
    let mut reader = Some(Reader::new(message));
    std::iter::from_fn(move || match reader.as_mut()?.field() {
        Ok(field) => field.map(|(number, value)| Ok(Field { number, value })),
        Err(error) => {
            reader = None;
            Some(Err(error.into()))
        }
    })
}

/// The messages of a file, up to the first error.
pub fn messages(file: &[u8]) -> impl Iterator<Item = Result<&[u8], WireError>> {
    let mut reader = Some(Reader::new(file));
    std::iter::from_fn(move || match reader.as_mut()?.delimited() {
        Ok(message) => message.map(Ok),
        Err(error) => {
            reader = None;
            Some(Err(error.into()))
        }
    })
}

/// The wire type of nested messages.
const LENGTH_DELIMITED: u64 = 2;

/// Writes the fields of one message. As usual in protobuf, empty and zero fields are omitted.
#[derive(Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// A message whose fields are appended to these bytes.
    pub fn after(bytes: Vec<u8>) -> Self {
        Message(bytes)
    }

    /// A number.
    pub fn uint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.uint_always(field, value);
        }
    }

    /// A number that is written even if it is 0.
    pub fn uint_always(&mut self, field: u32, value: u64) {
        put_varint(&mut self.0, field, value);
    }

    /// A floating-point number, written even if it is 0.
    pub fn double_always(&mut self, field: u32, value: f64) {
        put_double(&mut self.0, field, value);
    }

    /// Bytes or text.
    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        if !value.is_empty() {
            self.bytes_always(field, value);
        }
    }

    /// Bytes or text, written even if empty.
    pub fn bytes_always(&mut self, field: u32, value: &[u8]) {
        put_bytes(&mut self.0, field, value);
    }

    /// A nested message.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        push_varint(&mut self.0, u64::from(field) << 3 | LENGTH_DELIMITED);
        let start = self.0.len();
        write(self);
        // The length belongs before the content.
        let length = self.0.len() - start;
        match u8::try_from(length) {
            Ok(short) if short < 0x80 => self.0.insert(start, short),
            _ => {
                let mut varint = Vec::new();
                push_varint(&mut varint, length as u64);
                self.0.splice(start..start, varint);
            }
        }
    }

    /// A time.
    pub fn time(&mut self, field: u32, time: UnixNanos) {
        self.message(field, |nested| {
            nested.uint(1, time.whole_seconds() as u64);
            nested.uint(2, time.0.rem_euclid(1_000_000_000) as u64);
        });
    }

    /// Packed numbers.
    pub fn uints(&mut self, field: u32, values: &[u64]) {
        let mut packed = Vec::new();
        values.iter().for_each(|value| push_varint(&mut packed, *value));
        self.bytes(field, &packed);
    }

    /// Appends the message, preceded by its length.
    pub fn append_to(&self, file: &mut Vec<u8>) {
        push_varint(file, self.0.len() as u64);
        file.extend_from_slice(&self.0);
    }

    /// The encoded message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The size of the encoded message.
    pub fn bytes_len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::default();
        message.uint(1, u64::MAX);
        message.uint(2, 0);
        message.bytes(3, b"text");
        message.time(4, UnixNanos(-1));
        message.uints(5, &[1, 300]);
        message.double_always(6, 0.5);
        let mut file = Vec::new();
        message.append_to(&mut file);
        let read: Vec<&[u8]> = messages(&file).collect::<Result<_, _>>().expect("whole");
        let all: Vec<Field<'_>> = fields(read[0]).collect::<Result<_, _>>().expect("fields");
        assert_eq!(all.iter().map(|field| field.number).collect::<Vec<_>>(), [1, 3, 4, 5, 6]);
        assert_eq!((all[0].uint(), all[1].text()), (Ok(u64::MAX), Ok("text".into())));
        assert_eq!((all[2].time(), all[4].double()), (Ok(UnixNanos(-1)), Ok(0.5)));
        for time in [i64::MIN, i64::MIN + 1, 0, i64::MAX].map(UnixNanos) {
            let mut message = Message::default();
            message.time(1, time);
            assert_eq!(fields(&message.0).next().expect("a field").expect("good").time(), Ok(time));
        }
        let mut numbers = Vec::new();
        all[3].extend_uints(&mut numbers).expect("packed numbers");
        assert_eq!(numbers, [1, 300]);
        for end in 1..file.len() {
            let cut = messages(&file[..end]).last();
            assert_eq!(cut, Some(Err(WireError::Protobuf(ProtobufError::UnexpectedEnd))), "{end}");
        }
    }
}
