//! What a demonstration needs beside the server: services whose metrics look like those of real stacks, conditions that
//! break them, and an inbox that receives what Slack, Discord, PagerDuty and a mail server would get.
//!
//! Nothing here reads a clock but `run.rs`: services advance by the seconds that they are handed, so that a day of
//! traffic can be tested at once. Elsewhere: starting the server on it (`cargo xtask demo`).

pub mod chance;
pub mod condition;
pub mod http;
pub mod inbox;
pub mod mail;
pub mod run;
pub mod scenario;
pub mod services;
