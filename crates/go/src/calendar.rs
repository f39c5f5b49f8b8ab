//! The UTC calendar (proleptic Gregorian), for the date functions and for times in texts.

/// A moment in UTC, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Astronomical: the year before 1 is 0.
    pub year: i64,
    /// 1–12
    pub month: u32,
    /// 1–31
    pub day: u32,
    /// 0–23
    pub hour: u32,
    /// 0–59
    pub minute: u32,
    /// 0–59
    pub second: u32,
    /// 0 is Sunday.
    pub weekday: u32,
    /// 1–366
    pub day_of_year: u32,
}

const SECONDS_PER_DAY: i64 = 86_400;

/// Where Go's calendar begins: 1 March −292277022400, in seconds since the epoch.
const FIRST_SECOND: i64 = -9_223_372_028_741_760_000;

impl Civil {
    /// From seconds since the epoch, which may be any.
    pub fn from_unix(seconds: i64) -> Civil {
        // Go's calendar is unsigned: before its first second it comes round from the other end. NaN and infinities are
        // such times, being the smallest integer there.
        let turned = if seconds < FIRST_SECOND { 1i128 << 64 } else { 0 };
        let seconds = i128::from(seconds) + turned;
        let days = seconds.div_euclid(SECONDS_PER_DAY.into()) as i64;
        let of_day = seconds.rem_euclid(SECONDS_PER_DAY.into()) as u32;
        let (year, month, day) = date_of(days);
        let day_of_year = (days - days_until(year, 1, 1)) as u32 + 1;
        Civil {
            year,
            month,
            day,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            weekday: (days + 4).rem_euclid(7) as u32,
            day_of_year,
        }
    }

    /// How many days its month has.
    pub fn days_in_month(&self) -> u32 {
        match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if is_leap(self.year) => 29,
            2 => 28,
            _ => 31,
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from the epoch to a date; eras of 400 years that begin in March make leap days the last of a year.
fn days_until(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date that is `days` after the epoch.
fn date_of(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        let leap = Civil::from_unix(1_709_210_096);
        assert_eq!((leap.year, leap.month, leap.day), (2024, 2, 29));
        assert_eq!((leap.hour, leap.minute, leap.second), (12, 34, 56));
        assert_eq!((leap.weekday, leap.day_of_year, leap.days_in_month()), (4, 60, 29));
        let before = Civil::from_unix(-1);
        assert_eq!((before.year, before.month, before.day, before.second), (1969, 12, 31, 59));
        assert_eq!((before.weekday, before.day_of_year), (3, 365));
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let mut expected = (1600, 1, 1);
        for days in days_until(1600, 1, 1)..days_until(2400, 1, 1) {
            let date = Civil::from_unix(days * SECONDS_PER_DAY);
            assert_eq!((date.year, date.month, date.day), expected);
            expected = match (date.month, date.day) {
                (12, 31) => (date.year + 1, 1, 1),
                (month, day) if day == date.days_in_month() => (date.year, month + 1, 1),
                (month, day) => (date.year, month, day + 1),
            };
        }
    }

    #[test]
    fn times_before_the_calendar_come_round_as_in_go() {
        let nan = Civil::from_unix(i64::MIN);
        assert_eq!((nan.year, nan.month, nan.day, nan.hour, nan.minute), (292_277_026_596, 12, 4, 15, 30));
        assert_eq!((nan.weekday, nan.day_of_year), (0, 339));
        assert_eq!(Civil::from_unix(-9_223_372_000_000_000_000).year, -292_277_021_490);
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        for seconds in [i64::MIN / 1000, i64::MAX / 1000, i64::MIN, i64::MAX] {
            let date = Civil::from_unix(seconds);
            assert!((1..=12).contains(&date.month) && (1..=31).contains(&date.day));
        }
    }
}
