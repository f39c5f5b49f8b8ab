//! The engine: alerts in, attempts to notify out.
//!
//! ```text
//! put ─▶ store ─▶ inhibitor            poll(now) ─▶ groups that are due ─▶ inhibited? active? muted? silenced?
//!          └────▶ routes ─▶ groups                    └─▶ per integration: told already? ─▶ attempts
//! finished(attempt) ─▶ notification log, or another attempt later, or given up
//! ```
//!
//! The engine reads no clock, starts no task and touches no disk: `now` comes in with every call, attempts go out and come
//! back as values, and what must survive a crash is handed out as [`Record`]s. Its caller (`crate::run`) sleeps until
//! [`Engine::next_due`], makes the attempts, and writes the records before it answers anybody.
//!
//! Always true: a group has at most one flush at a time; a tick that comes meanwhile waits for it. An attempt belongs to one
//! flush, and ends at its deadline, which is when the next flush is due (ten seconds at least).

mod deliver;
mod delivery;
mod flush;
mod history;
mod metrics;
mod put;
mod record;
mod reload;
mod restore;
mod state;
mod view;

pub use self::delivery::{Attempt, Content};
pub use self::history::{Event, Outcome};
pub use self::metrics::Metrics;
pub use self::record::Record;
pub use self::state::{Engine, EngineSettings, Setup};
pub use self::view::{AlertStatus, AlertView, Explanation, GroupView, IntegrationView, RouteView};

#[cfg(test)]
mod tests;
