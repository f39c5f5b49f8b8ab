//! `ferula tsdb …`: looks into data directories and makes blocks. Output and errors are promtool's.

mod bench;
mod create_blocks;
mod create_rules;

pub use create_blocks::new_ulid;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ferula_promql_syntax::{parse_metric_selector, parse_metric_selectors};
use ferula_telemetry::Registry;
use ferula_tsdb::blob::Access;
use ferula_tsdb::block::{Block, BlockMeta, Ulid, block_dirs};
use ferula_tsdb::disk::{Disk, OverlayDisk, RealDisk};
use ferula_tsdb::retention::replaced;
use ferula_tsdb::tools::{
    AnalyzeOptions, DumpFormat, DumpOptions, ListedBlock, analyze, block_sources, dump, head_sources, list,
    verify, verify_savepoint,
};
use ferula_tsdb::{Db, Options};

use super::args::{Args, Command, Flag, Kind, argument, flag, go_io_error, group};
use super::finish;

/// `tsdb`
pub const COMMAND: Command = group(
    "tsdb",
    "Run tsdb commands.",
    &[
        group("bench", "Run benchmarks.", &[bench::WRITE]),
        Command::new("analyze", "Analyze churn, label pair cardinality and compaction efficiency.", |args| {
            finish(with_stdout(|out| run_analyze(args, out)))
        })
        .flags(&[
            flag("limit", Kind::Number, "How many items to show in each list.").default("20"),
            flag("extended", Kind::Switch, "Run extended analysis."),
            flag(
                "match",
                Kind::Text,
                "Series selector to analyze. Only 1 set of matchers is supported now.",
            ),
        ])
        .arguments(&[
            argument("db path", Kind::Text, DB_PATH),
            argument("block id", Kind::Text, "Block to analyze (default is the last block)."),
        ]),
        Command::new("list", "List tsdb blocks.", |args| finish(with_stdout(|out| run_list(args, out))))
            .flags(&[flag("human-readable", Kind::Switch, "Print human readable values.").short('r')])
            .arguments(&[argument("db path", Kind::Text, DB_PATH)]),
        Command::new(
            "dump",
            "Dump data (series+samples or optionally just series) from a TSDB.",
            |args| finish(with_stdout(|out| run_dump(args, false, out))),
        )
        .flags(&[
            SANDBOX,
            MIN_TIME,
            MAX_TIME,
            MATCH,
            flag("format", Kind::Word(&["prom", "seriesjson"]), "Output format of the dump (prom (default) or seriesjson).")
                .default("prom"),
        ])
        .arguments(&[argument("db path", Kind::Text, DB_PATH)]),
        Command::new(
            "dump-openmetrics",
            "[Experimental] Dump samples from a TSDB into OpenMetrics text format, excluding native histograms and \
             staleness markers, which are not representable in OpenMetrics.",
            |args| finish(with_stdout(|out| run_dump(args, true, out))),
        )
        .flags(&[SANDBOX, MIN_TIME, MAX_TIME, MATCH])
        .arguments(&[argument("db path", Kind::Text, DB_PATH)]),
        create_blocks::COMMAND,
        Command::new("verify", "Read everything in one block or all, and tell what is wrong.", |args| {
            finish(with_stdout(|out| run_verify(args, out)))
        })
        .arguments(&[
            argument("db path", Kind::Text, DB_PATH),
            argument("block id", Kind::Text, "Block to read (default is all of them)."),
        ])
        .ours(),
    ],
);

const DATA_DIR: &str = "data/";
const DB_PATH: &str = "Database path (default is data/).";
const SANDBOX: Flag = flag(
    "sandbox-dir-root",
    Kind::Text,
    "Root directory where a sandbox directory will be created, this sandbox is used in case WAL replay generates chunks \
     (default is the database path). The sandbox is cleaned up at the end.",
);
const MIN_TIME: Flag =
    flag("min-time", Kind::Int64, "Minimum timestamp to dump, in milliseconds since the Unix epoch.")
        .default("-9223372036854775808");
const MAX_TIME: Flag =
    flag("max-time", Kind::Int64, "Maximum timestamp to dump, in milliseconds since the Unix epoch.")
        .default("9223372036854775807");
const MATCH: Flag = flag("match", Kind::Texts, "Series selector. Can be specified multiple times.")
    .default("{__name__=~'(?s:.*)'}");

