//! The engine: takes alerts, and decides which notifications to send.
//!
//! ```text
//! put ─▶ store ─▶ inhibitor            poll(now) ─▶ groups that are due ─▶ inhibited? active? muted? silenced?
//!          └────▶ routes ─▶ groups                    └─▶ per integration: sent already? ─▶ attempts
//! finished(attempt) ─▶ notification log, a later attempt, or giving up
//! ```
//!
//! The engine reads no clock, starts no tasks and does no disk I/O: every call receives `now`, attempts are
//! handed out and their results handed back as values, and what must survive a crash is handed out as
//! [`Record`]s. Its caller (`crate::run`) sleeps until [`Engine::next_due`], makes the attempts, and writes
//! the records before it answers a request.
//!
//! Always true: a group has at most one flush at a time, and a tick during a flush is delayed until its end.
//! An attempt belongs to one flush and ends at its deadline, which is when the next flush is due (but at
//! least ten seconds later).

mod alerts;
mod clock;
mod deliver;
mod delivery;
mod explain;
mod flush;
mod forecast;
mod history;
mod metrics;
mod pair;
mod pair_state;
mod put;
mod query_metrics;
mod record;
mod reload;
mod restore;
mod silencing;
mod state;
mod view;

pub use self::delivery::{Attempt, Attempted, Content};
pub use self::explain::{
    Explanation, IntegrationView, RouteGroupView, RouteVerdict, RouteView, SilenceView, Verdict,
};
pub use self::forecast::NextNotification;
pub use self::history::{
    AttemptNote, Event, History, HistoryEntry, HistoryLimits, HistoryView, Outcome, PastAlert, SilenceChange,
};
pub use self::metrics::Metrics;
pub use self::pair_state::{PairMessage, PairView};
pub use self::record::{FileMark, Record};
pub use self::silencing::SilencePreview;
pub use self::state::{Engine, EngineSettings, OwnSettings, Setup};
pub use self::view::{AlertStatus, AlertView, GroupView};

#[cfg(test)]
mod tests;
