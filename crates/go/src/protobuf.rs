//! The protobuf wire format, read and written without copying. What is accepted, and the error texts, are those of the
//! decoders that `gogo/protobuf` generates, which read Prometheus' messages.
//!
//! A [`Reader`] walks the fields of one message; strings and nested messages are slices of the input.

/// Why bytes are not the message they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The message ends inside a field.
    #[error("unexpected EOF")]
    UnexpectedEnd,
    /// A number of more than 64 bits.
    #[error("proto: integer overflow")]
    VarintOverflow,
    /// A field with number 0 or beyond what exists.
    #[error("proto: illegal tag {0}")]
    IllegalTag(u64),
    /// A wire type that does not exist.
    #[error("proto: illegal wireType {0}")]
    IllegalWireType(u8),
    /// The end of a group that did not begin.
    #[error("proto: unexpected end of group")]
    UnexpectedEndOfGroup,
    /// A known field with another wire type than it must have.
    #[error("proto: wrong wireType = {wire_type} for field {field}")]
    WrongWireType {
        /// The field's name.
        field: &'static str,
        /// What was found.
        wire_type: u8,
    },
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: text, bytes, a nested message, or packed numbers.
    Bytes(&'a [u8]),
    /// Wire type 3: fields between two tags. No message here has them, and they are skipped.
    Group,
    /// Wire type 5.
    Fixed32(u32),
}

impl<'a> Value<'a> {
    fn wire_type(self) -> u8 {
        match self {
            Value::Varint(_) => 0,
            Value::Fixed64(_) => 1,
            Value::Bytes(_) => 2,
            Value::Group => 3,
            Value::Fixed32(_) => 5,
        }
    }

    fn wrong(self, field: &'static str) -> ProtobufError {
        ProtobufError::WrongWireType { field, wire_type: self.wire_type() }
    }

    /// As an unsigned number.
    pub fn uint(self, field: &'static str) -> Result<u64, ProtobufError> {
        match self {
            Value::Varint(number) => Ok(number),
            other => Err(other.wrong(field)),
        }
    }

    /// As `int64`: two's complement.
    pub fn int(self, field: &'static str) -> Result<i64, ProtobufError> {
        self.uint(field).map(|number| number as i64)
    }

    /// As `sint64`: zigzag.
    pub fn sint(self, field: &'static str) -> Result<i64, ProtobufError> {
        self.uint(field).map(zigzag)
    }

    /// As `double`.
    pub fn double(self, field: &'static str) -> Result<f64, ProtobufError> {
        match self {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            other => Err(other.wrong(field)),
        }
    }

    /// As `fixed64`.
    pub fn fixed64(self, field: &'static str) -> Result<u64, ProtobufError> {
        match self {
            Value::Fixed64(number) => Ok(number),
            other => Err(other.wrong(field)),
        }
    }

