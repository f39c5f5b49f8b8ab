//! The two versions of go-yaml that Prometheus reads its files with.

/// Which version of go-yaml is followed: they differ in repeated keys, merged mappings, nulls and booleans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Version 2, for configuration and target files: a merge takes effect where it stands.
    V2,
    /// Version 3, for rule files: a mapping's own keys win over merged ones.
    V3 {
        /// Whether an unknown key is an error.
        strict: bool,
    },
}
