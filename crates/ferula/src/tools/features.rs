//! Experimental parts of PromQL that commands enable.

use ferula_promql_syntax::ParserOptions;

use super::args::{Args, ENABLE_FEATURE};

/// What `--enable-feature` enables in commands. Unknown names are printed and skipped, as in promtool.
pub fn promql_features(args: &Args) -> ferula_promql::Features {
    let mut features = ferula_promql::Features::default();
    for name in args.all(ENABLE_FEATURE).into_iter().flat_map(|names| names.split(',')) {
        match name {
            "promql-experimental-functions" => features.experimental_functions = true,
            "promql-delayed-name-removal" => features.delayed_name_removal = true,
            "promql-extended-range-selectors" => features.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => features.fill_modifiers = true,
            "promql-duration-expr" | "" => {}
            other => print!("  WARNING: Unknown feature passed to --enable-feature: {other}"),
        }
    }
    features
}

/// The same features, for the parser.
pub fn parser_options(features: &ferula_promql::Features) -> ParserOptions {
    ParserOptions {
        experimental_functions: features.experimental_functions,
        duration_expressions: true,
        extended_range_selectors: features.extended_range_selectors,
        binop_fill_modifiers: features.fill_modifiers,
    }
}
