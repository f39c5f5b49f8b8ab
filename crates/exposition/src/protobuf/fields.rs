//! Iterates over the fields of a message.

use ferula_go::protobuf::{ProtobufError, Reader, Value};

/// Calls a function for each field of a message.
pub(super) fn each_field<'a, E: From<ProtobufError>>(
    message: &'a [u8],
    mut take: impl FnMut(u32, Value<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.field()? {
        take(number, value)?;
    }
    Ok(())
}
