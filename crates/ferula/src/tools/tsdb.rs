//! `ferula tsdb …`: looks into data directories and makes blocks. Output and errors are promtool's.

mod create_blocks;

pub use create_blocks::new_ulid;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
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
    verify,
};
use ferula_tsdb::{Db, Options};

use super::Tool;
use super::args::Args;

/// `tsdb`
pub const TOOL: Tool = Tool {
    name: "tsdb",
    about: "Data directories: list, analyze, dump, dump-openmetrics, verify, create-blocks-from.",
    run,
};

const DATA_DIR: &str = "data/";

const USAGE: &str = "usage: ferula tsdb <command> [<args> ...]\n\n\
    list [-r] [<db path>]\n    \
        Lists blocks; -r (--human-readable) prints times and sizes for people.\n\
    analyze [--limit=20] [--extended] [--match=SELECTOR] [<db path>] [<block id>]\n    \
        Churn, cardinality and, with --extended, how full chunks are. The last block unless one is named.\n\
    dump [--min-time=MS] [--max-time=MS] [--match=SELECTOR]... [--format=prom|seriesjson] [<db path>]\n    \
        All samples of all blocks and of the log, or all series.\n\
    dump-openmetrics [--min-time=MS] [--max-time=MS] [--match=SELECTOR]... [<db path>]\n    \
        The same as a page of OpenMetrics; no histograms.\n\
    verify [<db path>] [<block id>]\n    \
        Reads everything in one block or all, and tells what is wrong.\n\
    create-blocks-from openmetrics [-r] [-q] [--label=NAME=VALUE]... [--max-block-duration=2h] <input file> [<output dir>]\n    \
        Makes blocks from the samples of a page of OpenMetrics with timestamps.\n";

fn run(arguments: &[String]) -> ExitCode {
    let Some((command, rest)) = arguments.split_first() else {
        eprint!("{USAGE}");
        return ExitCode::from(1);
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let done = match command.as_str() {
        "list" => run_list(rest, &mut out),
        "analyze" => run_analyze(rest, &mut out),
        "dump" => run_dump(rest, false, &mut out),
        "dump-openmetrics" => run_dump(rest, true, &mut out),
        "verify" => run_verify(rest, &mut out),
        "create-blocks-from" => create_blocks::run(rest, &mut out),
        "bench" => Err(anyhow::anyhow!("not supported yet: tsdb bench")),
        "-h" | "--help" | "help" => out.write_all(USAGE.as_bytes()).map_err(Into::into),
        other => Err(anyhow::anyhow!("unknown command {other:?}\n\n{USAGE}")),
    };
    match done.and_then(|()| out.flush().map_err(Into::into)) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads any more, as with `| head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(1)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// Opens all blocks of a data directory, oldest first. What others were made of is left out.
fn open_blocks(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Vec<Block>> {
    std::fs::metadata(dir).with_context(|| format!("opening the db dir: stat {}", dir.display()))?;
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
    std::fs::metadata(dir).with_context(|| format!("opening the db dir: stat {}", dir.display()))?;
    let path = match name {
        Some(name) if name.parse::<Ulid>().is_ok() && dir.join(name).is_dir() => dir.join(name),
        Some(name) => bail!("invalid block ID {name}"),
        None => block_dirs(&**disk, dir)?.pop().context("no blocks found")?,
    };
    Ok(Block::open(disk, &path, Access::Mapped)?)
}

fn run_list(arguments: &[String], out: &mut dyn Write) -> Result<()> {
    let args = Args::parse(arguments, &["human-readable"], &[], 1)?;
    let blocks = open_blocks(&disk(), Path::new(args.positional(0).unwrap_or(DATA_DIR)))?;
    let metas: Vec<_> = blocks.iter().map(Block::meta).collect();
    let rows: Vec<_> =
        blocks.iter().zip(&metas).map(|(block, meta)| ListedBlock { meta, bytes: block.bytes() }).collect();
    Ok(list(&rows, true, args.has("human-readable"), out)?)
}

fn run_analyze(arguments: &[String], out: &mut dyn Write) -> Result<()> {
    let args = Args::parse(arguments, &["extended"], &["limit", "match"], 2)?;
    let matcher_text = args.last("match").unwrap_or_default().to_owned();
    let matchers = if matcher_text.is_empty() { Vec::new() } else { parse_metric_selector(&matcher_text)? };
    let limit = args.number("limit", 20)?;
    let dir = Path::new(args.positional(0).unwrap_or(DATA_DIR));
    let block = open_block(&disk(), dir, args.positional(1))?;
    let options = AnalyzeOptions {
        matchers,
        matcher_text,
        limit: usize::try_from(limit).unwrap_or(0),
        extended: args.has("extended"),
    };
    Ok(analyze(&block, &options, out)?)
}

fn run_dump(arguments: &[String], open_metrics: bool, out: &mut dyn Write) -> Result<()> {
    let valued: &[&str] = if open_metrics {
        &["min-time", "max-time", "match", "sandbox-dir-root"]
    } else {
        &["min-time", "max-time", "match", "sandbox-dir-root", "format"]
    };
    let args = Args::parse(arguments, &[], valued, 1)?;
    let format = match args.last("format") {
        _ if open_metrics => DumpFormat::OpenMetrics,
        None | Some("prom") => DumpFormat::Prometheus,
        Some("seriesjson") => DumpFormat::SeriesJson,
        Some(other) => bail!("enum value must be one of prom,seriesjson, got '{other}'"),
    };
    let options = DumpOptions {
        range: (args.number("min-time", i64::MIN)?, args.number("max-time", i64::MAX)?),
        matcher_sets: parse_metric_selectors(args.all("match"))?,
        format,
    };
    let dir = Path::new(args.positional(0).unwrap_or(DATA_DIR));
    std::fs::metadata(dir).with_context(|| format!("opening the db dir: stat {}", dir.display()))?;
    // A server may be using the folder: it is neither locked nor changed.
    let db = Db::open(
        dir,
        Options { lock_file: false, ..Options::default() },
        Arc::new(OverlayDisk::new(disk())),
        &Registry::new(),
        &mut |_| {},
    )?;
    let blocks = db.blocks();
    let mut sources = block_sources(blocks.iter().map(|block| &**block), options.range)?;
    sources.extend(head_sources(&db, options.range)?);
    Ok(dump(sources, &options, out)?)
}

fn run_verify(arguments: &[String], out: &mut dyn Write) -> Result<()> {
    let args = Args::parse(arguments, &[], &[], 2)?;
    let (disk, dir) = (disk(), Path::new(args.positional(0).unwrap_or(DATA_DIR)));
    let blocks = match args.positional(1) {
        Some(name) => vec![open_block(&disk, dir, Some(name))?],
        None => open_blocks(&disk, dir)?,
    };
    let mut bad = 0;
    for block in &blocks {
        let verified = verify(block)?;
        let stats = verified.stats;
        let counts = format!(
            "{} series, {} chunks, {} samples",
            stats.num_series, stats.num_chunks, stats.num_samples
        );
        if verified.problems.is_empty() {
            writeln!(out, "{} ok: {counts}", block.meta().ulid)?;
            continue;
        }
        bad += 1;
        writeln!(out, "{} BAD: {counts}", block.meta().ulid)?;
        for problem in &verified.problems {
            writeln!(out, "  {problem}")?;
        }
    }
    out.flush()?;
    if bad > 0 { bail!("{bad} of {} blocks are bad", blocks.len()) } else { Ok(()) }
}
