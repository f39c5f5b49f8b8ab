//! `tsdb analyze`: churn, cardinality, and chunk sizes.

use std::collections::BTreeMap;
use std::io::Write;

use ferula_chunk::{HistogramColumns, ValueKind, decode_histograms};
use ferula_model::Matcher;

use super::{ToolError, go_duration};
use crate::block::index::SeriesEntry;
use crate::block::{Block, BlockError};
use crate::postings;

/// Options of the analysis.
#[derive(Clone, Debug)]
pub struct AnalyzeOptions {
    /// Restricts the analysis to series that match all of these.
    pub matchers: Vec<Matcher>,
    /// The matchers as given.
    pub matcher_text: String,
    /// Maximum number of entries per list.
    pub limit: usize,
    /// Whether to analyze chunks too.
    pub extended: bool,
}

/// Numbers per label or label pair.
#[derive(Default)]
struct Counts {
    /// Total time, in milliseconds, of the block's range that series with the label do not cover.
    names: BTreeMap<String, u64>,
    /// The same per label pair, and the number of its series.
    pairs: BTreeMap<String, (u64, u64)>,
    entries: u64,
}

/// Writes the analysis of a block.
pub fn analyze(block: &Block, options: &AnalyzeOptions, out: &mut dyn Write) -> Result<(), ToolError> {
    let (meta, index) = (block.meta(), block.index());
    let duration = meta.max_time.wrapping_sub(meta.min_time);
    writeln!(out, "Block ID: {}", meta.ulid)?;
    writeln!(out, "Duration: {}", go_duration(duration))?;
    writeln!(out, "Total Series: {}", meta.stats.num_series)?;
    let matching = !options.matchers.is_empty();
    if matching {
        writeln!(out, "Matcher: {}", options.matcher_text)?;
    }
    let names = block.label_names(&options.matchers)?;
    writeln!(out, "Label names: {}", names.len())?;
    let series = block.select(&options.matchers)?;
    if matching {
        writeln!(out, "Matched series: {}", series.len())?;
    }
    let counts = count(block, &series)?;
    writeln!(out, "Postings (unique label pairs): {}", counts.pairs.len())?;
    writeln!(out, "Postings entries (total label pairs): {}", counts.entries)?;

    let share = |uncovered: u64| (uncovered as f64 / duration as f64) as u64;
    let mut section = |title: &str, entries: Vec<(u64, String)>| -> Result<(), ToolError> {
        writeln!(out, "\n{title}:")?;
        let mut entries = entries;
        // Entries are sorted by text, which remains the order of equal ones.
        entries.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        for (count, text) in entries.iter().take(options.limit) {
            writeln!(out, "{count} {text}")?;
        }
        Ok(())
    };
    let pairs = || counts.pairs.iter();
    section(
        "Label pairs most involved in churning",
        pairs().map(|(pair, (uncovered, _))| (share(*uncovered), pair.clone())).collect(),
    )?;
    section(
        "Label names most involved in churning",
        counts.names.iter().map(|(name, uncovered)| (share(*uncovered), name.clone())).collect(),
    )?;
    section("Most common label pairs", pairs().map(|(pair, (_, n))| (*n, pair.clone())).collect())?;
    let mut lengths = Vec::new();
    let mut cardinalities = Vec::new();
    for name in names {
        let values = block.label_values(&name, &options.matchers)?;
        lengths.push((values.iter().map(|value| value.len() as u64).sum(), name.clone()));
        cardinalities.push((values.len() as u64, name));
    }
    section("Label names with highest cumulative label value length", lengths)?;
    section("Highest cardinality labels", cardinalities)?;
    let mut metrics = Vec::new();
    for name in block.label_values("__name__", &options.matchers)? {
        let mut of_name = index.postings("__name__", &name)?;
        if matching {
            of_name = postings::intersect(&of_name, &series);
        }
        metrics.push((of_name.len() as u64, name));
    }
    section("Highest cardinality metric names", metrics)?;
    if options.extended { chunks(block, &series, out) } else { Ok(()) }
}

