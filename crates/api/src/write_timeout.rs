//! A stream whose writes fail when the other side reads nothing for too long.
//!
//! The HTTP parser limits reading but not writing. A client that stops reading would hold the value
//! of its query, and with it memory that other queries share, for as long as it likes. So would one that reads a byte a
//! minute: time that was waited is forgiven at a rate of bytes, not at every byte.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ferula_runtime::SharedClock;
use ferula_runtime::clock::Sleep;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client that reads at least so many bytes a second may take as long as it needs.
const RATE_MIN: u64 = 16 << 10;

pub(crate) struct WriteTimeout<S> {
    stream: S,
    clock: SharedClock,
    limit: Duration,
    /// Set while a write is waiting: since when, and until when.
    waiting: Option<(Duration, Sleep)>,
    /// Time that was waited and not made up for.
    waited: Duration,
    /// Whether a write is waiting, for code that has handed the stream over.
    is_waiting: Arc<AtomicBool>,
}

impl<S> WriteTimeout<S> {
    pub(crate) fn new(stream: S, clock: SharedClock, limit: Duration) -> Self {
        WriteTimeout {
            stream,
            clock,
            limit,
            waiting: None,
            waited: Duration::ZERO,
            is_waiting: Arc::default(),
        }
    }

    /// Tells whether a write is waiting for the other side.
    pub(crate) fn is_waiting(&self) -> Arc<AtomicBool> {
        self.is_waiting.clone()
    }

    /// Returns the result of a write, or an error once writes have waited too long. `bytes` is how many a result took.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        self.is_waiting.store(outcome.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(done) = outcome {
            if let Some((since, _)) = self.waiting.take() {
                self.waited += self.clock.elapsed().saturating_sub(since);
            }
            if let Ok(done) = &done {
                let made_up = Duration::from_secs_f64(bytes(done) as f64 / RATE_MIN as f64);
                self.waited = self.waited.saturating_sub(made_up);
            }
            return Poll::Ready(done);
        }
        let left = self.limit.saturating_sub(self.waited);
        let (_, waiting) = self.waiting.get_or_insert_with(|| (self.clock.elapsed(), self.clock.sleep(left)));
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
        self.watch(context, outcome, |written| *written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watch(context, outcome, |written| *written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, outcome, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, outcome, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use ferula_model::Timestamp;
    use ferula_runtime::SimClock;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// Writes 200 KB to a reader that takes `piece` bytes after every wait of `pause`; returns how the write ended.
    async fn write_to(piece: usize, pause: Duration) -> Result<(), io::ErrorKind> {
        let clock = SimClock::at(Timestamp::default());
        let (near, mut far) = duplex(piece);
        let mut near = WriteTimeout::new(near, Arc::new(clock.clone()), LIMIT);
        let writing =
            tokio::spawn(
                async move { near.write_all(&vec![7; 200_000]).await.map_err(|error| error.kind()) },
            );
        let mut buffer = vec![0; piece];
        while !writing.is_finished() {
            while clock.sleepers() == 0 && !writing.is_finished() {
                tokio::task::yield_now().await;
            }
            clock.advance(pause);
            // What is left at the end may be less.
            let _ = far.read(&mut buffer).await;
            // The writer is awake now; it writes the next piece and waits again before this task is polled again.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
        writing.await.expect("no panic")
    }

    #[tokio::test]
    async fn a_reader_that_stops_or_only_pretends_to_read_fails_the_write_and_a_slow_one_does_not() {
        let seconds = Duration::from_secs;
        assert_eq!(write_to(20_000, seconds(1)).await, Ok(()), "20 kB/s");
        assert_eq!(write_to(100_000, seconds(50)).await, Ok(()), "within the limit");
        assert_eq!(write_to(4, seconds(61)).await, Err(io::ErrorKind::TimedOut), "it reads nothing");
        // Before, each byte restarted the time.
        assert_eq!(
            write_to(4, seconds(30)).await,
            Err(io::ErrorKind::TimedOut),
            "a few bytes every half minute"
        );
        assert_eq!(write_to(100, seconds(1)).await, Err(io::ErrorKind::TimedOut), "100 bytes a second");
    }
}
