//! Buffers for small pages: one that held a page before is in the cache of the processor, and need not be cleared.

use std::sync::{Arc, Mutex};

use ferula_go::sync::MutexExt;

/// The size limit of a page whose buffer is kept.
pub const SMALL_PAGE_BYTES: usize = 256 << 10;
/// How many buffers are kept; more pages are only in memory at the same time while many wait to be stored.
const KEPT_BUFFERS_MAX: usize = 8;

/// Buffers for pages below [`SMALL_PAGE_BYTES`]. Clones share the same buffers.
#[derive(Clone, Debug, Default)]
pub struct PageBuffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer of one page, given back when dropped.
#[derive(Debug)]
pub struct PageBuffer {
    /// The page, and what is left of an earlier one behind it.
    bytes: Vec<u8>,
    page_bytes: usize,
    home: PageBuffers,
}

impl PageBuffers {
    /// A buffer of this size with any content.
    pub fn take(&self, page_bytes: usize) -> PageBuffer {
        let mut bytes = self.0.locked().pop().unwrap_or_default();
        if bytes.len() < page_bytes {
            bytes.resize(page_bytes, 0);
        }
        PageBuffer { bytes, page_bytes, home: self.clone() }
    }
}

impl AsRef<[u8]> for PageBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.page_bytes]
    }
}

impl AsMut<[u8]> for PageBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.page_bytes]
    }
}

impl Drop for PageBuffer {
    fn drop(&mut self) {
        if self.bytes.capacity() > SMALL_PAGE_BYTES * 2 {
            return;
        }
        let mut kept = self.home.0.locked();
        if kept.len() < KEPT_BUFFERS_MAX {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_has_the_size_that_was_requested_and_is_used_again() {
        let buffers = PageBuffers::default();
        let mut first = buffers.take(100);
        first.as_mut().fill(7);
        let place = first.as_ref().as_ptr();
        drop(first);
        let second = buffers.take(10);
        assert_eq!((second.as_ref().len(), second.as_ref().as_ptr()), (10, place));
        assert_eq!(buffers.take(3).as_ref(), [0; 3], "the other one is in use");
        drop(second);
        assert_eq!(buffers.take(SMALL_PAGE_BYTES).as_ref().len(), SMALL_PAGE_BYTES);
    }

    #[test]
    fn only_some_small_ones_are_kept() {
        let buffers = PageBuffers::default();
        drop((0..100).map(|_| buffers.take(1000)).collect::<Vec<_>>());
        assert_eq!(buffers.0.locked().len(), KEPT_BUFFERS_MAX);
        buffers.0.locked().clear();
        drop(buffers.take(SMALL_PAGE_BYTES * 2 + 1));
        assert!(buffers.0.locked().is_empty());
    }
}
