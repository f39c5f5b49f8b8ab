//! The real binary from outside: how it starts and stops, and that a crash loses nothing.

mod agent;
mod alerts;
mod backtest;
mod beside_prometheus;
mod circle;
mod collisions;
mod commands;
mod common;
mod consistency;
mod crash;
mod formats;
mod growth;
mod hostile;
mod limits;
mod otlp;
mod own_metrics;
mod packaging;
mod pages;
mod parts;
mod raw_requests;
mod remote_read;
mod remote_write;
mod stages;
mod start;
mod tools;
mod web_config;
