//! Changes to a plan that keep its meaning. One rule per file.

pub(super) mod context_functions;
pub(super) mod counts_only;
pub(super) mod step_invariant;
