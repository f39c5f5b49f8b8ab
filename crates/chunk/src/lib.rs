//! Compressed runs of samples of one series: append and iterate.
