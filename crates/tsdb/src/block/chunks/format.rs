//! Layout of a segment.
//!
//! ```text
//! u32 magic | u8 version | 3 zeros | (uvarint length | u8 encoding | data | u32 crc32c of encoding and data)*
//! ```

/// First four bytes of a segment.
pub const MAGIC: u32 = 0x85BD_40DD;
/// The only version.
pub const VERSION: u8 = 1;
/// Magic, version, padding.
pub const HEADER_BYTES: usize = 8;
/// The longest length field.
pub const LENGTH_BYTES_MAX: usize = 5;
/// The encoding.
pub const ENCODING_BYTES: usize = 1;
/// The checksum.
pub const CRC_BYTES: usize = 4;
/// Maximum size of a segment, unless the options differ or the chunks of a single series are larger.
pub const SEGMENT_BYTES: u64 = 512 << 20;

/// The reference of a chunk at `offset` in the segment with this index, counted from 0.
pub fn reference(segment: u32, offset: u32) -> u64 {
    u64::from(segment) << 32 | u64::from(offset)
}

/// Segment and offset of a reference.
pub fn place(reference: u64) -> (u32, u32) {
    ((reference >> 32) as u32, reference as u32)
}

/// The file name of the segment with this index.
pub fn segment_name(segment: u32) -> String {
    format!("{:06}", u64::from(segment) + 1)
}
