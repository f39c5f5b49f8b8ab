//! Shorter durations for rules and routes.

/// Keys whose values are durations.
const KEYS: [&str; 8] = [
    "for: ",
    "interval: ",
    "scrape_interval: ",
    "evaluation_interval: ",
    "group_wait: ",
    "group_interval: ",
    "repeat_interval: ",
    "resolve_timeout: ",
];

/// `text` with every duration in brackets or behind one of the keys divided by `factor`.
pub(super) fn divide_durations(text: &str, factor: u64) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let (code, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
        let start = code.len() - code.trim_start().len();
        if let Some(key) = KEYS.iter().find(|key| code[start..].starts_with(**key)) {
            let at = start + key.len();
            let value = &code[at..];
            out.push_str(&code[..at]);
            out.push_str(&divided(value.trim(), factor));
            out.push_str(&value[value.trim_end().len()..]);
        } else {
            for (index, part) in code.split('[').enumerate() {
                match part.split_once(']') {
                    Some((duration, rest)) if index > 0 => {
                        out.push_str(&format!("[{}]{rest}", divided(duration, factor)));
                    }
                    _ if index > 0 => out.push_str(&format!("[{part}")),
                    _ => out.push_str(part),
                }
            }
        }
        out.push_str(comment);
        out.push('\n');
    }
    out
}

/// `5m` divided by 15 is `20s`. Never less than half a second, nor, for what lasted a minute or more, than two seconds:
/// windows need samples.
fn divided(duration: &str, factor: u64) -> String {
    let (number, unit) = duration.split_at(duration.len().saturating_sub(1));
    let unit_ms = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return duration.to_owned(),
    };
    let Ok(number) = number.parse::<u64>() else { return duration.to_owned() };
    let ms = number.saturating_mul(unit_ms);
    let least = if ms >= 60_000 { 2_000 } else { 500 };
    format!("{}ms", (ms / factor).max(least))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_shrink_and_the_rest_stays() {
        let rules = "  interval: 5m\n  for: 2m # keep 5m here\n  expr: rate(a[1h]) > 0.5 and b{c=\"[5m\"}\n\
                     group_by: [alertname, job]\n";
        let expected = "  interval: 20000ms\n  for: 8000ms # keep 5m here\n\
                        \x20 expr: rate(a[240000ms]) > 0.5 and b{c=\"[5m\"}\ngroup_by: [alertname, job]\n";
        assert_eq!(divide_durations(rules, 15), expected);
        assert_eq!(divided("30d", 15), "172800000ms");
        assert_eq!(divided("1s", 15), "500ms");
        assert_eq!(divided("1m", 60), "2000ms");
    }
}
