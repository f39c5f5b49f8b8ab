//! Binary operators.

pub(crate) mod element;
pub(crate) mod matching;
pub(crate) mod set;
mod signature;
pub(crate) mod vector_scalar;
