//! Clock, named tasks, shutdown, jittered intervals.
