//! `ferula tsdb …`: inspects data directories and creates blocks. Output and errors are promtool's.

mod bench;
mod create_blocks;
mod create_rules;
mod data_dir;
mod mend;
mod new_blocks;

pub use self::new_blocks::new_ulid;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use ferula_model::TimeRange;
use ferula_promql_syntax::{parse_metric_selector, parse_metric_selectors};
use ferula_telemetry::Registry;
use ferula_tsdb::disk::OverlayDisk;
use ferula_tsdb::tools::{
    AnalyzeOptions, DumpFormat, DumpOptions, ListedBlock, analyze, block_sources, dump, head_sources, list,
};
use ferula_tsdb::{Block, Db, Options};

use self::data_dir::{DB_PATH, data_dir, disk, open_block, open_blocks, stat};
use super::args::{Args, Argument, Command, Flag, ValueKind, argument, flag, group};
use super::output::{finish, with_stdout};

const BLOCK_TO_ANALYZE: Argument =
    argument("block id", ValueKind::Text, "The block to analyze; the newest by default.");
const LIMIT: Flag =
    flag("limit", ValueKind::Number, "The maximum number of lines in each list.").default("20");
const EXTENDED: Flag =
    flag("extended", ValueKind::Switch, "Also read the chunks to report how full they are.");
const ANALYZED: Flag = flag("match", ValueKind::Text, "A selector; only series that match it are analyzed.");
const HUMAN_READABLE: Flag =
    flag("human-readable", ValueKind::Switch, "Print times as dates, and sizes with units.").short('r');
const FORMAT: Flag = flag(
    "format",
    ValueKind::Word(&["prom", "seriesjson"]),
    "What to print: prom, samples in the text format, or seriesjson, one JSON object for each series.",
)
.default("prom");
const SANDBOX: Flag = flag(
    "sandbox-dir-root",
    ValueKind::Text,
    "Accepted for compatibility, and must exist. Nothing is written there: the log is read into \
     memory.",
);
const MIN_TIME: Flag =
    flag("min-time", ValueKind::Int64, "The first time to print, in milliseconds since 1970.")
        .default("-9223372036854775808");
const MAX_TIME: Flag =
    flag("max-time", ValueKind::Int64, "The last time to print, in milliseconds since 1970.")
        .default("9223372036854775807");
const MATCH: Flag = flag("match", ValueKind::Texts, "A selector of series. May be repeated.")
    .default("{__name__=~'(?s:.*)'}");

/// `tsdb`
pub const COMMAND: Command = group(
    "tsdb",
    "Inspect data directories and fill them.",
    &[
        group("bench", "Measure the store.", &[bench::WRITE]),
        Command::new("analyze", "Print which labels and metrics of a block have the most series, and which come and go.", |args| {
            finish(with_stdout(|out| run_analyze(args, out)))
        })
        .flags(&[LIMIT, EXTENDED, ANALYZED])
        .arguments(&[DB_PATH, BLOCK_TO_ANALYZE]),
        Command::new("list", "List the blocks, with their times, numbers and sizes.", |args| {
            finish(with_stdout(|out| run_list(args, out)))
        })
        .flags(&[HUMAN_READABLE])
        .arguments(&[DB_PATH]),
        Command::new("dump", "Print the samples, or only the series, of a data directory.", |args| {
            finish(with_stdout(|out| run_dump(args, dump_format(args), out)))
        })
        .flags(&[SANDBOX, MIN_TIME, MAX_TIME, MATCH, FORMAT])
        .arguments(&[DB_PATH]),
        Command::new(
            "dump-openmetrics",
            "Print the samples of a data directory as OpenMetrics, for `create-blocks-from openmetrics`. Native histograms \
             and staleness markers have no place in it and are left out.",
            |args| finish(with_stdout(|out| run_dump(args, DumpFormat::OpenMetrics, out))),
        )
        .flags(&[SANDBOX, MIN_TIME, MAX_TIME, MATCH])
        .arguments(&[DB_PATH]),
        create_blocks::COMMAND,
        mend::VERIFY,
        mend::REPAIR,
        mend::DROP_FUTURE,
    ],
);

fn run_list(args: &Args, out: &mut dyn Write) -> Result<()> {
    let blocks = open_blocks(&disk(), data_dir(args))?;
    let metas: Vec<_> = blocks.iter().map(Block::meta).collect();
    let rows: Vec<_> =
        blocks.iter().zip(&metas).map(|(block, meta)| ListedBlock { meta, bytes: block.bytes() }).collect();
    Ok(list(&rows, true, args.has(HUMAN_READABLE), out)?)
}

fn run_analyze(args: &Args, out: &mut dyn Write) -> Result<()> {
    let matcher_text = args.last(ANALYZED).unwrap_or_default().to_owned();
    let matchers = if matcher_text.is_empty() { Vec::new() } else { parse_metric_selector(&matcher_text)? };
    let limit = args.number(LIMIT);
    let block = open_block(&disk(), data_dir(args), args.argument(BLOCK_TO_ANALYZE))?;
    let options = AnalyzeOptions {
        matchers,
        matcher_text,
        limit: usize::try_from(limit).unwrap_or(0),
        extended: args.has(EXTENDED),
    };
    Ok(analyze(&block, &options, out)?)
}

fn dump_format(args: &Args) -> DumpFormat {
    match args.text(FORMAT) {
        "seriesjson" => DumpFormat::SeriesJson,
        _ => DumpFormat::Prometheus,
    }
}

fn run_dump(args: &Args, format: DumpFormat, out: &mut dyn Write) -> Result<()> {
    let dir = data_dir(args);
    stat(dir).context("opening the db dir")?;
    if let Some(sandbox) = args.last(SANDBOX).filter(|root| !root.is_empty()) {
        // promtool copies the log there; here it is read into memory.
        stat(Path::new(sandbox)).context("setting up sandbox dir")?;
    }
    // A server may be using the directory, so it is neither locked nor changed.
    let db = Db::open(
        dir,
        Options { lock_file: false, opened_at: Some(super::moment::now().timestamp()), ..Options::default() },
        Arc::new(OverlayDisk::new(disk())),
        &Registry::new(),
        &mut |_| {},
    )?;
    let options = DumpOptions {
        range: TimeRange::from_millis(args.number(MIN_TIME), args.number(MAX_TIME)),
        matcher_sets: parse_metric_selectors(args.all(MATCH))?,
        format,
    };
    let blocks = db.blocks();
    let mut sources = block_sources(blocks.iter().map(|block| &**block), options.range)?;
    sources.extend(head_sources(&db, options.range)?);
    Ok(dump(sources, &options, out)?)
}
