//! Labels in the messages of remote write 1.0 and remote read.

use ferula_model::LabelSet;

use crate::protobuf::push_varint;

/// Appends a label as field 1.
pub fn put_label(out: &mut Vec<u8>, name: &str, value: &str) {
    const LABEL: u8 = 1 << 3 | 2;
    const NAME: u8 = 1 << 3 | 2;
    const VALUE: u8 = 2 << 3 | 2;
    let bytes = 2 + varint_bytes(name.len()) + name.len() + varint_bytes(value.len()) + value.len();
    out.push(LABEL);
    push_varint(out, bytes as u64);
    out.push(NAME);
    push_varint(out, name.len() as u64);
    out.extend_from_slice(name.as_bytes());
    out.push(VALUE);
    push_varint(out, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

/// The number of bytes that a length occupies.
fn varint_bytes(number: usize) -> usize {
    (usize::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

/// Appends all labels of a series.
pub fn put_labels(out: &mut Vec<u8>, labels: &LabelSet) {
    labels.iter().for_each(|(name, value)| put_label(out, name, value));
}
