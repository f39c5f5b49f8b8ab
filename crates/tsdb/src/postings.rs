//! Lists of series numbers that rise strictly: combining them.
//!
//! Here: lists as blocks have them, in one piece, and the choice of series by matchers (`by_matcher`); `memory` has the
//! sets of the head, as ids or runs.

mod by_matcher;
mod intersect;
mod list;
pub mod memory;
mod union;

pub use by_matcher::{Compare, PostingsSource, select};
pub use intersect::{intersect, intersects};
pub use list::subtract;
pub use union::union;
