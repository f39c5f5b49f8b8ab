//! Lists of series numbers that rise strictly: combining them.
//!
//! Here: lists as blocks have them, in one piece. The head keeps its own in containers.

mod intersect;
mod list;
mod union;

pub use intersect::{intersect, intersects};
pub use list::subtract;
pub use union::union;
