//! Sets of series: what a label pair stands for, and what matchers select.

pub mod memory;
