//! The values that one command was given.
//!
//! Always true of an [`Args`]: every required flag and argument is present, and every value is valid. A command reads a
//! flag through the constant in its table, so a misspelled name does not compile; reading a flag of another command is
//! a bug and panics.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_go::duration::parse_with_days as parse_nanos;

use super::flag::{Argument, Flag, ValueKind};
use super::value::{integer, pair};

/// The values given to one command.
#[derive(Debug)]
pub struct Args {
    /// The name by which the program was called.
    pub program: String,
    /// Flags of the command and of the groups above it.
    known: Vec<&'static Flag>,
    places: Vec<&'static Argument>,
    pub(super) flags: Vec<(&'static str, String)>,
    /// Values that are not flags, each with the name of its argument.
    pub(super) arguments: Vec<(&'static str, String)>,
}

impl Args {
    /// No values yet, of a command with these flags and arguments.
    pub(super) fn new(program: &str, known: Vec<&'static Flag>, places: Vec<&'static Argument>) -> Self {
        Args { program: program.to_owned(), known, places, flags: Vec::new(), arguments: Vec::new() }
    }

    /// Whether a switch is on.
    pub fn has(&self, switch: Flag) -> bool {
        assert_eq!(switch.kind, ValueKind::Switch, "--{} is a switch", switch.name);
        self.last(switch) == Some("true")
    }

    /// Whether the flag was given explicitly.
    pub fn given(&self, flag: Flag) -> bool {
        self.values(flag).next().is_some()
    }

    /// Whether the command has this flag.
    pub fn takes(&self, flag: Flag) -> bool {
        self.known.iter().any(|known| known.name == flag.name)
    }

    /// All values of a flag, in order; the default if it was not given.
    pub fn all(&self, flag: Flag) -> Vec<&str> {
        let given: Vec<&str> = self.values(flag).collect();
        if given.is_empty() { flag.default.into_iter().collect() } else { given }
    }

    /// The last value given, or the default, if any.
    pub fn last(&self, flag: Flag) -> Option<&str> {
        self.values(flag).last().or(flag.default)
    }

    /// The last value given, or the default, for a flag that always has a value.
    pub fn text(&self, flag: Flag) -> &str {
        self.last(flag).unwrap_or_else(|| panic!("--{} is required or has a default", flag.name))
    }

    /// The value, as a whole number, of a flag that always has one.
    pub fn number(&self, flag: Flag) -> i64 {
        integer(self.text(flag)).expect("values are checked as they are parsed")
    }

    /// The value in nanoseconds, if there is one.
    pub fn nanos(&self, flag: Flag) -> Option<i64> {
        assert_eq!(flag.kind, ValueKind::Duration, "--{} is a duration", flag.name);
        self.last(flag).map(|text| parse_nanos(text).expect("values are checked as they are parsed"))
    }

    /// The value, as a length of time, of a flag that always has one; the sign is dropped.
    pub fn duration(&self, flag: Flag) -> Duration {
        let nanos = self.nanos(flag).unwrap_or_else(|| panic!("--{} has a default", flag.name));
        Duration::from_nanos(nanos.unsigned_abs())
    }

    /// Pairs of a `NAME=VALUE` flag, the last of each name.
    pub fn pairs(&self, flag: Flag) -> BTreeMap<&str, &str> {
        self.all(flag).into_iter().filter_map(pair).collect()
    }

    /// The value of a required argument.
    pub fn required(&self, place: Argument) -> &str {
        assert!(place.required, "<{}> may be missing", place.name);
        self.argument(place).expect("required arguments are checked as they are parsed")
    }

    /// The value of an argument, if it was given.
    pub fn argument(&self, place: Argument) -> Option<&str> {
        self.arguments(place).first().copied()
    }

    /// All values of an argument that takes several.
    pub fn arguments(&self, place: Argument) -> Vec<&str> {
        let is_known = self.places.iter().any(|known| known.name == place.name);
        assert!(is_known, "<{}> is not an argument of this command", place.name);
        let values = self.arguments.iter().filter(|(name, _)| *name == place.name);
        values.map(|(_, value)| value.as_str()).collect()
    }

    fn values(&self, flag: Flag) -> impl Iterator<Item = &str> {
        assert!(self.takes(flag), "--{} is not a flag of this command", flag.name);
        let values = self.flags.iter().filter(move |(name, _)| *name == flag.name);
        values.map(|(_, value)| value.as_str())
    }
}
