//! Windows and burn rates of the alerts of a period.
//!
//! An alert fires while both a long window (it matters) and a short one (it is still happening) burn the
//! budget faster than a factor. The built-in figures come from Google's SRE workbook, chapter "Alerting on
//! SLOs".

use std::collections::BTreeMap;

use ferula_model::duration::{format_millis, parse_millis};
use serde::Deserialize;

use crate::error::WindowsError;

const HOUR_MILLIS: i64 = 3_600_000;
const DAY_MILLIS: i64 = 24 * HOUR_MILLIS;

/// A pair of windows, and the percentage of the period's budget that the long one may burn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurnWindow {
    pub budget_percent: f64,
    pub short_millis: i64,
    pub long_millis: i64,
}

impl BurnWindow {
    const fn hours(budget_percent: f64, short_minutes: i64, long_hours: i64) -> Self {
        BurnWindow {
            budget_percent,
            short_millis: short_minutes * 60_000,
            long_millis: long_hours * HOUR_MILLIS,
        }
    }

    /// The factor by which the budget burns too fast when the long window uses `budget_percent` of it. The
    /// operations are in Sloth's order, so that the printed factor is the same to the last digit.
    pub fn burn_rate(&self, period_millis: i64) -> f64 {
        let hours = |millis: i64| millis as f64 / HOUR_MILLIS as f64;
        self.budget_percent * hours(period_millis) / 100.0 / hours(self.long_millis)
    }
}

/// The four pairs of one period: two that page, two that open a ticket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Windows {
    pub period_millis: i64,
    pub page_quick: BurnWindow,
    pub page_slow: BurnWindow,
    pub ticket_quick: BurnWindow,
    pub ticket_slow: BurnWindow,
}

impl Windows {
    const fn workbook(period_millis: i64) -> Self {
        Windows {
            period_millis,
            page_quick: BurnWindow::hours(2.0, 5, 1),
            page_slow: BurnWindow::hours(5.0, 30, 6),
            ticket_quick: BurnWindow::hours(10.0, 120, 24),
            ticket_slow: BurnWindow::hours(10.0, 360, 72),
        }
    }

    /// All distinct windows, shortest first.
    pub fn distinct_millis(&self) -> Vec<i64> {
        let mut all: Vec<i64> = [self.page_quick, self.page_slow, self.ticket_quick, self.ticket_slow]
            .iter()
            .flat_map(|pair| [pair.short_millis, pair.long_millis])
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Reads a file of Sloth's `AlertWindows`.
    ///
    /// # Errors
    /// It is a different kind of file, or a value is invalid.
    pub fn parse(text: &str) -> Result<Self, WindowsError> {
        let file: WindowsFile =
            serde_yaml::from_str(text).map_err(|error| WindowsError::Yaml(error.to_string()))?;
        if file.api_version != "sloth.slok.dev/v1" || file.kind != "AlertWindows" {
            return Err(WindowsError::UnknownFormat);
        }
        Ok(Windows {
            period_millis: duration(&file.spec.slo_period, "spec.sloPeriod")?,
            page_quick: file.spec.page.quick.check("spec.page.quick")?,
            page_slow: file.spec.page.slow.check("spec.page.slow")?,
            ticket_quick: file.spec.ticket.quick.check("spec.ticket.quick")?,
            ticket_slow: file.spec.ticket.slow.check("spec.ticket.slow")?,
        })
    }
}

/// Windows by period.
#[derive(Debug, Clone)]
pub struct Catalog(BTreeMap<i64, Windows>);

impl Default for Catalog {
    /// The workbook's figures, for periods of 28 and 30 days.
    fn default() -> Self {
        let known = [28, 30].map(|days| (days * DAY_MILLIS, Windows::workbook(days * DAY_MILLIS)));
        Catalog(known.into())
    }
}

impl Catalog {
    /// A catalog of custom windows.
    ///
    /// # Errors
    /// Two differ for the same period.
    pub fn of(all: impl IntoIterator<Item = Windows>) -> Result<Self, WindowsError> {
        let mut known = BTreeMap::new();
        for windows in all {
            if known.insert(windows.period_millis, windows).is_some_and(|before| before != windows) {
                return Err(WindowsError::Twice(format_millis(windows.period_millis)));
            }
        }
        Ok(Catalog(known))
    }

    /// The windows of a period.
    pub fn get(&self, period_millis: i64) -> Option<&Windows> {
        self.0.get(&period_millis)
    }

    /// The periods for which there are windows, as durations: `4w, 30d`.
    pub fn periods(&self) -> String {
        self.0.keys().map(|&period| format_millis(period)).collect::<Vec<_>>().join(", ")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WindowsFile {
    api_version: String,
    kind: String,
    spec: WindowsSpec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WindowsSpec {
    slo_period: String,
    page: Speeds,
    ticket: Speeds,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Speeds {
    quick: WindowSpec,
    slow: WindowSpec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WindowSpec {
    error_budget_percent: f64,
    short_window: String,
    long_window: String,
}

impl WindowSpec {
    fn check(&self, place: &'static str) -> Result<BurnWindow, WindowsError> {
        if !(self.error_budget_percent > 0.0 && self.error_budget_percent <= 100.0) {
            let text = format!(
                "errorBudgetPercent is {}, expected more than 0 and at most 100",
                self.error_budget_percent
            );
            return Err(WindowsError::Value { place, text });
        }
        Ok(BurnWindow {
            budget_percent: self.error_budget_percent,
            short_millis: duration(&self.short_window, place)?,
            long_millis: duration(&self.long_window, place)?,
        })
    }
}

fn duration(text: &str, place: &'static str) -> Result<i64, WindowsError> {
    match parse_millis(text) {
        Ok(millis) if millis > 0 => Ok(millis),
        Ok(_) => Err(WindowsError::Value { place, text: "a duration of zero".into() }),
        Err(error) => Err(WindowsError::Value { place, text: error.to_string() }),
    }
}