/// Runs with a buffer in front of the standard output.
fn with_stdout(run: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    run(&mut out)?;
    Ok(out.flush()?)
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// Whether something is there, in the words of Go.
fn stat(path: &Path) -> Result<std::fs::Metadata> {
    let said = |error| anyhow::anyhow!("stat {}: {}", path.display(), go_io_error(&error));
    std::fs::metadata(path).map_err(said)
}

/// Opens all blocks of a data directory, oldest first. What others were made of is left out.
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

/// Opens the block of this name, or the newest by name.
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
    let blocks = open_blocks(&disk(), Path::new(args.argument("db path").unwrap_or(DATA_DIR)))?;
    let metas: Vec<_> = blocks.iter().map(Block::meta).collect();
    let rows: Vec<_> =
        blocks.iter().zip(&metas).map(|(block, meta)| ListedBlock { meta, bytes: block.bytes() }).collect();
    Ok(list(&rows, true, args.has("human-readable"), out)?)
}

fn run_analyze(args: &Args, out: &mut dyn Write) -> Result<()> {
    let matcher_text = args.text("match").to_owned();
    let matchers = if matcher_text.is_empty() { Vec::new() } else { parse_metric_selector(&matcher_text)? };
    let limit = args.number("limit");
    let dir = Path::new(args.argument("db path").unwrap_or(DATA_DIR));
    let block = open_block(&disk(), dir, args.argument("block id"))?;
    let options = AnalyzeOptions {
        matchers,
        matcher_text,
        limit: usize::try_from(limit).unwrap_or(0),
        extended: args.has("extended"),
    };
    Ok(analyze(&block, &options, out)?)
}

fn run_dump(args: &Args, open_metrics: bool, out: &mut dyn Write) -> Result<()> {
    let format = match args.text("format") {
        _ if open_metrics => DumpFormat::OpenMetrics,
        "seriesjson" => DumpFormat::SeriesJson,
        _ => DumpFormat::Prometheus,
    };
    let dir = Path::new(args.argument("db path").unwrap_or(DATA_DIR));
    stat(dir).context("opening the db dir")?;
    if let Some(sandbox) = Some(args.text("sandbox-dir-root")).filter(|root| !root.is_empty()) {
        // What a sandbox would hold is kept in memory.
        stat(Path::new(sandbox)).context("setting up sandbox dir")?;
    }
    // A server may be using the folder: it is neither locked nor changed.
    let db = Db::open(
        dir,
        Options {
            lock_file: false,
            opened_at_ms: Some(super::moment::now().0 / 1_000_000),
            ..Options::default()
        },
        Arc::new(OverlayDisk::new(disk())),
        &Registry::new(),
        &mut |_| {},
    )?;
    let options = DumpOptions {
        range: (args.number("min-time"), args.number("max-time")),
        matcher_sets: parse_metric_selectors(args.all("match"))?,
        format,
    };
    let blocks = db.blocks();
    let mut sources = block_sources(blocks.iter().map(|block| &**block), options.range)?;
    sources.extend(head_sources(&db, options.range)?);
    Ok(dump(sources, &options, out)?)
}

fn run_verify(args: &Args, out: &mut dyn Write) -> Result<()> {
    let (disk, dir) = (disk(), Path::new(args.argument("db path").unwrap_or(DATA_DIR)));
    let blocks = match args.argument("block id") {
        Some(name) => vec![open_block(&disk, dir, Some(name))?],
        None => open_blocks(&disk, dir)?,
    };
    let mut all = Vec::new();
    for block in &blocks {
        all.push((block.meta().ulid.to_string(), verify(block)?));
    }
    if args.argument("block id").is_none() {
        let savepoint = verify_savepoint(&*disk, dir)?;
        all.extend(savepoint.map(|verified| ("savepoint".to_owned(), verified)));
    }
    let mut bad = 0;
    for (name, verified) in &all {
        let stats = verified.stats;
        let counts = format!(
            "{} series, {} chunks, {} samples",
            stats.num_series, stats.num_chunks, stats.num_samples
        );
        if verified.problems.is_empty() {
            writeln!(out, "{name} ok: {counts}")?;
            continue;
        }
        bad += 1;
        writeln!(out, "{name} BAD: {counts}")?;
        for problem in &verified.problems {
            writeln!(out, "  {problem}")?;
        }
    }
    out.flush()?;
    if bad > 0 { bail!("{bad} of {} are bad", all.len()) } else { Ok(()) }
}
