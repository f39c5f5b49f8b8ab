//! Reads and runs PromQL test scripts on any storage.
