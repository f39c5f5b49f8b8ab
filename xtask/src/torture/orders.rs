//! What is asked of every part.

use std::path::PathBuf;
use std::time::Duration;

/// Which program, how long, and the seed of all that is random.
#[derive(Clone, Debug)]
pub struct Orders {
    /// The program: built by this chore, or named by `FERULA_BINARY`.
    pub program: PathBuf,
    pub time: Duration,
    pub seed: u64,
}
