//! Commands as data.

use std::process::ExitCode;

use super::command_args::Args;
use super::flag::{Argument, Flag};

/// A command, or a group of commands.
#[derive(Debug)]
pub struct Command {
    /// Below its group.
    pub name: &'static str,
    pub help: &'static str,
    /// They also apply to everything below.
    pub flags: &'static [Flag],
    /// In the order in which they follow the name.
    pub arguments: &'static [Argument],
    pub commands: &'static [Command],
    /// `None` for a group.
    pub run: Option<fn(&Args) -> ExitCode>,
    /// Not in promtool, so it is omitted from the help under that name.
    pub is_ours: bool,
    /// Runs if its group is named alone.
    pub is_default: bool,
}

/// A group of commands.
pub const fn group(name: &'static str, help: &'static str, commands: &'static [Command]) -> Command {
    Command { name, help, flags: &[], arguments: &[], commands, run: None, is_ours: false, is_default: false }
}

impl Command {
    /// A command that runs.
    pub const fn new(name: &'static str, help: &'static str, run: fn(&Args) -> ExitCode) -> Self {
        Command {
            name,
            help,
            flags: &[],
            arguments: &[],
            commands: &[],
            run: Some(run),
            is_ours: false,
            is_default: false,
        }
    }

    /// With flags.
    pub const fn flags(mut self, flags: &'static [Flag]) -> Self {
        self.flags = flags;
        self
    }

    /// With arguments.
    pub const fn arguments(mut self, arguments: &'static [Argument]) -> Self {
        self.arguments = arguments;
        self
    }

    /// Makes it the command that runs if its group is named alone.
    pub const fn default(mut self) -> Self {
        self.is_default = true;
        self
    }

    /// Marks a command that promtool does not have.
    pub const fn ours(mut self) -> Self {
        self.is_ours = true;
        self
    }
}
