//! Calendar dates of times, in UTC and the Gregorian calendar. Source: Howard Hinnant, "chrono-Compatible
//! Low-Level Date Algorithms". Reads no clock.

use crate::plan::DatePart;

const SECONDS_PER_DAY: i64 = 86_400;
/// Times beyond this have no date that anybody asks for; it keeps all arithmetic in range.
const MAX_SECONDS: i64 = 1 << 55;

/// A date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Date {
    year: i64,
    /// From 1.
    month: i64,
    /// From 1.
    day: i64,
}

/// The part of the date and time that is so many seconds after 1970 began; fractions are cut off.
pub(crate) fn part(part: DatePart, seconds: f64) -> f64 {
    if seconds.is_nan() {
        return f64::NAN;
    }
    let seconds = (seconds as i64).clamp(-MAX_SECONDS, MAX_SECONDS);
    let (days, second) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
    let date = date_of(days);
    let v = match part {
        DatePart::DayOfMonth => date.day,
        // The first of 1970 was a Thursday.
        DatePart::DayOfWeek => (days + 4).rem_euclid(7),
        DatePart::DayOfYear => days - days_of(Date { month: 1, day: 1, ..date }) + 1,
        DatePart::DaysInMonth => {
            let (year, month) =
                if date.month == 12 { (date.year + 1, 1) } else { (date.year, date.month + 1) };
            days_of(Date { year, month, day: 1 }) - days_of(Date { day: 1, ..date })
        }
        DatePart::Hour => second / 3600,
        DatePart::Minute => second / 60 % 60,
        DatePart::Month => date.month,
        DatePart::Year => date.year,
    };
    v as f64
}

/// The date so many days after the first of 1970. Years begin in March here, so that the leap day is last.
fn date_of(days: i64) -> Date {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Date { year, month, day: day_of_year - (153 * shifted + 2) / 5 + 1 }
}

/// How many days after the first of 1970 the date is.
fn days_of(date: Date) -> i64 {
    let year = date.year - i64::from(date.month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted = if date.month > 2 { date.month - 3 } else { date.month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + date.day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use DatePart as P;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, parts) in [
            (0.0, [1970, 1, 1, 4, 1, 31, 0, 0]),
            (-1.0, [1969, 12, 31, 3, 365, 31, 23, 59]),
            (951_825_599.9, [2000, 2, 29, 2, 60, 29, 11, 59]),
            (1_709_251_199.0, [2024, 2, 29, 4, 60, 29, 23, 59]),
            (1_136_239_445.0, [2006, 1, 2, 1, 2, 31, 22, 4]),
            (4_107_542_400.0, [2100, 3, 1, 1, 60, 31, 0, 0]),
            (-62_135_596_800.0, [1, 1, 1, 1, 1, 31, 0, 0]),
        ] {
            let kinds = [
                P::Year,
                P::Month,
                P::DayOfMonth,
                P::DayOfWeek,
                P::DayOfYear,
                P::DaysInMonth,
                P::Hour,
                P::Minute,
            ];
            let got = kinds.map(|kind| part(kind, seconds) as i64);
            assert_eq!(got, parts, "{seconds}");
        }
        assert!(part(P::Year, f64::NAN).is_nan());
    }

    #[test]
    fn every_day_comes_back() {
        for days in (-1_000_000..1_000_000).step_by(97) {
            assert_eq!(days_of(date_of(days)), days);
        }
    }
}