    /// As bytes or a nested message.
    pub fn bytes(self, field: &'static str) -> Result<&'a [u8], ProtobufError> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(other.wrong(field)),
        }
    }

    /// Adds the numbers of a repeated `sint64`, packed or not.
    pub fn extend_sints(self, field: &'static str, into: &mut Vec<i64>) -> Result<(), ProtobufError> {
        match self {
            Value::Bytes(packed) => {
                let mut reader = Reader::new(packed);
                while !reader.rest.is_empty() {
                    into.push(zigzag(reader.varint()?));
                }
            }
            other => into.push(other.sint(field)?),
        }
        Ok(())
    }

    /// Adds the numbers of a repeated `uint32`, packed or not.
    pub fn extend_uints(self, field: &'static str, into: &mut Vec<u32>) -> Result<(), ProtobufError> {
        // A number beyond 32 bits is cut, as every decoder does.
        match self {
            Value::Bytes(packed) => {
                let mut reader = Reader::new(packed);
                while !reader.rest.is_empty() {
                    into.push(reader.varint()? as u32);
                }
            }
            other => into.push(other.uint(field)? as u32),
        }
        Ok(())
    }

    /// Adds the numbers of a repeated `uint64`, packed or not.
    pub fn extend_uint64s(self, field: &'static str, into: &mut Vec<u64>) -> Result<(), ProtobufError> {
        match self {
            Value::Bytes(packed) => {
                let mut reader = Reader::new(packed);
                while !reader.rest.is_empty() {
                    into.push(reader.varint()?);
                }
            }
            other => into.push(other.uint(field)?),
        }
        Ok(())
    }

    /// Adds the numbers of a repeated `double`, packed or not.
    pub fn extend_doubles(self, field: &'static str, into: &mut Vec<f64>) -> Result<(), ProtobufError> {
        self.each_fixed64(field, |bits| into.push(f64::from_bits(bits)))
    }

    /// Adds the numbers of a repeated `fixed64`, packed or not.
    pub fn extend_fixed64s(self, field: &'static str, into: &mut Vec<u64>) -> Result<(), ProtobufError> {
        self.each_fixed64(field, |number| into.push(number))
    }

    fn each_fixed64(self, field: &'static str, mut take: impl FnMut(u64)) -> Result<(), ProtobufError> {
        match self {
            Value::Bytes(packed) => {
                let mut reader = Reader::new(packed);
                while !reader.rest.is_empty() {
                    take(reader.fixed64()?);
                }
            }
            other => take(other.fixed64(field)?),
        }
        Ok(())
    }
}

fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Walks the fields of one message.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of a message.
    pub fn new(message: &'a [u8]) -> Self {
        Reader { rest: message }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field's number and value, or `None` at the end. Numbers beyond 32 bits are cut, as Prometheus' decoder
    /// does.
    #[inline]
    pub fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, ProtobufError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from((tag >> 3) as i32).ok().filter(|number| *number > 0);
        let number = number.ok_or(ProtobufError::IllegalTag(tag >> 3))?;
        let value = match (tag & 7) as u8 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| ProtobufError::UnexpectedEnd)?;
                Value::Bytes(self.take(length)?)
            }
            3 => {
                self.skip_group()?;
                Value::Group
            }
            4 => return Err(ProtobufError::UnexpectedEndOfGroup),
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            other => return Err(ProtobufError::IllegalWireType(other)),
        };
        Ok(Some((number, value)))
    }

    /// The next of several messages, each preceded by its length, or `None` at the end.
    pub fn delimited(&mut self) -> Result<Option<&'a [u8]>, ProtobufError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let length = usize::try_from(self.varint()?).map_err(|_| ProtobufError::UnexpectedEnd)?;
        self.take(length).map(Some)
    }

    /// Skips the rest of a group and the groups inside it. As in Prometheus, only the depth is checked, not
    /// whether its start and end have the same number.
    fn skip_group(&mut self) -> Result<(), ProtobufError> {
        let mut depth = 1u32;
        while depth > 0 {
            match (self.varint()? & 7) as u8 {
                0 => drop(self.varint()?),
                1 => drop(self.fixed64()?),
                2 => {
                    let length = usize::try_from(self.varint()?).map_err(|_| ProtobufError::UnexpectedEnd)?;
                    self.take(length)?;
                }
                3 => depth += 1,
                4 => depth -= 1,
                5 => drop(self.array::<4>()?),
                other => return Err(ProtobufError::IllegalWireType(other)),
            }
        }
        Ok(())
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, ProtobufError> {
        // Tags and lengths nearly always are one byte.
        if let Some((byte, rest)) = self.rest.split_first()
            && *byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, ProtobufError> {
        let mut number = 0u64;
        for (index, byte) in self.rest.iter().enumerate() {
            if index == 10 {
                return Err(ProtobufError::VarintOverflow);
            }
            // Only one bit of the tenth byte fits; the others are lost, as in Prometheus.
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(number);
            }
        }
        Err(ProtobufError::UnexpectedEnd)
    }

    fn fixed64(&mut self) -> Result<u64, ProtobufError> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtobufError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(ProtobufError::UnexpectedEnd)?;
        self.rest = rest;
        Ok(*array)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ProtobufError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ProtobufError::UnexpectedEnd)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Appends a field that holds a number.
