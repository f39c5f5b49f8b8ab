//! Arguments of commands, parsed by the rules of promtool's library, and help pages in its layout.
//!
//! ```text
//! table (commands), flag (flags, arguments): data ─ tokens ─ parse (value) ─► Args, or a page, or an error
//!                                              └── usage (wrap) ─► help
//! ```
//!
//! Here: everything common to all commands. Elsewhere: the tables, each in the file of its commands, and the
//! server's own flags, which follow different rules (`crate::flags`).

mod command_args;
mod flag;
mod parse;
mod table;
mod tokens;
mod usage;
mod value;
mod wrap;

pub use ferula_go::duration::{format as format_nanos, parse_with_days as parse_nanos};

pub use self::command_args::Args;
pub use self::flag::{Argument, Flag, ValueKind, argument, flag};
pub use self::parse::{ENABLE_FEATURE, EXPERIMENTAL, Outcome, UsageError, parse};
pub use self::table::{Command, group};
pub use self::usage::command_lines;
pub use self::value::{go_io_error, open_error};
