//! Reading series: the leaves of a query.

pub(crate) mod counts_only;
pub(crate) mod crew;
pub(crate) mod instant;
pub(crate) mod range_vector;
pub(crate) mod scan;
pub(crate) mod smoothed;
pub(crate) mod step_invariant;
pub(crate) mod subquery;
pub(crate) mod window;
pub(crate) mod worker;
