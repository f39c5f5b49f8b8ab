//! For tests only: simulated clock, memory storage, fake targets.
