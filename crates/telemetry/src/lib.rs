//! Ferula's own metrics and logs.
