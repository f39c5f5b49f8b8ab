//! `ferula/usage`: which metrics count as read, and the rules that drop the others.

#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use common::{Served, put, served};
use serde_json::Value as Json;

async fn usage(served: &Served, form: &str) -> Json {
    let answer = served.ask(&format!("POST /api/v1/ferula/usage {form}")).await;
    serde_json::from_str(&answer.text).expect("JSON")
}

fn unread(answer: &Json) -> Vec<&str> {
    let list = answer["data"]["unread"].as_array().unwrap_or_else(|| panic!("{answer}"));
    list.iter().filter_map(|metric| metric["name"].as_str()).collect()
}

#[tokio::test]
async fn what_is_queried_federated_or_named_in_the_request_counts_as_read() {
    let served = served();
    put(&served.store, &[("__name__", "fed"), ("job", "j")], &[(999_990_000, 1.0)]);
    put(&served.store, &[("__name__", "unread.x"), ("job", "j")], &[(999_990_000, 1.0)]);
    // `up` cannot be dropped; the others are sorted by their series.
    let first = usage(&served, "").await;
    assert_eq!(unread(&first), ["two", "fed", "recent", "tiny", "unread.x"]);
    assert_eq!(first["data"]["unread"][0]["series"], 2);
    assert_eq!(first["data"]["unread"][1]["jobs"][0], "j");
    assert_eq!(first["data"]["replay"]["dropped"], 6);
    assert_eq!(
        (&first["data"]["replay"]["wrong"], &first["data"]["replay"]["series"]),
        (&0.into(), &7.into())
    );
    assert!(first["warnings"][0].as_str().is_some_and(|text| text.starts_with("reads before 1970-01-12")));

    served.ask("GET /api/v1/query?query=sum(rate(two[5m]))").await;
    served.ask("GET /federate?match[]=fed").await;
    let second = usage(&served, "read[]=recent").await;
    assert_eq!(unread(&second), ["tiny", "unread.x"]);
    assert_eq!(
        second["data"]["metricRelabelConfigs"],
        "- source_labels: [__name__]\n  regex: \"tiny|unread\\\\.x\"\n  action: drop\n"
    );
    // Looking for names and series reads no samples.
    served.ask("GET /api/v1/series?match[]=tiny").await;
    served.ask("GET /api/v1/label/__name__/values").await;
    assert_eq!(unread(&usage(&served, "read[]=recent").await), ["tiny", "unread.x"]);
}

#[tokio::test]
async fn selectors_without_a_name_count_unless_they_are_ignored() {
    let served = served();
    served.ask("GET /api/v1/query?query={n=%222%22}").await;
    served.ask("GET /api/v1/query?query={__name__=~%22t.ny|up%22}").await;
    let counted = usage(&served, "").await;
    assert_eq!(unread(&counted), ["recent"]);
    let broad: Vec<_> = counted["data"]["broadSelectors"].as_array().expect("a list").iter().collect();
    assert_eq!(
        broad
            .iter()
            .map(|one| (one["selector"].as_str(), one["metrics"].as_u64(), one["onlyReadSo"].as_u64()))
            .collect::<Vec<_>>(),
        [(Some("{__name__=~\"t.ny|up\"}"), Some(2), Some(2)), (Some("{n=\"2\"}"), Some(1), Some(1))]
    );
    assert_eq!(unread(&usage(&served, "broad_selectors=ignore").await), ["two", "recent", "tiny"]);
}

/// Samples and reads before the range do not count.
#[tokio::test]
async fn the_range_limits_samples_and_reads() {
    let served = served();
    served.ask("GET /api/v1/query?query=recent").await;
    served.clock.advance(std::time::Duration::from_secs(3_600));
    put(&served.store, &[("__name__", "recent")], &[(1_003_599_000, 5.0)]);
    assert_eq!(unread(&usage(&served, "days=0.05").await), [""; 0], "it was read within 72 minutes");
    let later = usage(&served, "days=0.01").await;
    assert_eq!(unread(&later), ["recent"]);
    assert_eq!(later["data"]["unread"][0]["lastRead"], "1970-01-12T13:46:40Z");
    for (form, name) in [
        ("days=0", "days"),
        ("days=-1", "days"),
        ("days=NaN", "days"),
        ("days=x", "days"),
        ("days=1e9", "days"),
        ("read[]=%7B", "read[]"),
        ("broad_selectors=x", "broad_selectors"),
    ] {
        let answer = usage(&served, form).await;
        assert_eq!(answer["errorType"], "bad_data", "{form}");
        assert!(answer["error"].as_str().is_some_and(|text| text.contains(name)), "{answer}");
    }
}
