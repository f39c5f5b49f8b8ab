//! The position of a running destination: what its lanes have acknowledged, what is in flight, and where the
//! reader is.
//!
//! Always true: whatever the file lists as acknowledged was acknowledged; a request is recorded in the file
//! before it is sent.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use ferula_go::sync::MutexExt;

use super::position::{ItemPosition, LanePosition, PositionFile};

/// Shared by the reader and the lanes of a destination.
#[derive(Debug)]
pub struct Progress(Mutex<State>);

#[derive(Debug)]
struct State {
    lanes: Vec<Lane>,
    file: PositionFile,
    /// Whether the state has changed since the file was written.
    changed: bool,
    failed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Lane {
    acknowledged: ItemPosition,
    in_flight: ItemPosition,
    /// Batches that have been queued and are not done.
    outstanding: u32,
    /// The position before the first item that the reader holds for the lane, or else the reader's position.
    read: ItemPosition,
}

impl Lane {
    fn at(place: ItemPosition) -> Self {
        Lane { acknowledged: place, in_flight: place, outstanding: 0, read: place }
    }

    fn position(&self) -> LanePosition {
        let acknowledged =
            if self.outstanding == 0 { self.acknowledged.max(self.read) } else { self.acknowledged };
        // After a restart, what was in flight before stays recorded until it is acknowledged.
        LanePosition { acknowledged, in_flight: self.in_flight.max(acknowledged) }
    }
}

impl Progress {
    /// Continues at these positions and writes them to the file.
    ///
    /// # Errors
    /// The disk failed.
    pub fn new(path: &Path, positions: &[LanePosition]) -> io::Result<Self> {
        let lanes =
            positions.iter().map(|lane| Lane { in_flight: lane.in_flight, ..Lane::at(lane.acknowledged) });
        let state = State {
            lanes: lanes.collect(),
            file: PositionFile::create(path, positions)?,
            changed: false,
            failed: false,
        };
        Ok(Progress(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.locked()
    }

    /// A batch was queued for the lane.
    pub fn handed_over(&self, lane: usize) {
        if let Some(lane) = self.lock().lanes.get_mut(lane) {
            lane.outstanding += 1;
        }
    }

    /// The lane is about to send a batch that ends at `until`.
    pub fn sending(&self, lane: usize, until: ItemPosition) {
        let mut state = self.lock();
        if let Some(lane) = state.lanes.get_mut(lane) {
            // What was in flight before a restart may be sent in several requests.
            lane.in_flight = lane.in_flight.max(until);
        }
        state.write();
    }

    /// The lane's batch that ends at `until` is done.
    pub fn acknowledged(&self, lane: usize, until: ItemPosition) {
        let mut state = self.lock();
        if let Some(lane) = state.lanes.get_mut(lane) {
            (lane.acknowledged, lane.in_flight) = (until, lane.in_flight.max(until));
            lane.outstanding = lane.outstanding.saturating_sub(1);
        }
        state.changed = true;
    }

    /// The reader holds nothing from before these positions, one per lane.
    pub fn read_up_to(&self, places: impl Iterator<Item = ItemPosition>) {
        let mut state = self.lock();
        for (lane, place) in state.lanes.iter_mut().zip(places) {
            lane.read = place;
        }
        state.changed = true;
    }

    /// Writes the file if something has changed, and returns a handle for syncing it.
    pub fn save(&self) -> io::Result<Option<std::fs::File>> {
        let mut state = self.lock();
        if !state.changed {
            return Ok(None);
        }
        state.write();
        state.file.sync_handle().map(Some)
    }

    /// The oldest position that is still needed.
    pub fn oldest(&self) -> ItemPosition {
        let state = self.lock();
        state.lanes.iter().map(|lane| lane.position().acknowledged).min().unwrap_or_default()
    }

    /// Where each lane would continue after a restart.
    pub fn positions(&self) -> Vec<LanePosition> {
        self.lock().lanes.iter().map(Lane::position).collect()
    }

    /// Continues with another number of lanes, all of which have done what is before `place`.
    pub fn set_lanes(&self, count: usize, place: ItemPosition) {
        let mut state = self.lock();
        state.lanes = vec![Lane::at(place); count];
        state.write();
    }
}

impl State {
    fn write(&mut self) {
        let positions: Vec<LanePosition> = self.lanes.iter().map(Lane::position).collect();
        match self.file.write(&positions) {
            Ok(()) => (self.changed, self.failed) = (false, false),
            // Logged once. Until the disk recovers, items may be sent twice after a crash.
            Err(err) => {
                self.changed = true;
                if !std::mem::replace(&mut self.failed, true) {
                    ferula_telemetry::error!(
                        "Writing the position file of a remote write destination failed",
                        component = "remote",
                        err = err
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ferula_storage::LogPosition;

    use super::*;

    fn at(offset: u64) -> ItemPosition {
        ItemPosition::before(LogPosition { segment: 0, offset })
    }

    #[test]
    fn what_was_in_flight_before_a_restart_stays_noted_while_other_lanes_send() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("position");
        let before = LanePosition { acknowledged: at(10), in_flight: at(30) };
        let progress = Progress::new(&path, &[before; 2]).expect("created");
        progress.handed_over(1);
        progress.sending(1, at(30));
        assert_eq!(PositionFile::read(&path).expect("readable"), Some(vec![before; 2]));
    }

    #[test]
    fn the_oldest_place_follows_acknowledgements_and_idle_lanes_follow_the_reader() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("position");
        let start = LanePosition { acknowledged: at(0), in_flight: at(0) };
        let progress = Progress::new(&path, &[start; 2]).expect("created");
        let read = || PositionFile::read(&path).expect("readable").expect("a file");
        progress.handed_over(0);
        progress.read_up_to([at(50), at(50)].into_iter());
        progress.sending(0, at(40));
        assert_eq!(read()[0], LanePosition { acknowledged: at(0), in_flight: at(40) });
        assert_eq!(read()[1].acknowledged, at(50), "nothing was for the other lane");
        assert_eq!(progress.oldest(), at(0));
        progress.acknowledged(0, at(40));
        progress.save().expect("written").expect("it changed");
        assert!(progress.save().expect("nothing to do").is_none());
        assert_eq!(read()[0], LanePosition { acknowledged: at(50), in_flight: at(50) });
        progress.set_lanes(3, at(60));
        assert_eq!((read().len(), progress.oldest()), (3, at(60)));
    }
}
