//! A read on its way: a task that asks and hands over the body piece by piece, and a reader that waits for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ferula_model::TimeRange;
use ferula_storage::{Hints, PendingRead, SourceRows, Stop, StorageError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::answer::{self, AnswerError, Pieces, Rows};
use super::client::{BodyKind, ReadClient, ReadFailure};

/// Pieces of a body that may wait for the reader.
const PIECES_WAITING_MAX: usize = 8;
/// How often the task looks whether anybody still waits.
const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// What the reader knows about the answer before it comes.
pub struct Expected {
    pub range: TimeRange,
    /// Labels that are taken off the series.
    pub hidden: Vec<String>,
    pub frame_bytes_max: u64,
    pub hints: Hints,
}

/// What the task hands over.
enum Event {
    Begun(BodyKind),
    Piece(Bytes),
    End,
    Failed(ReadFailure),
    Stopped,
}

/// A read on its way.
pub struct Pending {
    client: Arc<ReadClient>,
    events: mpsc::Receiver<Event>,
    expected: Expected,
}

impl Pending {
    /// Starts the task.
    pub fn begin(runtime: &Handle, client: Arc<ReadClient>, body: Bytes, expected: Expected) -> Self {
        let (sender, events) = mpsc::channel(PIECES_WAITING_MAX);
        let (asking, stop) = (client.clone(), expected.hints.stop.clone());
        runtime.spawn(async move {
            let last = tokio::select! {
                last = transfer(&asking, body, &sender) => last,
                () = asking.clock.sleep(asking.timeout) => Event::Failed(asking.timed_out()),
                () = stopped(&asking, &stop) => Event::Stopped,
                () = sender.closed() => return,
            };
            // A reader that has gone needs no end.
            let _ = sender.send(last).await;
        });
        Pending { client, events, expected }
    }
}

/// Asks, and sends the body; returns the last event.
async fn transfer(client: &ReadClient, body: Bytes, sender: &mpsc::Sender<Event>) -> Event {
    let (kind, mut response) = match client.ask(body).await {
        Ok(begun) => begun,
        Err(failure) => return Event::Failed(failure),
    };
    let status = response.status_text().to_owned();
    if sender.send(Event::Begun(kind)).await.is_err() {
        return Event::Stopped;
    }
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => {
                if sender.send(Event::Piece(piece)).await.is_err() {
                    return Event::Stopped;
                }
            }
            Ok(None) => return Event::End,
            Err(error) => return Event::Failed(ReadFailure::Body { status, error }),
        }
    }
}

async fn stopped(client: &ReadClient, stop: &Stop) {
    while !stop.is_set() {
        client.clock.sleep(STOP_INTERVAL).await;
    }
}

impl PendingRead for Pending {
    fn wait(mut self: Box<Self>) -> SourceRows {
        let failed = |error: StorageError| SourceRows { rows: Vec::new(), error: Some(error) };
        let remote = |text: String| StorageError::Remote(text);
        let kind = match self.events.blocking_recv() {
            Some(Event::Begun(kind)) => kind,
            Some(Event::Failed(failure)) => return failed(remote(format!("remote_read: {failure}"))),
            _ => return failed(StorageError::Stopped),
        };
        let mut rows = Rows::new(self.expected.range, &self.expected.hidden, &self.expected.hints);
        let result = match kind {
            BodyKind::Sampled => whole(&mut self.events, &self.expected.hints)
                .and_then(|body| answer::sampled(&body, &mut rows)),
            BodyKind::Chunked => {
                let limit = self.expected.frame_bytes_max;
                let result = answer::chunked(&mut EventPieces(&mut self.events), limit, &mut rows);
                let code = if result.is_ok() { "200" } else { "aborted_stream" };
                self.client.metrics.note_end("chunked", code);
                result
            }
        };
        let error = result.err().map(|error| match error {
            AnswerError::Store(error) => error,
            error @ (AnswerError::Unpack(_)
            | AnswerError::Message(_)
            | AnswerError::Results(_)
            | AnswerError::Body(_)) => remote(format!("remote_read: {error}")),
            error => remote(error.to_string()),
        });
        SourceRows { rows: rows.finish(), error }
    }
}

/// The whole body, which counts as the reader's memory.
fn whole(events: &mut mpsc::Receiver<Event>, hints: &Hints) -> Result<Vec<u8>, AnswerError> {
    let mut body = Vec::new();
    let mut pieces = EventPieces(events);
    while let Some(piece) = pieces.next()? {
        hints.charge(piece.len())?;
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The pieces of a body that has begun.
struct EventPieces<'a>(&'a mut mpsc::Receiver<Event>);

impl Pieces for EventPieces<'_> {
    fn next(&mut self) -> Result<Option<Bytes>, AnswerError> {
        match self.0.blocking_recv() {
            Some(Event::Piece(piece)) => Ok(Some(piece)),
            Some(Event::End) => Ok(None),
            Some(Event::Failed(failure)) => Err(AnswerError::Body(failure)),
            _ => Err(AnswerError::Store(StorageError::Stopped)),
        }
    }
}
