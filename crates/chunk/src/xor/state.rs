//! The state of a growing XOR chunk beyond its bytes, itself as bytes.

use super::Window;

/// With it, appending continues without decoding existing samples; see [`XorWriter::go_on`](super::XorWriter::go_on).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct XorState {
    pub(super) timestamp: i64,
    pub(super) value: f64,
    pub(super) delta: u64,
    pub(super) window: Window,
    pub(super) pending: u8,
}

impl XorState {
    /// Length of what [`to_bytes`](Self::to_bytes) returns.
    pub const BYTES: usize = 3 * 8 + 3;

    /// Timestamp, value and delta, 8 bytes each, big-endian; leading and trailing zeros of the window; bits that wait.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..16].copy_from_slice(&self.value.to_bits().to_be_bytes());
        out[16..24].copy_from_slice(&self.delta.to_be_bytes());
        let (leading, trailing) = self.window.parts();
        out[24..].copy_from_slice(&[leading, trailing, self.pending]);
        out
    }

    /// The state from its bytes; `None` if no chunk has such a state.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let [.., leading, trailing, pending] = *bytes;
        let window = Window::from_parts(leading, trailing)?;
        let (timestamp, value, delta) = (number(0)? as i64, f64::from_bits(number(8)?), number(16)?);
        (pending < 32).then_some(XorState { timestamp, value, delta, window, pending })
    }
}
