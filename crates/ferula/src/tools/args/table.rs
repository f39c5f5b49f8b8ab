//! Commands as data.

use std::process::ExitCode;

use super::Args;

/// A command, or a group of commands.
#[derive(Debug)]
pub struct Command {
    /// Its name below its group.
    pub name: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Flags of it and of everything below.
    pub flags: &'static [Flag],
    /// What stands behind the name, in order.
    pub arguments: &'static [Argument],
    /// What is below.
    pub commands: &'static [Command],
    /// Runs it; nothing for a group.
    pub run: Option<fn(&Args) -> ExitCode>,
    /// promtool does not have it: it is left out of the help under that name.
    pub ours: bool,
}

/// A flag.
#[derive(Debug)]
pub struct Flag {
    /// Without the dashes.
    pub name: &'static str,
    /// `r` for `-r`.
    pub short: Option<char>,
    /// What it does.
    pub help: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Its value when it is not given.
    pub default: Option<&'static str>,
    /// What stands for its value in the help.
    pub placeholder: &'static str,
    /// It must be given.
    pub required: bool,
    /// Left out of the help.
    pub hidden: bool,
}

/// An argument that is no flag.
#[derive(Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// What its values are; a kind of several takes all that are left.
    pub kind: Kind,
    /// It must be given.
    pub required: bool,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `--x`, `--no-x`
    Switch,
    /// Any text.
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
    /// An address.
    Url,
    /// A file that is there.
    File,
    /// Files that are there.
    Files,
    /// A file that is made, or emptied.
    Output,
    /// One of these words.
    Word(&'static [&'static str]),
}

impl Kind {
    /// Whether it may be given several times.
    pub fn is_cumulative(self) -> bool {
        matches!(self, Kind::Texts | Kind::Pairs | Kind::Files)
    }
}

/// A flag of this kind.
pub const fn flag(name: &'static str, kind: Kind, help: &'static str) -> Flag {
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

    /// It must be given.
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Left out of the help.
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }
}

/// An argument of this kind.
pub const fn argument(name: &'static str, kind: Kind, help: &'static str) -> Argument {
    Argument { name, help, kind, required: false }
}

impl Argument {
    /// It must be given.
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

/// A group of commands.
pub const fn group(name: &'static str, help: &'static str, commands: &'static [Command]) -> Command {
    Command { name, help, flags: &[], arguments: &[], commands, run: None, ours: false }
}

impl Command {
    /// A command that runs.
    pub const fn new(name: &'static str, help: &'static str, run: fn(&Args) -> ExitCode) -> Self {
        Command { name, help, flags: &[], arguments: &[], commands: &[], run: Some(run), ours: false }
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

    /// promtool does not have it.
    pub const fn ours(mut self) -> Self {
        self.ours = true;
        self
    }
}
