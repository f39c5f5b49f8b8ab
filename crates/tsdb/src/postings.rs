//! Lists of series numbers that rise strictly: combining them.
//!
//! Here: lists as blocks have them, in one piece; `memory` has the sets of the head, as ids or runs.

mod intersect;
mod list;
pub mod memory;
mod union;

pub use intersect::{intersect, intersects};
pub use list::subtract;
pub use union::union;

use ferula_model::Matcher;

/// How a value of a label is compared with a matcher.
pub type Compare<'a> = dyn Fn(&Matcher, &str) -> bool + 'a;
