//! `ferula tsdb …`: inspects data directories and creates blocks. Output and errors are promtool's.

mod bench;
mod create_blocks;
mod create_rules;
mod mend;

pub use create_blocks::new_ulid;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ferula_model::TimeRange;
use ferula_promql_syntax::{parse_metric_selector, parse_metric_selectors};
use ferula_telemetry::Registry;
use ferula_tsdb::Access;
use ferula_tsdb::disk::{Disk, OverlayDisk, RealDisk};
use ferula_tsdb::tools::block_dirs;
use ferula_tsdb::tools::replaced;
use ferula_tsdb::tools::{
    AnalyzeOptions, DumpFormat, DumpOptions, ListedBlock, analyze, block_sources, dump, head_sources, list,
};
use ferula_tsdb::{Block, BlockMeta, Ulid};
use ferula_tsdb::{Db, Options};

use super::args::{Args, Argument, Command, Flag, ValueKind, argument, flag, go_io_error, group};
use super::finish;

const DATA_DIR: &str = "data/";
const DB_PATH: Argument = argument("db path", ValueKind::Text, "The data directory; by default, data/.");
const BLOCK_TO_ANALYZE: Argument =
    argument("block id", ValueKind::Text, "The block to analyze; the newest by default.");
const BLOCK_TO_VERIFY: Argument = argument("block id", ValueKind::Text, "The block to read; all by default.");
const DRY_RUN: Flag = flag("dry-run", ValueKind::Switch, "Print what would be done, and change nothing.");
const UNTIL: Flag =
    flag("until", ValueKind::Int64, "The last time to keep, in milliseconds since 1970; by default, now.")
        .default("0");
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
        Command::new("verify", "Read everything in a data directory: logs, head chunks, savepoint, blocks, and how they fit together. Or one block. Changes nothing.", |args| {
            finish(with_stdout(|out| mend::run_verify(args, out)))
        })
        .arguments(&[DB_PATH, BLOCK_TO_VERIFY])
        .ours(),
        Command::new("repair", "Set damage in a data directory aside, restore what other files still have, and print what is lost. Deletes nothing. The server must not run.", |args| {
            finish(with_stdout(|out| mend::run_repair(args, out)))
        })
        .flags(&[DRY_RUN])
        .arguments(&[DB_PATH])
        .ours(),
        Command::new("drop-future", "Take the samples of a clock that was ahead out of a data directory, so that current ones are stored again. Keeps what it takes out. The server must not run.", |args| {
            finish(with_stdout(|out| mend::run_drop_future(args, out)))
        })
        .flags(&[DRY_RUN, UNTIL])
        .arguments(&[DB_PATH])
        .ours(),
    ],
);

fn data_dir(args: &Args) -> &Path {
    Path::new(args.argument(DB_PATH).unwrap_or(DATA_DIR))
}

/// Buffers standard output.
fn with_stdout(run: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    run(&mut out)?;
    Ok(out.flush()?)
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// Fails, in Go's words, if nothing exists at this path.
fn stat(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) => bail!("stat {}: {}", path.display(), go_io_error(&error)),
    }
}

/// Opens all blocks of a data directory, oldest first, except those already compacted into others.
fn open_blocks(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Vec<Block>> {
    stat(dir).context("opening the db dir")?;
    let mut metas: Vec<(PathBuf, BlockMeta)> = Vec::new();
    for block in block_dirs(&**disk, dir)? {
        match BlockMeta::read(&**disk, &block) {
            Ok(meta) => metas.push((block, meta)),
            Err(error) => eprintln!("block without a readable meta.json is left out: {error}"),
        }
    }
    let gone = replaced(metas.iter().map(|(_, meta)| meta));
    let mut blocks = Vec::new();
    for (dir, meta) in metas {
        if !gone.contains(&meta.ulid) {
            let block = Block::open(disk, &dir, Access::Mapped);
            blocks.push(block.with_context(|| format!("corrupted block {}", meta.ulid))?);
        }
    }
    blocks.sort_by_key(|block| block.meta().min_time);
    Ok(blocks)
}

/// Opens the block with this name, or the newest by name.
fn open_block(disk: &Arc<dyn Disk>, dir: &Path, name: Option<&str>) -> Result<Block> {
    stat(dir).context("opening the db dir")?;
    let path = match name {
        Some(name) if name.parse::<Ulid>().is_ok() && dir.join(name).is_dir() => dir.join(name),
        Some(name) => bail!("invalid block ID {name}"),
        None => block_dirs(&**disk, dir)?.pop().context("no blocks found")?,
    };
    Ok(Block::open(disk, &path, Access::Mapped)?)
}

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
