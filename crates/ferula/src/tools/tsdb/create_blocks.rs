//! `tsdb create-blocks-from openmetrics`: turns a page with timestamps into blocks.
//!
//! The page is parsed once to find its time range and once per block, so only the samples of one block are in
//! memory.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use ferula_exposition::{Entry, Format, LabelScratch, PageParser, Series, key};
use ferula_model::{LabelSet, TimeRange, Timestamp};
use ferula_tsdb::Access;
use ferula_tsdb::disk::Disk;
use ferula_tsdb::tools::{Backfill, ListedBlock, backfill_windows, list};
use ferula_tsdb::{Block, BlockOptions, TimeSpan, Ulid};

use super::create_rules;
use super::data_dir::{DATA_DIR, disk, stat};
use super::new_blocks::{MAX_BLOCK_DURATION, block_duration_ms, new_ulid};
use crate::tools::args::{Args, Argument, Command, Flag, ValueKind, argument, flag, open_error};
use crate::tools::output::{finish, with_stdout};

const HUMAN_READABLE: Flag =
    flag("human-readable", ValueKind::Switch, "Print times as dates, and sizes with units.").short('r');
const QUIET: Flag = flag("quiet", ValueKind::Switch, "Do not list the blocks.").short('q');
const LABEL: Flag =
    flag("label", ValueKind::Pairs, "A label for every series, as NAME=VALUE. May be repeated.");
const INPUT: Argument =
    argument("input file", ValueKind::Text, "A page in OpenMetrics, each sample with a timestamp.")
        .required();
const OUTPUT: Argument =
    argument("output directory", ValueKind::Text, "Where to put the blocks; by default, data/.");

/// `tsdb create-blocks-from`
pub const COMMAND: Command = Command {
    name: "create-blocks-from",
    help: "Create blocks from other data; a server that finds them in its data directory serves them.",
    flags: &[HUMAN_READABLE, QUIET, MAX_BLOCK_DURATION],
    arguments: &[],
    commands: &[
        Command::new("openmetrics", "Create blocks from an OpenMetrics page with timestamps.", |args| {
            finish(with_stdout(|out| from_open_metrics(args, out)))
        })
        .flags(&[LABEL])
        .arguments(&[INPUT, OUTPUT]),
        create_rules::COMMAND,
    ],
    run: None,
    is_ours: false,
    is_default: false,
};

fn from_open_metrics(args: &Args, out: &mut dyn Write) -> Result<()> {
    let input = args.required(INPUT);
    let dir = Path::new(args.argument(OUTPUT).unwrap_or(DATA_DIR));
    let labels: Vec<(&str, &str)> = args.pairs(LABEL).into_iter().collect();
    stat(Path::new(input))?;
    let body = std::fs::read(input).map_err(|error| anyhow::anyhow!(open_error(input, &error)))?;
    let printing = Printing { human: args.has(HUMAN_READABLE), quiet: args.has(QUIET), titles: true };
    let range = time_range(&body).context("getting min and max timestamp")?;
    std::fs::create_dir_all(dir).context("create output dir")?;
    create(&body, range, block_duration_ms(args), &labels, dir, printing, out).context("block creation")
}

/// How the new blocks are listed.
struct Printing {
    human: bool,
    quiet: bool,
    titles: bool,
}

/// Only the reason: promtool does not name the line.
fn reason(error: ferula_exposition::PageError) -> anyhow::Error {
    match error {
        ferula_exposition::PageError::Line(error) => anyhow::anyhow!(error.reason),
        other => other.into(),
    }
}

/// The first and last sample time of a page; 0 and 0 if it has none.
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
    let disk = disk();
    let mut next = min;
    for span in backfill_windows(TimeRange::from_millis(min, max), duration) {
        // For windows without samples the page is not read again.
        if next >= span.end() {
            continue;
        }
        let (backfill, after) = collect(body, span, duration, extra).context("process blocks")?;
        next = after;
        let options = BlockOptions::default();
        let block = backfill.write(&disk, dir, new_ulid()?, &options).context("process blocks: flush")?;
        if let Some(meta) = block.filter(|_| !printing.quiet) {
            print(&disk, dir, meta.ulid, &mut printing, out)?;
        }
    }
    Ok(())
}

/// The samples of one block, and the time of the first sample after it.
fn collect(body: &[u8], span: TimeSpan, duration: i64, extra: &[(&str, &str)]) -> Result<(Backfill, i64)> {
    let mut backfill = Backfill::new(duration);
    let mut next = i64::MAX;
    let mut scratch = LabelScratch::new();
    let mut page = PageParser::new(body, Format::OpenMetrics);
    while let Some(entry) = page.next().map_err(reason).context("parse")? {
        let Entry::Series(series) = entry else { continue };
        let t = series.timestamp.context("expected timestamp for series, got none")?;
        if t >= span.end() {
            next = next.min(t);
        }
        if span.contains(t) {
            let labels = labels_of(&series, extra, &mut scratch)?;
            backfill.append(&labels, Timestamp::from_millis(t), series.value).context("add sample")?;
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
