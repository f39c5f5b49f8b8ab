//! `rules`, `alerts` and `alertmanagers`. There are no rule groups yet; parameters are checked all the same.

use ferula_model::number::go_quote;

use super::matcher_sets;
use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::ApiError;
use crate::params::{Params, parse_bool};
use crate::request::Request;

/// `/api/v1/rules`
pub fn rules(_: &Api, request: &Request) -> Handled {
    check_params(&request.params)?;
    Ok(Answer::json(|json| {
        json.begin_object();
        json.key("groups");
        json.begin_array();
        json.end_array();
        json.end_object();
    }))
}

fn check_params(params: &Params) -> Result<(), ApiError> {
    matcher_sets(params).map_err(ApiError::bad_data)?;
    let kind = params.first_in_url("type").to_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        return Err(ApiError::parameter("type", format!("not supported value {}", go_quote(&kind))));
    }
    let exclude = params.first_in_url("exclude_alerts").to_lowercase();
    if !exclude.is_empty() {
        parse_bool(&exclude).map_err(|why| {
            ApiError::parameter("exclude_alerts", format!("error converting exclude_alerts: {why}"))
        })?;
    }
    let (limit, token) = (params.first_in_url("group_limit"), params.first_in_url("group_next_token"));
    if limit.is_empty() {
        if token.is_empty() {
            return Ok(());
        }
        let why = "group_limit needs to be present in order to paginate over the groups";
        return Err(ApiError::parameter("group_next_token", why));
    }
    let number = parse_group_limit(limit).map_err(|why| {
        ApiError::parameter("group_limit", format!("group_limit needs to be a valid number: {why}"))
    })?;
    if number <= 0 {
        return Err(ApiError::parameter("group_limit", "group_limit needs to be greater than 0"));
    }
    if !token.is_empty() {
        let why = format!("invalid group_next_token '{token}'. were rule groups changed?");
        return Err(ApiError::parameter("group_next_token", why));
    }
    Ok(())
}

fn parse_group_limit(text: &str) -> Result<i32, String> {
    let number =
        crate::params::parse_int(text).map_err(|why| why.replace("strconv.Atoi", "strconv.ParseInt"))?;
    i32::try_from(number)
        .map_err(|_| format!("strconv.ParseInt: parsing {}: value out of range", go_quote(text)))
}

/// `/api/v1/alerts`
pub fn alerts(_: &Api, _: &Request) -> Handled {
    Ok(Answer::json(|json| {
        json.begin_object();
        json.key("alerts");
        json.begin_array();
        json.end_array();
        json.end_object();
    }))
}

/// `/api/v1/alertmanagers`
pub fn alertmanagers(_: &Api, _: &Request) -> Handled {
    Ok(Answer::json(|json| {
        json.begin_object();
        for key in ["activeAlertmanagers", "droppedAlertmanagers"] {
            json.key(key);
            json.begin_array();
            json.end_array();
        }
        json.end_object();
    }))
}
