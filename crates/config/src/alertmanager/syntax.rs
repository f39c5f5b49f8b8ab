//! Which of the two grammars of matchers is in force.

/// Which grammar reads matchers and label names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MatcherSyntax {
    /// UTF-8 first, classic where that fails.
    #[default]
    Fallback,
    /// `--enable-feature=utf8-strict-mode`
    Utf8,
    /// `--enable-feature=classic-mode`
    Classic,
}
