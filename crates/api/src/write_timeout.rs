//! A stream whose writes fail when the other side reads nothing for too long.
//!
//! The HTTP parser limits reading but not writing. A client that stops reading would hold the value
//! of its query, and with it memory that other queries share, for as long as it likes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ferula_runtime::SharedClock;
use ferula_runtime::clock::Sleep;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) struct WriteTimeout<S> {
    stream: S,
    clock: SharedClock,
    limit: Duration,
    /// Set while a write is waiting.
    waiting: Option<Sleep>,
    /// Whether a write is waiting, for code that has handed the stream over.
    is_waiting: Arc<AtomicBool>,
}

impl<S> WriteTimeout<S> {
    pub(crate) fn new(stream: S, clock: SharedClock, limit: Duration) -> Self {
        WriteTimeout { stream, clock, limit, waiting: None, is_waiting: Arc::default() }
    }

    /// Tells whether a write is waiting for the other side.
    pub(crate) fn is_waiting(&self) -> Arc<AtomicBool> {
        self.is_waiting.clone()
    }

    /// Returns the result of a write, or an error once writes have waited too long. Any progress restarts the timeout.
    fn watch<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.is_waiting.store(outcome.is_pending(), Ordering::Relaxed);
        if outcome.is_ready() {
            self.waiting = None;
            return outcome;
        }
        let waiting = self.waiting.get_or_insert_with(|| self.clock.sleep(self.limit));
        match waiting.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, outcome)
    }
}

#[cfg(test)]
mod tests {
    use ferula_model::Timestamp;
    use ferula_runtime::SimClock;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_stopped_reader_fails_the_write_and_a_slow_one_does_not() {
        let clock = SimClock::at(Timestamp::default());
        let (near, mut far) = duplex(4);
        let mut near = WriteTimeout::new(near, Arc::new(clock.clone()), LIMIT);
        let writing = tokio::spawn(async move {
            near.write_all(&[7; 12]).await.expect("every piece is taken in time");
            near.write_all(&[7; 12]).await.map_err(|error| error.kind())
        });
        // Two pieces get through, each read shortly before the timeout.
        for _ in 0..2 {
            while clock.sleepers() == 0 {
                tokio::task::yield_now().await;
            }
            clock.advance(LIMIT - Duration::from_secs(1));
            far.read_exact(&mut [0; 4]).await.expect("sent");
            // The writer is awake now; it writes the next piece and waits again before this task is polled again.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
        // Now nothing is read any more.
        clock.advance(LIMIT);
        assert_eq!(writing.await.expect("no panic"), Err(io::ErrorKind::TimedOut));
        drop(far);
    }
}
