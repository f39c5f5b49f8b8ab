//! `ferula/relabel` and `ferula/scrape_preview`: try rules on labels and on a fresh page of a target. Nothing
//! is stored.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use ferula_config::relabel::parse_rules;
use ferula_config::scrape::ScrapeConfig;
use ferula_go::number::atoi;
use ferula_go::quote::go_quote;
use ferula_go::unicode;
use ferula_model::labels::NameScheme;
use ferula_model::relabel::Rule;
use ferula_query::Lookup;
use ferula_scraper::preview::{Preview, PreviewLimits, PreviewLine, PreviewPage};
use ferula_storage::StorageError;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::answer::{self, Answer, Handled};
use crate::api::Api;
use crate::compression::Encoding;
use crate::error::{ApiError, ErrorKind};
use crate::json::JsonWriter;
use crate::request::Request;
use crate::routes::scrape_pools;

/// Maximum size of the rules; even a thousand rules are smaller.
const RULES_BYTES_MAX: usize = 256 << 10;
const LINES_DEFAULT: i64 = 500;
const LINES_MAX: i64 = 5_000;

fn asked_rules(request: &Request, names: NameScheme) -> Result<Vec<Rule>, ApiError> {
    let text = request.params.first("rules");
    if text.len() > RULES_BYTES_MAX {
        return Err(ApiError::parameter("rules", format!("more than {RULES_BYTES_MAX} bytes")));
    }
    parse_rules(text, names).map_err(|why| ApiError::parameter("rules", why))
}

/// `/api/v1/ferula/relabel`: shows how each of the `rules` changes the `labels`.
pub fn relabel(_: &Api, request: &Request) -> Handled {
    let labels = scrape_pools::asked_labels(request)?;
    scrape_pools::steps(asked_rules(request, NameScheme::Utf8)?, &labels)
}

/// `/api/v1/ferula/scrape_preview`: scrapes a configured target and shows each line with the series that
/// would be stored. `rules` replaces the job's `metric_relabel_configs`, and `search` filters lines.
pub fn scrape_preview(api: Arc<Api>, request: Request) -> BoxFuture<'static, Response<Body>> {
    async move {
        let encoding = Encoding::of_request(&request.headers);
        let what = request.path.clone();
        let admitted = match look(&api, &request).await {
            Ok(look) => api.queries.admit_lookup().await.map(|admitted| (look, admitted)).map_err(Into::into),
            Err(error) => Err(error),
        };
        match admitted {
            Ok((look, (lookup, guard))) => {
                guard.watch(answer::answer(encoding, &what, move || look.read(&lookup))).await
            }
            Err(error) => answer::answer(encoding, &what, move || Err(error)).await,
        }
    }
    .boxed()
}

/// A fetched page and the options for showing it.
struct PreviewedPage {
    preview: Preview,
    page: ferula_scraper::fetch::Page,
    took_seconds: f64,
    rules: Option<Vec<Rule>>,
    words: Vec<String>,
    lines_max: usize,
}

async fn look(api: &Api, request: &Request) -> Result<PreviewedPage, ApiError> {
    let pool = scrape_pools::asked_pool(request)?;
    let url = request.params.first("scrapeUrl");
    let lines_max = match request.params.first("limit") {
        "" => LINES_DEFAULT,
        text => atoi(text).map_err(|why| ApiError::parameter("limit", why))?,
    };
    if !(1..=LINES_MAX).contains(&lines_max) {
        return Err(ApiError::parameter("limit", format!("must be a number from 1 to {LINES_MAX}")));
    }
    let preview = api.targets.preview(pool, url).ok_or_else(|| {
        let (url, pool) = (go_quote(url), go_quote(pool));
        ApiError::new(ErrorKind::NotFound, format!("scrape pool {pool} has no target {url}"))
    })?;
    let names = preview.config().metric_name_validation_scheme.scheme();
    let rules = request.params.all("rules").next().map(|_| asked_rules(request, names)).transpose()?;
    let (page, took) = preview.page().await;
    let page = page.map_err(|why| ApiError::new(ErrorKind::Execution, format!("scraping {url}: {why}")))?;
    Ok(PreviewedPage {
        preview,
        page,
        took_seconds: took.as_secs_f64(),
        rules,
        words: request.params.first("search").split_whitespace().map(str::to_lowercase).collect(),
        lines_max: usize::try_from(lines_max).unwrap_or(0),
    })
}

