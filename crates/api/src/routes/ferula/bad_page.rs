//! `ferula/bad_page`: the last page of a target that could not be ingested.

use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::{ApiError, ErrorKind};
use crate::request::Request;

/// `/api/v1/ferula/bad_page?scrapePool=…&scrapeUrl=…`, with the names from `targets`: returns the time of the
/// page, the error, and its first 64 KiB as text.
pub fn bad_page(api: &Api, request: &Request) -> Handled {
    let text = |name| request.params.first(name).to_owned();
    let (pool, url) = (text("scrapePool"), text("scrapeUrl"));
    let page = api.targets.bad_page(&pool, &url).ok_or_else(|| {
        ApiError::new(ErrorKind::NotFound, "no page of this target was refused, or it is no longer kept")
    })?;
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.field("scrapePool", &pool);
        json.field("scrapeUrl", &url);
        json.field("lastScrape", &page.at.rfc3339_nanos());
        json.field("contentType", &page.content_type);
        json.field("error", &page.error.to_string());
        json.key("bytes");
        json.uint(page.body_bytes as u64);
        json.key("truncated");
        json.bool(page.body.len() < page.body_bytes);
        json.field("body", &String::from_utf8_lossy(&page.body));
        json.end_object();
    }))
}
