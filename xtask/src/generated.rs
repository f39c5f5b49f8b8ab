//! Generated load with the label shapes of node_exporter and Kubernetes: the same for every server, and the same in every run.

use std::io::Write as _;

use anyhow::Result;
use ferula_go::protobuf::{put_bytes, put_double, put_varint};

/// Samples in a request of remote write, as Prometheus sends them.
const SAMPLES_PER_REQUEST: usize = 2000;
/// Series of one instance.
const PER_INSTANCE: usize = 500;
/// Names of metrics.
pub const FAMILIES: usize = 100;
/// The interval between two rounds of samples.
pub const STEP_MS: i64 = 15_000;

/// The name of a family of metrics.
pub fn family(number: usize) -> String {
    format!("metric_family_{number}_total")
}

/// How many of so many series are of one family.
pub fn series_of_family(number: usize, series: usize) -> usize {
    (0..series).filter(|series| series % PER_INSTANCE % FAMILIES == number).count()
}

/// Series of remote write, with ten labels each.
pub struct Series {
    /// Encoded labels.
    labels: Vec<Vec<u8>>,
}

impl Series {
    /// So many series.
    pub fn new(count: usize) -> Self {
        Series { labels: (0..count).map(labels).collect() }
    }

    /// The packed requests of one round: a sample of every series at the same time.
    pub fn requests(&self, round: usize, at_ms: i64) -> impl Iterator<Item = Result<Vec<u8>>> + '_ {
        self.labels.chunks(SAMPLES_PER_REQUEST).enumerate().map(move |(place, series)| {
            let mut body = Vec::with_capacity(series.len() * 300);
            let mut message = Vec::new();
            for (number, labels) in (place * SAMPLES_PER_REQUEST..).zip(series) {
                message.clear();
                message.extend_from_slice(labels);
                let mut sample = Vec::with_capacity(20);
                put_double(&mut sample, 1, value(number, round));
                put_varint(&mut sample, 2, at_ms as u64);
                put_bytes(&mut message, 2, &sample);
                put_bytes(&mut body, 1, &message);
            }
            Ok(snap::raw::Encoder::new().compress_vec(&body)?)
        })
    }
}

fn labels(number: usize) -> Vec<u8> {
    let (metric, instance) = (number % PER_INSTANCE, number / PER_INSTANCE);
    let app = metric % 17;
    let labels = [
        ("__name__", family(metric % FAMILIES)),
        ("cluster", "prod-eu-1".to_owned()),
        ("container", format!("app-{app}")),
        ("instance", format!("10.2.{}.{}:9100", instance / 250, instance % 250)),
        ("job", "node".to_owned()),
        ("le", (metric / FAMILIES).to_string()),
        ("namespace", format!("team-{}", instance % 23)),
        ("node", format!("worker-{instance}")),
        ("pod", format!("app-{app}-7c9d{instance:04x}")),
        ("region", "eu-west-1".to_owned()),
    ];
    let (mut label, mut out) = (Vec::new(), Vec::new());
    for (name, value) in labels {
        label.clear();
        put_bytes(&mut label, 1, name.as_bytes());
        put_bytes(&mut label, 2, value.as_bytes());
        put_bytes(&mut out, 1, &label);
    }
    out
}

/// A third each: counters in whole steps, gauges with many digits, constants.
fn value(number: usize, round: usize) -> f64 {
    let base = (number.wrapping_mul(2_654_435_761) % 1_000_003) as f64 / 997.0;
    match number % 3 {
        0 => base.floor() + 7.0 * round as f64,
        1 => base + 0.25 * round as f64,
        _ => base.floor(),
    }
}

/// Series on a page of [`pages`].
pub const PAGE_SERIES: usize = 2000;

/// Some versions of one page, gzipped: what a target serves second after second.
pub fn pages(count: usize) -> Result<Vec<Vec<u8>>> {
    (0..count).map(page).collect()
}

fn page(version: usize) -> Result<Vec<u8>> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    for family in 0..FAMILIES {
        let name = format!("app_family_{family}_total");
        write!(gzip, "# HELP {name} Something that counts.\n# TYPE {name} counter\n")?;
        for place in 0..PAGE_SERIES / FAMILIES {
            let value = value(family * (PAGE_SERIES / FAMILIES) + place, version);
            let (code, device) = (200 + place % 5, place % 4);
            writeln!(
                gzip,
                "{name}{{code=\"{code}\",method=\"GET\",path=\"/api/v1/items/{place}\",device=\"eth{device}\"}} {value}"
            )?;
        }
    }
    Ok(gzip.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_every_series_once_and_rounds_differ() {
        let series = Series::new(4100);
        let round = |number: usize| -> Vec<Vec<u8>> {
            let at = number as i64 * STEP_MS;
            series.requests(number, at).map(|request| request.expect("packed")).collect()
        };
        assert_eq!(round(0).len(), 3);
        assert_eq!(round(1), round(1));
        assert_ne!(round(1), round(2));
        let distinct: std::collections::HashSet<&Vec<u8>> = series.labels.iter().collect();
        assert_eq!((distinct.len(), series_of_family(0, 4100)), (4100, 41));
    }

    #[test]
    fn pages_have_their_series_and_change() {
        let pages = pages(2).expect("packed");
        assert_ne!(pages[0], pages[1]);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*pages[0]), &mut text)
            .expect("gzip");
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), PAGE_SERIES);
    }
}
