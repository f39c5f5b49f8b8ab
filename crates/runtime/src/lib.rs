//! Time and tasks: a clock that tests can control, tasks with names, shutdown as a value, intervals with an offset.
//!
//! It does not know what the tasks do, and logs nothing: a failure is returned to the caller that waits for it.

pub mod clock;
pub mod interval;
pub mod shutdown;
pub mod task_group;

pub use clock::{Clock, RealClock, SharedClock, SimClock};
pub use interval::Interval;
pub use shutdown::Shutdown;
pub use task_group::{TaskError, TaskFailure, TaskGroup};
