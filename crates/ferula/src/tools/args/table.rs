//! Commands as data.

use std::process::ExitCode;

use super::Args;

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

/// A flag of commands.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Without the dashes.
    pub name: &'static str,
    /// `r` for `-r`.
    pub short: Option<char>,
    pub help: &'static str,
    pub kind: ValueKind,
    pub default: Option<&'static str>,
    /// Represents the value in the help; "" for the default, or the name in capitals.
    pub placeholder: &'static str,
    pub required: bool,
    /// Left out of the help.
    pub hidden: bool,
}

/// An argument that is not a flag.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    pub name: &'static str,
    pub help: &'static str,
    /// A repeatable kind takes all remaining values.
    pub kind: ValueKind,
    pub required: bool,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// `--x`, `--no-x`
    Switch,
    Text,
    /// Any text, several times.
    Texts,
    /// `NAME=VALUE`, several times.
    Pairs,
    /// A duration as Go writes it.
    Duration,
    /// A whole number; `1e3` is one.
    Number,
    /// A whole number of 64 bits, in digits.
    Int64,
    Url,
    /// A file that exists.
    File,
    /// Files that exist.
    Files,
    /// A file that is created, or emptied.
    Output,
    Word(&'static [&'static str]),
}

impl ValueKind {
    /// Whether it may be given several times.
    pub fn is_cumulative(self) -> bool {
        matches!(self, ValueKind::Texts | ValueKind::Pairs | ValueKind::Files)
    }
}

/// A flag of this kind.
pub const fn flag(name: &'static str, kind: ValueKind, help: &'static str) -> Flag {
    Flag { name, short: None, help, kind, default: None, placeholder: "", required: false, hidden: false }
}

impl Flag {
    /// With a short form.
    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    /// With a default.
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// With a word for its value in the help.
    pub const fn placeholder(mut self, text: &'static str) -> Self {
        self.placeholder = text;
        self
    }

    /// Makes it required.
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Omits it from the help.
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }
}

/// An argument of this kind.
pub const fn argument(name: &'static str, kind: ValueKind, help: &'static str) -> Argument {
    Argument { name, help, kind, required: false }
}

impl Argument {
    /// Makes it required.
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }
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
