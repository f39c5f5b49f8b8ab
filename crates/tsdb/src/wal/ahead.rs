//! Reads a segment's records for replay: one thread reads, checks, decompresses and decodes, while another
//! applies earlier records.
//!
//! The caller provides the threads: [`ReplayHelper`] runs one for the duration of a segment. Without one, the
//! same steps alternate. Either way, records arrive in order, one at a time.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use super::reader::{Damage, SegmentReader};
use super::record::{RecordKind, Records};
use crate::damage::DamageKind;

/// Maximum number of decoded records that have not been applied. A record rarely has more than a few thousand
/// samples.
const AHEAD: usize = 8;

type Work<'a> = Box<dyn FnOnce() + 'a>;
type SendWork<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Runs two pieces of work and returns when both are done. The default has no second thread.
#[derive(Clone, Default)]
pub struct ReplayHelper(Option<Arc<dyn for<'a> Fn(SendWork<'a>, Work<'a>) + Send + Sync>>);

impl ReplayHelper {
    /// Creates a helper that runs the first piece on another thread, concurrently with the second.
    pub fn new(both: impl for<'a> Fn(SendWork<'a>, Work<'a>) + Send + Sync + 'static) -> Self {
        ReplayHelper(Some(Arc::new(both)))
    }
}

impl fmt::Debug for ReplayHelper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "ReplayHelper(a thread)" } else { "ReplayHelper(none)" })
    }
}

/// The next item of a segment.
pub enum SegmentItem<'a> {
    /// A record of a known kind.
    Record(RecordKind, &'a Records),
    /// A damaged place.
    Damage(Damage),
}

/// Passes everything in a segment to `take`.
///
/// # Errors
/// The disk failed; everything before was passed on.
pub fn read_ahead(
    mut reader: SegmentReader,
    helper: &ReplayHelper,
    take: &mut dyn FnMut(SegmentItem<'_>),
) -> io::Result<()> {
    let Some(both) = &helper.0 else {
        let mut records = Records::default();
        while let Some(step) = next(&mut reader, &mut records)? {
            match step {
                Ok(Some(kind)) => take(SegmentItem::Record(kind, &records)),
                Ok(None) => {}
                Err(damage) => take(SegmentItem::Damage(damage)),
            }
        }
        return Ok(());
    };
    let (full, decoded) = sync_channel(AHEAD);
    let (used, empty) = channel();
    for _ in 0..AHEAD {
        // Both ends are held here.
        let _ = used.send(Records::default());
    }
    let mut failed = Ok(());
    both(
        Box::new(move || produce(reader, &empty, &full)),
        Box::new(|| {
            for step in decoded {
                match step {
                    Decoded::Record(kind, records) => {
                        take(SegmentItem::Record(kind, &records));
                        // The other side has ended if it no longer accepts it.
                        let _ = used.send(records);
                    }
                    Decoded::Damage(damage) => take(SegmentItem::Damage(damage)),
                    Decoded::Failed(error) => failed = Err(error),
                }
            }
        }),
    );
    failed
}

enum Decoded {
    Record(RecordKind, Records),
    Damage(Damage),
    Failed(io::Error),
}

fn produce(mut reader: SegmentReader, empty: &Receiver<Records>, full: &SyncSender<Decoded>) {
    let mut at_hand: Option<Records> = None;
    loop {
        let Some(mut records) = at_hand.take().or_else(|| empty.recv().ok()) else { return };
        let found = match next(&mut reader, &mut records) {
            Ok(None) => return,
            Ok(Some(Ok(Some(kind)))) => Decoded::Record(kind, records),
            Ok(Some(Ok(None))) => {
                at_hand = Some(records);
                continue;
            }
            Ok(Some(Err(damage))) => {
                at_hand = Some(records);
                Decoded::Damage(damage)
            }
            Err(error) => {
                // It is only lost if the other side has ended.
                let _ = full.send(Decoded::Failed(error));
                return;
            }
        };
        if full.send(found).is_err() {
            return;
        }
    }
}

/// Decodes the next record; the inner value is `Ok(None)` for an unknown kind.
fn next(
    reader: &mut SegmentReader,
    records: &mut Records,
) -> io::Result<Option<Result<Option<RecordKind>, Damage>>> {
    let decoded = match reader.next()? {
        None => return Ok(None),
        Some(Err(damage)) => return Ok(Some(Err(damage))),
        Some(Ok(record)) => records.decode(record),
    };
    Ok(Some(
        decoded.map_err(|error| reader.damage(reader.good_end(), DamageKind::Unreadable, error.to_string())),
    ))
}
