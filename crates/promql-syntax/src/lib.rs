//! PromQL's lexer, AST, parser, type check and printer.
//!
//! Here: text to a typed tree and back, with Prometheus' error texts and positions. Elsewhere:
//! evaluation (`ferula-promql`). Config checks, rule checks, the formatter and the API need only this.
//!
//! ```text
//! query text ─ lexer (scan, token) ─ parser/ (literal) ─ types ─► Expr ─► printer, json, visit
//! ```
//!
//! Always true: a parsed tree is at most [`HEIGHT_MAX`] high, and a walk by recursion that starts in [`stack`] has room
//! for it. Dropping a tree needs no room.

pub mod ast;
mod error;
pub mod functions;
#[cfg(feature = "generate")]
pub mod generate;
mod help;
mod json;
mod lexer;
mod literal;
mod parser;
mod pieces;
mod printer;
pub mod raw_bytes;
mod scan;
pub mod stack;
mod token;
mod types;
mod value_type;
mod visit;

pub use ast::{Expr, ExprKind, Span, ValueType};
pub use error::{ParseError, ParseErrors};
pub use help::Help;
pub use parser::series::{HistogramSequence, SequenceItem, SeriesDescription, parse_series_description};
pub use parser::{
    DEPTH_MAX, HEIGHT_MAX, ParserOptions, parse, parse_metric, parse_metric_selector, parse_metric_selectors,
};
pub use pieces::{Piece, PieceClass, pieces};
