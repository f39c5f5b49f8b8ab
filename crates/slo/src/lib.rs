//! Service level objectives: read from Sloth's and OpenSLO's files, and turned into rules.
//!
//! ```text
//! file ─▶ read ─▶ Objective ─▶ rules ─▶ RuleFile      recording rules of each window, and two alerts
//!                     ▲
//!                  windows                            which windows and burn rates belong to a period
//! measured steps of a past period ─▶ budget            what is left of it, and what spent it
//! ```
//!
//! The rules are Sloth's, so that its dashboards and its users' routes keep working. Evaluating them belongs to
//! `ferula-rules`, reading stored history to the `slo report` command.

mod budget;
mod error;
mod objective;
mod read;
mod rules;
mod windows;

pub use self::budget::{Budget, Episode, Step};
pub use self::error::{RulesError, SpecError, WindowsError};
pub use self::objective::{AlertText, Indicator, Objective, ObjectiveError, QueryError};
pub use self::read::{ReadOptions, read};
pub use self::rules::{Rule, RuleFile, RuleGroup, RuleOptions, rules};
pub use self::windows::{BurnWindow, Catalog, Windows};
