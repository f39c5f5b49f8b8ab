//! The queue of alerts on its way to Alertmanagers.
