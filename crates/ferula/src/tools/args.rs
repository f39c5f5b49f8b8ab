//! Arguments of commands, by the rules of the library that promtool is built with, and the help text in its look.
//!
//! ```text
//! table (commands, flags, arguments: data) ─ tokens ─ parse ─► Args, or a text for the user
//!                                     └── usage (wrap) ─► help
//! ```
//!
//! Here: everything that is the same for all commands. Elsewhere: the tables, each in the file of its commands.
//! The server's own flags have rules of their own (`crate::flags`).
//!
//! Always true of an [`Args`]: every required flag and argument is there, and every value is one of its kind.

mod duration;
mod parse;
mod table;
mod tokens;
mod usage;
mod wrap;

pub use duration::{format_nanos, parse_nanos};
pub use parse::{Outcome, go_io_error, open_error as parse_open_error, parse};
pub use table::{Argument, Command, Flag, Kind, argument, flag, group};
pub use usage::command_lines;

/// What was given to one command.
#[derive(Debug)]
pub struct Args {
    /// What the program was called.
    pub program: String,
    /// Flags of the command and of everything above it.
    known: Vec<&'static Flag>,
    flags: Vec<(&'static str, String)>,
    /// Values that are no flags, each with the name of its place.
    arguments: Vec<(&'static str, String)>,
}

impl Args {
    /// Whether a switch is on.
    pub fn has(&self, switch: &str) -> bool {
        self.last(switch) == Some("true")
    }

    /// Whether the flag was given.
    pub fn given(&self, flag: &str) -> bool {
        self.flags.iter().any(|(name, _)| *name == flag)
    }

    /// All values of a flag, in order; its default when it was not given.
    pub fn all(&self, flag: &str) -> Vec<&str> {
        if self.given(flag) {
            return self
                .flags
                .iter()
                .filter(|(name, _)| *name == flag)
                .map(|(_, value)| value.as_str())
                .collect();
        }
        self.known
            .iter()
            .find(|known| known.name == flag)
            .and_then(|known| known.default)
            .into_iter()
            .collect()
    }

    /// The value given last, or the default.
    pub fn last(&self, flag: &str) -> Option<&str> {
        self.all(flag).pop()
    }

    /// The value given last, or the default, or "".
    pub fn text(&self, flag: &str) -> &str {
        self.last(flag).unwrap_or_default()
    }

    /// The value as a whole number; 0 without one.
    pub fn number(&self, flag: &str) -> i64 {
        self.last(flag).and_then(|text| parse::integer(text).ok()).unwrap_or_default()
    }

    /// The value in nanoseconds; 0 without one.
    pub fn nanos(&self, flag: &str) -> i64 {
        self.last(flag).and_then(|text| parse_nanos(text).ok()).unwrap_or_default()
    }

    /// Pairs of a `NAME=VALUE` flag, the last of each name.
    pub fn pairs(&self, flag: &str) -> std::collections::BTreeMap<&str, &str> {
        self.all(flag).into_iter().filter_map(parse::pair).collect()
    }

    /// The argument at this place.
    pub fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.iter().find(|(place, _)| *place == name).map(|(_, value)| value.as_str())
    }

    /// All arguments at a place that takes several.
    pub fn arguments(&self, name: &str) -> Vec<&str> {
        self.arguments.iter().filter(|(place, _)| *place == name).map(|(_, value)| value.as_str()).collect()
    }
}