fn count(block: &Block, series: &[u32]) -> Result<Counts, BlockError> {
    let meta = block.meta();
    let duration = meta.max_time.wrapping_sub(meta.min_time) as u64;
    let mut counts = Counts::default();
    let mut entry = SeriesEntry::default();
    for number in series {
        block.series(*number, &mut entry)?;
        let covered = match (entry.chunks.first(), entry.chunks.last()) {
            (Some(first), Some(last)) => last.max_time.wrapping_sub(first.min_time) as u64,
            _ => 0,
        };
        let uncovered = duration.wrapping_sub(covered);
        for (name, value) in block.labels(&entry)?.iter() {
            let of_name = counts.names.entry(name.to_owned()).or_default();
            *of_name = of_name.wrapping_add(uncovered);
            let of_pair = counts.pairs.entry(format!("{name}={value}")).or_default();
            *of_pair = (of_pair.0.wrapping_add(uncovered), of_pair.1 + 1);
            counts.entries += 1;
        }
    }
    Ok(counts)
}

fn chunks(block: &Block, series: &[u32], out: &mut dyn Write) -> Result<(), ToolError> {
    let mut total = 0;
    let mut floats: [Vec<usize>; 2] = Default::default();
    let mut histograms: [Vec<usize>; 3] = Default::default();
    let mut entry = SeriesEntry::default();
    for number in series {
        block.series(*number, &mut entry)?;
        for meta in &entry.chunks {
            let chunk = block.chunk(*meta)?;
            total += 1;
            let (samples, bytes) = (usize::from(chunk.sample_count()), chunk.data.len());
            if chunk.encoding.value_kind() == ValueKind::Float {
                floats[0].push(samples);
                floats[1].push(bytes);
                continue;
            }
            let mut columns = HistogramColumns::default();
            decode_histograms(chunk.encoding, &chunk.data, u16::MAX, &mut columns)
                .map_err(|corrupt| BlockError::corrupt(block.dir(), 0, corrupt.to_string()))?;
            let buckets = columns.values.iter().map(|h| h.positive_buckets.len() + h.negative_buckets.len());
            histograms[0].push(samples);
            histograms[1].push(bytes);
            histograms[2].push(buckets.sum());
        }
    }
    writeln!(out, "\nCompaction analysis:\n")?;
    let [samples, bytes] = floats;
    bars("samples per float chunk", samples, total, out)?;
    bars("bytes per float chunk", bytes, total, out)?;
    let [samples, bytes, buckets] = histograms;
    bars("samples per histogram chunk", samples, total, out)?;
    bars("bytes per histogram chunk", bytes, total, out)?;
    bars("buckets per histogram chunk", buckets, total, out)
}

/// Prints a histogram of the numbers: a bar of one `#` for each hundredth of all chunks.
fn bars(title: &str, mut numbers: Vec<usize>, total: usize, out: &mut dyn Write) -> Result<(), ToolError> {
    numbers.sort_unstable();
    let (Some(min), Some(max)) = (numbers.first().copied(), numbers.last().copied()) else {
        writeln!(out, "{title}: N/A\n")?;
        return Ok(());
    };
    let mut step = 10;
    while step < (max - min) / 10 && step <= 10_000 {
        step *= 10;
    }
    let (start, end) = (min - min % step, max - max % step + step);
    let mut buckets = vec![0usize; (end - start) / step + 1];
    numbers.iter().for_each(|number| buckets[(number - start) / step] += 1);
    let average = numbers.iter().sum::<usize>() / numbers.len();
    writeln!(out, "{title} (min/avg/max): {min}/{average}/{max}")?;
    let digits = |number: usize| number.to_string().len();
    let (left, right) = (digits(end), digits(end + step));
    let count_width = digits(buckets.iter().copied().max().unwrap_or(0));
    for (bucket, count) in buckets.iter().enumerate() {
        let (from, to) = (bucket * step + start + 1, (bucket + 1) * step + start);
        let bar = "#".repeat(100 * count / total.max(1));
        writeln!(out, "[{from:left$}, {to:right$}]: {count:count_width$} {bar}")?;
    }
    writeln!(out)?;
    Ok(())
}
