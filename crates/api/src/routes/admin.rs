//! `admin/tsdb/*`, available only with `--web.enable-admin-api`.

use std::hash::{BuildHasher, Hasher, RandomState};

use ferula_go::number::parse_bool;
use ferula_promql_syntax::parse_metric_selector;
use time::OffsetDateTime;

use super::optional_range;
use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::{ApiError, ErrorKind};
use crate::request::Request;
use crate::store::Store;

fn enabled_store(api: &Api) -> Result<&Store, ApiError> {
    if !api.site.settings.admin {
        return Err(ApiError::new(ErrorKind::Unavailable, "admin APIs disabled"));
    }
    Ok(&api.store)
}

/// `/api/v1/admin/tsdb/delete_series`
pub fn delete_series(api: &Api, request: &Request) -> Handled {
    let store = enabled_store(api)?;
    request.check_form()?;
    if request.params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let range = optional_range(&request.params)?;
    for selector in request.params.all("match[]") {
        let matchers =
            parse_metric_selector(selector).map_err(|error| ApiError::parameter("match[]", error))?;
        // `{}` selects nothing here, so it cannot delete everything.
        if matchers.is_empty() {
            continue;
        }
        store
            .admin
            .delete(range, &matchers)
            .map_err(|error| ApiError::storage(&error, ErrorKind::Internal))?;
    }
    Ok(Answer::no_content())
}

/// `/api/v1/admin/tsdb/clean_tombstones`
pub fn clean_tombstones(api: &Api, _: &Request) -> Handled {
    let cleaned = enabled_store(api)?.admin.clean_tombstones();
    cleaned.map_err(|error| ApiError::storage(&error, ErrorKind::Internal))?;
    Ok(Answer::no_content())
}

/// `/api/v1/admin/tsdb/snapshot`
pub fn snapshot(api: &Api, request: &Request) -> Handled {
    let store = enabled_store(api)?;
    let skip_head = match request.params.first("skip_head") {
        "" => false,
        text => parse_bool(text)
            .map_err(|why| ApiError::parameter("skip_head", format!("unable to parse boolean: {why}")))?,
    };
    let now = OffsetDateTime::from_unix_timestamp_nanos(i128::from(api.site.clock.unix_nanos()));
    let name = backup_name(now.unwrap_or(OffsetDateTime::UNIX_EPOCH));
    let dir = api.site.settings.data_dir.join("snapshots").join(&name);
    std::fs::create_dir_all(&dir)
        .map_err(|error| ApiError::internal(format!("create snapshot directory: {error}")))?;
    store
        .admin
        .backup(&dir, !skip_head)
        .map_err(|error| ApiError::internal(format!("create snapshot: {error}")))?;
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.field("name", &name);
        json.end_object();
    }))
}

/// `20171210T211224Z-2be650b6d019eb54`
fn backup_name(now: OffsetDateTime) -> String {
    let mut random = RandomState::new().build_hasher();
    random.write_u8(0);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z-{:016x}",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
        random.finish() >> 1
    )
}
