//! Plans and runs PromQL queries over any storage.
