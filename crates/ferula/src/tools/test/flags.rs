//! Flags and arguments of the commands that run tests.

pub(crate) use super::super::check::flags::IGNORE_UNKNOWN_FIELDS;
use crate::tools::args::{Argument, Flag, ValueKind, argument, flag};

pub(crate) const JUNIT: Flag =
    flag("junit", ValueKind::Output, "File to write the results to, as JUnit XML.");
pub(crate) const RUN: Flag = flag(
    "run",
    ValueKind::Texts,
    "Regular expression for the names of the test groups to run. May be repeated; by default, all run.",
);
pub(crate) const DEBUG: Flag = flag("debug", ValueKind::Switch, "Print what each test evaluates.");
pub(crate) const DIFF: Flag =
    flag("diff", ValueKind::Switch, "Print failures as a diff between the expected and the actual result.");
pub(crate) const TEST_FILES: Argument =
    argument("test-rule-file", ValueKind::Files, "Files of unit tests.").required();
pub(crate) const RESTART: Flag = flag(
    "restart",
    ValueKind::Switch,
    "After every load, stop the store without closing it and restart it from its log.",
);
pub(crate) const SCRIPTS: Argument =
    argument("scripts", ValueKind::Texts, "Scripts, or directories of scripts.").required();