pub fn put_varint(out: &mut Vec<u8>, field: u32, number: u64) {
    push_varint(out, u64::from(field) << 3);
    push_varint(out, number);
}

/// Appends a field that holds a signed number in zigzag form.
pub fn put_sint(out: &mut Vec<u8>, field: u32, number: i64) {
    put_varint(out, field, ((number << 1) ^ (number >> 63)) as u64);
}

/// Appends a field that holds a double.
pub fn put_double(out: &mut Vec<u8>, field: u32, number: f64) {
    push_varint(out, u64::from(field) << 3 | 1);
    out.extend_from_slice(&number.to_bits().to_le_bytes());
}

/// Appends a field that holds text, bytes or a nested message.
pub fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    push_varint(out, u64::from(field) << 3 | 2);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a number without a field, as packed lists hold them.
pub fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn broken_messages_say_what_is_wrong() {
        let first = |bytes: &[u8]| Reader::new(bytes).field().map(|field| field.is_some());
        assert_eq!(first(&[]), Ok(false));
        assert_eq!(first(&[0x08]), Err(ProtobufError::UnexpectedEnd));
        assert_eq!(first(&[0x12, 5, 1]), Err(ProtobufError::UnexpectedEnd));
        assert_eq!(first(&[0x00]), Err(ProtobufError::IllegalTag(0)));
        assert_eq!(first(&[0x0b]), Err(ProtobufError::UnexpectedEnd), "a group without an end");
        assert_eq!(first(&[0x0c]), Err(ProtobufError::UnexpectedEndOfGroup));
        assert_eq!(first(&[0x0b, 0x0e]), Err(ProtobufError::IllegalWireType(6)));
        assert_eq!(first(&[0xff; 12]), Err(ProtobufError::VarintOverflow));
        assert_eq!(
            Value::Varint(1).double("Sample.value").map_err(|e| e.to_string()),
            Err("proto: wrong wireType = 0 for field Sample.value".to_owned())
        );
    }

    #[test]
    fn groups_are_passed_over_with_what_is_in_them() {
        let group =
            [&[0x0b, 0x08, 1, 0x12, 2, 7, 7, 0x13, 0x0d, 1, 2, 3, 4, 0x14, 0x19][..], &[9; 8], &[0x0c]]
                .concat();
        let mut message = group.clone();
        put_varint(&mut message, 5, 6);
        let mut reader = Reader::new(&message);
        assert_eq!(reader.field(), Ok(Some((1, Value::Group))));
        assert_eq!(reader.field(), Ok(Some((5, Value::Varint(6)))));
        assert_eq!(reader.field(), Ok(None));
        for end in 1..group.len() {
            assert_eq!(Reader::new(&group[..end]).field(), Err(ProtobufError::UnexpectedEnd), "cut at {end}");
        }
        assert!(Value::Group.bytes("x").is_err());
    }

    proptest! {
        #[test]
        fn numbers_and_bytes_come_back(unsigned: u64, signed: i64, bits: u64, bytes: Vec<u8>) {
            let mut out = Vec::new();
            put_varint(&mut out, 1, unsigned);
            put_sint(&mut out, 2, signed);
            put_double(&mut out, 3, f64::from_bits(bits));
            put_bytes(&mut out, 1000, &bytes);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.field().unwrap(), Some((1, Value::Varint(unsigned))));
            let (number, value) = reader.field().unwrap().unwrap();
            prop_assert_eq!((number, value.sint("x").unwrap()), (2, signed));
            prop_assert_eq!(reader.field().unwrap(), Some((3, Value::Fixed64(bits))));
            prop_assert_eq!(reader.field().unwrap(), Some((1000, Value::Bytes(&bytes))));
            prop_assert_eq!(reader.field().unwrap(), None);
        }
    }
}
