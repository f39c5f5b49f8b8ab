//! PromQL's lexer, AST, parser, type check and printer.
//!
//! Here: text to a typed tree and back, with Prometheus' error texts and positions. Elsewhere:
//! evaluation (`ferula-promql`). Config checks, rule checks, the formatter and the API need only this.

pub mod ast;
pub mod functions;
