//! `--pictures DIRECTORY`: the pictures of the README, taken from the real pages over a shop's metrics of a day.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::chromium::Browser;
use crate::common::{Server, escape};
use crate::page::Page;

/// A picture larger than this slows the README down.
const BYTES_MAX: u64 = 150_000;

/// Hours of history.
const HOURS: u64 = 6;

const RULES: &str = r#"
groups:
  - name: shop
    interval: 1s
    rules:
      - alert: ErrorsOfPayment
        expr: sum by (instance) (shop_requests_total{code="503"}) > 0
        labels: {severity: page, team: payment}
        annotations: {summary: 'Payments fail on {{ $labels.instance }}', runbook_url: 'https://example.org/runbooks/payment'}
      - alert: QueueGrows
        expr: shop_queue_length > 1
        for: 1h
        labels: {severity: info, team: shipping}
        annotations: {summary: 'The queue {{ $labels.queue }} grows'}
"#;

/// Takes all pictures.
pub fn take(browser: &Browser, directory: &Path) {
    let data = tempfile::tempdir().expect("a directory");
    std::fs::write(data.path().join("prometheus.yml"), "global: {}\n").expect("writable");
    std::fs::write(data.path().join("history.om"), history()).expect("writable");
    let made = Command::new(env!("CARGO_BIN_EXE_ferula"))
        .current_dir(data.path())
        .args(["tsdb", "create-blocks-from", "openmetrics", "history.om", "data"])
        .output()
        .expect("the program starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::write(data.path().join("rules.yml"), RULES).expect("writable");
    std::fs::write(data.path().join("prometheus.yml"), "rule_files: [rules.yml]\n").expect("writable");
    let server = Server::start(data.path(), &[]);
    let base = format!("http://{}", server.address);
    std::fs::create_dir_all(directory).expect("writable");

    let graphs = format!(
        "/query?g0.expr={}&g0.tab=graph&g0.range_input={HOURS}h&g1.expr={}&g1.tab=graph&g1.range_input={HOURS}h",
        escape("sum by (handler) (rate(shop_requests_total[5m]))"),
        escape("sum by (le) (rate(shop_request_duration_seconds_bucket[5m]))")
    );
    let page = Page::open(browser, &base, &graphs);
    page.resize(1200, 1020);
    page.wait("[...document.querySelectorAll('.chart')].filter(c => c.dataset.painted > 0).length === 2 && document.querySelector('.loading').dataset.on === undefined");
    let [left, top, width, height] = page.rect(".plot-area");
    page.drag((left + width * 0.62, top + height * 0.3), (left + width * 0.62, top + height * 0.3));
    page.wait("!document.querySelector('.tooltip').hidden");
    take_one(&page, &directory.join("query.png"));

    let explained = "sum by (instance) (rate(shop_requests_total{code=\"503\"}[5m])) / on (instance) group_left () count by (instance) (shop_build_info)";
    page.prefer("dark");
    page.go(&format!("/query?g0.expr={}&g0.tab=explain", escape(explained)));
    page.resize(1200, 720);
    page.wait("document.querySelector('.explain table') !== null && document.querySelector('.loading').dataset.on === undefined");
    take_one(&page, &directory.join("explain.png"));
}

fn take_one(page: &Page<'_>, path: &Path) {
    page.eval("new Promise(done => setTimeout(done, 500))");
    page.screenshot(path);
    let bytes = std::fs::metadata(path).expect("it was written").len();
    assert!(bytes <= BYTES_MAX, "{} has {bytes} bytes", path.display());
    println!("{}: {bytes} bytes", path.display());
}

/// Requests of three instances and five handlers with the waves of a day and an hour of failures, their durations, a
/// queue, and an instance that is missing in `shop_build_info`.
fn history() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let (start, step) = (now - HOURS * 3600 - 900, 30);
    let times: Vec<u64> = (start..now - 5).step_by(step).collect();
    let share = |at: u64| (at - start) as f64 / (HOURS * 3600) as f64;
    // From 0 to 1, with a shape of its own for each seed; the same in every run.
    let wave = |seed: u64, at: u64| {
        let x = share(at) * std::f64::consts::TAU;
        let of = |n: f64| (x * n + seed as f64 * 1.7).sin();
        (0.5 + 0.28 * of(1.0) + 0.13 * of(3.3) + 0.06 * of(11.0) + 0.03 * of(37.0)).clamp(0.0, 1.0)
    };
    let mut text = String::from("# TYPE shop_requests counter\n");
    for (i, instance) in ["a", "b", "c"].iter().enumerate() {
        for (h, (handler, most)) in
            [("/cart", 40.0), ("/search", 90.0), ("/product", 70.0), ("/login", 12.0), ("/payment", 25.0)]
                .into_iter()
                .enumerate()
        {
            for code in ["200", "503"] {
                if code == "503" && handler != "/payment" {
                    continue;
                }
                let mut sum = 0.0;
                for at in &times {
                    let failing = handler == "/payment" && (0.55..0.72).contains(&share(*at));
                    let part = if (code == "503") == failing { 1.0 } else { 0.02 };
                    sum += step as f64 * most * part * (0.25 + wave((3 * h + i) as u64 / 2, *at));
                    writeln!(text, "shop_requests_total{{job=\"shop\",instance=\"shop-{instance}:8080\",handler=\"{handler}\",code=\"{code}\"}} {sum:.0} {at}").expect("a String");
                }
            }
        }
    }
    text.push_str("# TYPE shop_request_duration_seconds histogram\n");
    let bounds = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];
    let mut sums = [0.0; 10];
    let mut lines = vec![String::new(); bounds.len()];
    for at in &times {
        let middle = 2.0 + 3.5 * wave(5, *at) + if (0.55..0.72).contains(&share(*at)) { 2.5 } else { 0.0 };
        let mut below = 0.0;
        for (b, sum) in sums.iter_mut().enumerate() {
            below += (-(b as f64 - middle).powi(2) / 2.2).exp();
            *sum += 600.0 * below;
            writeln!(
                lines[b],
                "shop_request_duration_seconds_bucket{{job=\"shop\",le=\"{}\"}} {:.0} {at}",
                bounds[b], *sum
            )
            .expect("a String");
        }
    }
    lines.iter().for_each(|some| text.push_str(some));
    text.push_str("# TYPE shop_queue_length gauge\n");
    for queue in ["orders", "mails"] {
        for at in &times {
            writeln!(
                text,
                "shop_queue_length{{job=\"shop\",queue=\"{queue}\"}} {:.0} {at}",
                40.0 * wave(9, *at)
            )
            .expect("a String");
        }
    }
    text.push_str("# TYPE shop_build_info gauge\n");
    for (instance, version) in [("a", "1.4.2"), ("b", "1.4.2"), ("d", "1.5.0")] {
        for at in &times {
            writeln!(text, "shop_build_info{{job=\"shop\",instance=\"shop-{instance}:8080\",version=\"{version}\"}} 1 {at}")
                .expect("a String");
        }
    }
    text.push_str("# EOF\n");
    text
}
