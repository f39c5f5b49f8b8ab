//! Sections `tracing` and `otlp`.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_go::quote::go_quote;

use crate::error::Problem;
use crate::http_client::TlsConfig;
use crate::remote::check_headers;
use crate::scalars::choice;
use crate::section::section;

section! {
    /// Where the server's own traces go.
    pub struct TracingConfig as "config.TracingConfig" read as "config.plain", checked {
        omit client_type: TracingClientType;
        omit endpoint: String;
        omit sampling_fraction: f64;
        omit insecure: bool;
        omit tls_config: TlsConfig;
        omit headers: BTreeMap<String, String>;
        omit compression: String;
        omit timeout: Duration;
    }
}

choice! {
    /// `grpc` or `http`.
    TracingClientType as "config.TracingClientType", ["http", "grpc"],
    |other: &str| format!("expected tracing client type to be to be http or grpc, but got {other}")
}

impl TracingConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.client_type.as_str().is_empty() {
            self.client_type = TracingClientType::new("grpc");
        }
        check_headers(&self.headers, "custom authorization header configuration is not yet supported")?;
        if self.endpoint.is_empty() {
            return Err("tracing endpoint must be set".into());
        }
        if !matches!(self.compression.as_str(), "" | "gzip") {
            let text = format!("invalid compression type {} provided, valid options: gzip", self.compression);
            return Err(Problem::new(text).at("compression"));
        }
        Ok(())
    }
}

section! {
    /// How OTLP metrics become series.
    pub struct OtlpConfig as "config.OTLPConfig" read as "config.plain", checked {
        omit promote_all_resource_attributes: bool;
        omit promote_resource_attributes: Vec<String>;
        omit ignore_resource_attributes: Vec<String>;
        omit translation_strategy: String = "UnderscoreEscapingWithSuffixes".into();
        omit keep_identifying_resource_attributes: bool;
        omit convert_histograms_to_nhcb: bool;
        omit promote_scope_metadata: bool;
        omit label_name_underscore_sanitization: bool = true;
        omit label_name_preserve_multiple_underscores: bool = true;
    }
}

impl OtlpConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.promote_all_resource_attributes {
            if !self.promote_resource_attributes.is_empty() {
                return Err("'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be \
                            configured simultaneously"
                    .into());
            }
            return clean_attributes(&mut self.ignore_resource_attributes, "ignored").map_err(|text| {
                let key = "ignore_resource_attributes";
                Problem::new(format!("invalid '{key}': {text}")).at(key)
            });
        }
        if !self.ignore_resource_attributes.is_empty() {
            return Err("'ignore_resource_attributes' cannot be configured unless \
                        'promote_all_resource_attributes' is true"
                .into());
        }
        clean_attributes(&mut self.promote_resource_attributes, "promoted").map_err(|text| {
            let key = "promote_resource_attributes";
            Problem::new(format!("invalid '{key}': {text}")).at(key)
        })
    }

    /// Checks the strategy against the naming scheme, once that is known.
    pub(crate) fn check_strategy(&self, legacy_names: bool) -> Result<(), Problem> {
        let strategy = self.translation_strategy.as_str();
        let text = match strategy {
            "" | "UnderscoreEscapingWithSuffixes" | "UnderscoreEscapingWithoutSuffixes" => return Ok(()),
            "NoTranslation" | "NoUTF8EscapingWithSuffixes" if !legacy_names => return Ok(()),
            "NoTranslation" | "NoUTF8EscapingWithSuffixes" => {
                format!(
                    "OTLP translation strategy {} is not allowed when UTF8 is disabled",
                    go_quote(strategy)
                )
            }
            _ => format!("unsupported OTLP translation strategy {}", go_quote(strategy)),
        };
        Err(Problem::new(text).at("translation_strategy").at("otlp"))
    }
}

/// Trims attribute names; names all that are empty or repeated, one per line.
fn clean_attributes(attributes: &mut [String], adjective: &str) -> Result<(), String> {
    let mut seen: Vec<String> = Vec::new();
    let mut problems = Vec::new();
    for attribute in attributes {
        let trimmed = attribute.trim().to_owned();
        if trimmed.is_empty() {
            problems.push(format!("empty {adjective} OTel resource attribute"));
        } else if seen.contains(&trimmed) {
            problems.push(format!("duplicated {adjective} OTel resource attribute {}", go_quote(&trimmed)));
        } else {
            seen.push(trimmed.clone());
            *attribute = trimmed;
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}
