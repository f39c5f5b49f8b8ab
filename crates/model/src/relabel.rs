//! Relabel rules: rewriting, keeping and dropping label sets.
