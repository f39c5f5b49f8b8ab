//! Flags and arguments as data.

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
