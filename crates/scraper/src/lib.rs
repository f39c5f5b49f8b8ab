//! Targets, pools and loops: from a page to labelled samples.
