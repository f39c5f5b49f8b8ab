//! Points in time as Go's JSON encoder prints them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// RFC 3339 with as many digits as needed; `None` is the year 1.
pub fn rfc3339_nanos(time: Option<OffsetDateTime>) -> String {
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| "0001-01-01T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_as_many_digits_as_needed() {
        let at = |nanos| rfc3339_nanos(OffsetDateTime::from_unix_timestamp_nanos(nanos).ok());
        assert_eq!(at(1_795_202_184_454_018_449), "2026-11-20T19:16:24.454018449Z");
        assert_eq!(at(1_795_202_184_450_000_000), "2026-11-20T19:16:24.45Z");
        assert_eq!(at(1_795_202_184_000_000_000), "2026-11-20T19:16:24Z");
        assert_eq!(rfc3339_nanos(None), "0001-01-01T00:00:00Z");
    }
}
