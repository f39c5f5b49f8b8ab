//! Strictly ascending lists of series numbers, and operations on them.
//!
//! Here: contiguous lists, as in blocks, and the selection of series by matchers (`by_matcher`); `memory` has
//! the sets of the head, stored as ids or runs.

mod by_matcher;
mod intersect;
mod list;
pub mod memory;
mod union;

pub use by_matcher::{Compare, PostingsSource, select};
pub use intersect::{intersect, intersects};
pub use list::subtract;
pub use union::union;