impl PreviewedPage {
    fn read(self, lookup: &Lookup) -> Handled {
        let wanted = |text: &str| {
            let lower = unicode::lower(text);
            self.words.iter().all(|word| lower.contains(word.as_str()))
        };
        let limits = PreviewLimits { lines: self.lines_max, ended: &|| lookup.is_ended() };
        let shown = self.preview.read(&self.page, self.rules, &wanted, limits);
        if lookup.is_ended() {
            return Err(ApiError::storage(&StorageError::Stopped, ErrorKind::Execution));
        }
        let rules = metric_rules_yaml(self.preview.config());
        let (seconds, bytes) = (self.took_seconds, self.page.body.len());
        Ok(Answer::json(move |json| write_page(json, &shown, &rules, seconds, bytes)))
    }
}

/// The list `metric_relabel_configs` as printed by `scrape_pools/config`, without its key.
fn metric_rules_yaml(config: &ScrapeConfig) -> String {
    let yaml = config.to_yaml();
    let list = yaml.lines().skip_while(|line| *line != "metric_relabel_configs:").skip(1);
    list.take_while(|line| line.starts_with(['-', ' '])).flat_map(|line| [line, "\n"]).collect()
}

fn write_page(json: &mut JsonWriter<'_>, page: &PreviewPage, rules: &str, seconds: f64, bytes: usize) {
    json.begin_object();
    json.field("rules", rules);
    for (key, count) in
        [("samples", page.samples), ("kept", page.kept), ("matching", page.matching), ("bytes", bytes as u64)]
    {
        json.key(key);
        json.uint(count);
    }
    json.key("seconds");
    json.number(seconds);
    if let Some(fault) = &page.fault {
        json.field("fault", &fault.to_string());
    }
    json.key("lines");
    json.begin_array();
    for line in &page.lines {
        write_line(json, line);
    }
    json.end_array();
    json.end_object();
}

fn write_line(json: &mut JsonWriter<'_>, line: &PreviewLine) {
    json.begin_object();
    json.field("text", &line.text);
    json.key("value");
    json.sample_value(line.value);
    json.key("labels");
    json.labels(&line.labels);
    json.key("changedBy");
    json.begin_array();
    line.changed_by.iter().for_each(|index| json.uint(*index as u64));
    json.end_array();
    if let Some(index) = line.dropped_by {
        json.key("droppedBy");
        json.uint(index as u64);
    }
    match &line.stored {
        Ok(Some(labels)) => {
            json.key("stored");
            json.labels(labels);
        }
        Ok(None) => {}
        Err(why) => json.field("error", &why.to_string()),
    }
    json.end_object();
}

#[cfg(test)]
mod tests {
    use ferula_config::Config;

    use super::*;

    #[test]
    fn the_rules_of_a_job_are_extracted_from_its_printed_form() {
        let text = "scrape_configs:\n- job_name: j\n  metric_relabel_configs:\n  - {source_labels: [a], action: drop}\n  static_configs: [{targets: [x]}]\n";
        let config = Config::parse(text).expect("the configuration is valid");
        let yaml = metric_rules_yaml(&config.scrape_configs[0]);
        let rules = parse_rules(&yaml, NameScheme::Utf8).expect(&yaml);
        assert_eq!(rules, config.scrape_configs[0].metric_rules());
        assert_eq!(
            metric_rules_yaml(
                &Config::parse("scrape_configs: [{job_name: j}]").expect("right").scrape_configs[0]
            ),
            ""
        );
    }
}
