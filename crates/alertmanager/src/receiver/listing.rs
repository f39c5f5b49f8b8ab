//! Alerts without a template: sent when nothing else can be rendered.

use crate::template::Data;

/// The maximum size of a plain list in bytes.
const LISTING_BYTES_MAX: usize = 2000;
/// The maximum size of one of its lines in bytes.
const LINE_BYTES_MAX: usize = 400;
/// The maximum size of a plain title in bytes.
const TITLE_BYTES_MAX: usize = 200;
/// The maximum number of alerts in a plain list.
const LISTED_MAX: usize = 20;

fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max.min(text.len()))]
}

/// `[FIRING:2] HighLoad, DiskFull`
pub(super) fn plain_title(data: &Data) -> String {
    let firing = data.alerts.iter().filter(|alert| alert.status == "firing").count();
    let head = match firing {
        0 => format!("[RESOLVED:{}]", data.alerts.len()),
        firing => format!("[FIRING:{firing}]"),
    };
    let mut names: Vec<&str> =
        data.alerts.iter().filter_map(|alert| alert.labels.get("alertname")).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    cut(&format!("{head} {}", names.join(", ")), TITLE_BYTES_MAX).trim_end().to_owned()
}

/// The alerts, one per line: status and labels, then the annotations for people.
pub(super) fn plain_listing(data: &Data) -> String {
    let mut lines = vec![plain_title(data)];
    for alert in data.alerts.iter().take(LISTED_MAX) {
        let labels: Vec<String> =
            alert.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut line = format!("{}: {}", alert.status, labels.join(" "));
        for name in ["summary", "description", "message"] {
            if let Some(text) = alert.annotations.get(name) {
                line.push_str(&format!(" - {text}"));
                break;
            }
        }
        lines.push(cut(&line, LINE_BYTES_MAX).to_owned());
    }
    if data.alerts.len() > LISTED_MAX {
        lines.push(format!("… and {} more", data.alerts.len() - LISTED_MAX));
    }
    cut(&lines.join("\n"), LISTING_BYTES_MAX).to_owned()
}
