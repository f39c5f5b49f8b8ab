//! `tsdb create-blocks-from openmetrics`: a page with timestamps becomes blocks.
//!
//! The page is parsed once to find its range of time, and once per block, so that only the samples of one block are in
//! memory.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use ferula_exposition::{Entry, Format, LabelScratch, PageParser, Series, key};
use ferula_model::LabelSet;
use ferula_tsdb::blob::Access;
use ferula_tsdb::block::{Block, BlockOptions, Ulid};
use ferula_tsdb::disk::Disk;
use ferula_tsdb::tools::{Backfill, ListedBlock, backfill_block_duration, backfill_windows, list};

use super::with_stdout;
use crate::tools::args::{Args, Command, Kind, argument, flag, parse_open_error};
use crate::tools::finish;

/// `tsdb create-blocks-from`
pub const COMMAND: Command = Command {
    name: "create-blocks-from",
    help: "[Experimental] Import samples from input and produce TSDB blocks. Please refer to the storage docs for more \
           details.",
    flags: &[
        flag("human-readable", Kind::Switch, "Print human readable values.").short('r'),
        flag("quiet", Kind::Switch, "Do not print created blocks.").short('q'),
        flag(
            "max-block-duration",
            Kind::Duration,
            "Maximum duration created blocks may span. Anything less than 2h is ignored.",
        )
        .placeholder("<duration>")
        .hidden(),
    ],
    arguments: &[],
    commands: &[
        Command::new(
        "openmetrics",
        "Import samples from OpenMetrics input and produce TSDB blocks. Please refer to the storage docs for more \
         details.",
        |args| finish(with_stdout(|out| from_open_metrics(args, out))),
    )
    .flags(&[flag(
        "label",
        Kind::Pairs,
        "Label to attach to metrics. Can be specified multiple times. Example --label=label_name=label_value",
    )])
    .arguments(&[
        argument("input file", Kind::Text, "OpenMetrics file to read samples from.").required(),
        argument("output directory", Kind::Text, "Output directory for generated blocks."),
    ]),
        super::create_rules::COMMAND,
    ],
    run: None,
    ours: false,
};

fn from_open_metrics(args: &Args, out: &mut dyn Write) -> Result<()> {
    let input = args.argument("input file").context("required argument 'input file' not provided")?;
    let dir = Path::new(args.argument("output directory").unwrap_or(super::DATA_DIR));
    let labels: Vec<(&str, &str)> = args.pairs("label").into_iter().collect();
    let max_duration = args.nanos("max-block-duration") / 1_000_000;
    super::stat(Path::new(input))?;
    let body = std::fs::read(input).map_err(|error| anyhow::anyhow!(parse_open_error(input, &error)))?;
    std::fs::create_dir_all(dir).context("create output dir")?;
    let printing = Printing { human: args.has("human-readable"), quiet: args.has("quiet"), titles: true };
    let range = time_range(&body).context("getting min and max timestamp")?;
    let duration = backfill_block_duration(max_duration);
    create(&body, range, duration, &labels, dir, printing, out).context("block creation")
}

/// What is printed of blocks that were made.
struct Printing {
    human: bool,
    quiet: bool,
    titles: bool,
}

/// promtool's words, which do not name the line.
fn reason(error: ferula_exposition::ParseError) -> anyhow::Error {
    anyhow::anyhow!(error.reason)
}

/// First and last time of the samples of a page; 0 when there is none.
fn time_range(body: &[u8]) -> Result<(i64, i64)> {
    let mut range: Option<(i64, i64)> = None;
    let mut page = PageParser::new(body, Format::OpenMetrics);
    while let Some(entry) = page.next().map_err(reason).context("next")? {
        let Entry::Series(series) = entry else { continue };
        let t = series.timestamp.context("expected timestamp for series got none")?;
        range = Some(range.map_or((t, t), |(min, max)| (min.min(t), max.max(t))));
    }
    Ok(range.unwrap_or((0, 0)))
}

fn create(
    body: &[u8],
    (min, max): (i64, i64),
    duration: i64,
    extra: &[(&str, &str)],
    dir: &Path,
    mut printing: Printing,
    out: &mut dyn Write,
) -> Result<()> {
    let disk = super::disk();
    let mut next = min;
    for (start, end) in backfill_windows(min, max, duration) {
        // Windows without samples need no reading of the page.
        if next >= end {
            continue;
        }
        let (backfill, after) = collect(body, (start, end), duration, extra).context("process blocks")?;
        next = after;
        let options = BlockOptions::default();
        let block = backfill.write(&disk, dir, new_ulid()?, &options).context("process blocks: flush")?;
        if let Some(meta) = block.filter(|_| !printing.quiet) {
            print(&disk, dir, meta.ulid, &mut printing, out)?;
        }
    }
    Ok(())
}

/// The samples of one block, and the time of the next sample behind it.
fn collect(
    body: &[u8],
    (start, end): (i64, i64),
    duration: i64,
    extra: &[(&str, &str)],
) -> Result<(Backfill, i64)> {
    let mut backfill = Backfill::new(duration);
    let mut next = i64::MAX;
    let mut scratch = LabelScratch::new();
    let mut page = PageParser::new(body, Format::OpenMetrics);
    while let Some(entry) = page.next().map_err(reason).context("parse")? {
        let Entry::Series(series) = entry else { continue };
        let t = series.timestamp.context("expected timestamp for series, got none")?;
        if t >= end {
            next = next.min(t);
        }
        if start <= t && t < end {
            let labels = labels_of(&series, extra, &mut scratch)?;
            backfill.append(&labels, t, series.value).context("add sample")?;
        }
    }
    Ok((backfill, next))
}

fn labels_of(series: &Series<'_>, extra: &[(&str, &str)], scratch: &mut LabelScratch) -> Result<LabelSet> {
    key::decode(series.key, series.kind, scratch).context("parse")?;
    let labels = scratch.to_label_set();
    if extra.is_empty() {
        return Ok(labels);
    }
    let mut builder = labels.to_builder();
    for (name, value) in extra {
        builder.set(name, value);
    }
    Ok(builder.finish())
}

fn print(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    ulid: Ulid,
    printing: &mut Printing,
    out: &mut dyn Write,
) -> Result<()> {
    let block = Block::open(disk, &dir.join(ulid.to_string()), Access::Mapped).context("get blocks")?;
    let meta = block.meta();
    let row = ListedBlock { meta: &meta, bytes: block.bytes() };
    list(&[row], std::mem::take(&mut printing.titles), printing.human, out)?;
    Ok(())
}

/// A name for a new block.
pub fn new_ulid() -> Result<Ulid> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    // Each `RandomState` is seeded by the system.
    let random = || u128::from(RandomState::new().build_hasher().finish());
    Ok(Ulid::new(u64::try_from(now.as_millis()).unwrap_or(0), random() << 64 | random()))
}
