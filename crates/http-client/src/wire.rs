//! Observes a connection: whether the server has begun to answer, and with which bytes.
//!
//! Errors need this, and so does the rule that a `GET` is retried when a reused connection closes before the first byte of
//! the answer.

use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use ferula_go::sync::MutexExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::head_error::HeadError;

/// Maximum size of an answer's headers, as in Go.
pub(crate) const HEADER_BYTES_MAX: usize = 10 << 20;
/// How much of an answer is kept: enough to recognize HTTP where TLS was expected.
const KEPT_BYTES: usize = 16;

/// What has been read since the last request began.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// `tcp 127.0.0.1:51234->127.0.0.1:9100`, as errors name the connection.
    pub connection: String,
    answer_bytes: AtomicUsize,
    first: Mutex<Vec<u8>>,
    /// A request has begun whose answer's head has not been looked for yet.
    awaits_head: AtomicBool,
    /// Code and reason of the last answer, in the server's own words.
    status: Mutex<String>,
    /// Why the head of an answer was refused. The connection is of no use then.
    fault: Mutex<Option<HeadError>>,
}

impl Wire {
    pub fn named(connection: String) -> Self {
        Wire { connection, ..Wire::default() }
    }

    /// Clears the record at the start of a request.
    pub fn begin(&self) {
        self.answer_bytes.store(0, Ordering::Release);
        self.first.locked().clear();
        self.awaits_head.store(true, Ordering::Release);
    }

    /// Whether a request has begun since the last call.
    pub fn take_awaits_head(&self) -> bool {
        self.awaits_head.load(Ordering::Acquire) && self.awaits_head.swap(false, Ordering::AcqRel)
    }

    /// `503 Backend fetch failed`: the last answer's code and reason.
    pub fn status(&self) -> String {
        self.status.locked().clone()
    }

    pub fn set_status(&self, status: String) {
        *self.status.locked() = status;
    }

    pub fn fault(&self) -> Option<HeadError> {
        self.fault.locked().clone()
    }

    pub fn set_fault(&self, fault: HeadError) {
        *self.fault.locked() = Some(fault);
    }

    /// Whether any byte has arrived since then.
    pub fn answered(&self) -> bool {
        self.answer_bytes.load(Ordering::Acquire) > 0
    }

    /// The first bytes received.
    pub fn first(&self) -> Vec<u8> {
        self.first.locked().clone()
    }

    fn note(&self, bytes: &[u8]) {
        let before = self.answer_bytes.fetch_add(bytes.len(), Ordering::AcqRel);
        if before < KEPT_BYTES {
            let kept = &bytes[..bytes.len().min(KEPT_BYTES - before)];
            self.first.locked().extend_from_slice(kept);
        }
    }
}

/// A connection that records what is read.
#[derive(Debug)]
pub(crate) struct RecordedStream<S> {
    stream: S,
    wire: std::sync::Arc<Wire>,
}

impl<S> RecordedStream<S> {
    pub fn new(stream: S, wire: std::sync::Arc<Wire>) -> Self {
        RecordedStream { stream, wire }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RecordedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(new) = buf.filled().get(before..).filter(|new| !new.is_empty()) {
            self.wire.note(new);
        }
        done
    }
}

/// Writes go to the field `stream`, unchanged.
macro_rules! write_through {
    ($type:ident) => {
        impl<S: AsyncWrite + Unpin> AsyncWrite for $type<S> {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.stream).poll_write(cx, buf)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_flush(cx)
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_shutdown(cx)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.stream.is_write_vectored()
            }
        }
    };
}
pub(crate) use write_through;

write_through!(RecordedStream);
