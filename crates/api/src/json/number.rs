//! Numbers and times as the API prints them, appended to a buffer without allocating.
//!
//! The slow equivalent of [`push_sample_value`] is `ferula_model::value::format_api`; a property test keeps them equal.

/// Whole numbers up to here have an exact `f64` and at most 16 digits.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Magnitudes that are printed without an exponent.
const PLAIN: std::ops::Range<f64> = 1e-6..1e21;

/// Magnitudes that `zmij` prints without an exponent too: unless it is a whole number, its text is ours.
const PRINTED_AS_IS: std::ops::Range<f64> = 1e-5..1e15;

/// Appends an unsigned number.
#[inline]
pub fn push_u64(out: &mut Vec<u8>, mut number: u64) {
    const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
        2021222324252627282930313233343536373839\
        4041424344454647484950515253545556575859\
        6061626364656667686970717273747576777879\
        8081828384858687888990919293949596979899";
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    while number >= 100 {
        let pair = (number % 100) as usize * 2;
        number /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if number >= 10 {
        let pair = number as usize * 2;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        digits[at] = b'0' + number as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a signed number.
pub fn push_i64(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_u64(out, number.unsigned_abs());
}

/// Appends milliseconds as seconds: whole seconds without a fraction, others with exactly three digits.
pub fn push_timestamp(out: &mut Vec<u8>, millis: i64) {
    if millis < 0 {
        out.push(b'-');
    }
    let millis = millis.unsigned_abs();
    push_u64(out, millis / 1000);
    let fraction = (millis % 1000) as u32;
    if fraction != 0 {
        let digit = |place: u32| b'0' + (fraction / place % 10) as u8;
        out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
}

/// Appends a sample value without quotes: exponent form below 1e-6 and from 1e21, with an exponent of at least two
/// digits; `NaN`, `+Inf`, `-Inf`.
#[inline]
pub fn push_sample_value(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if magnitude < WHOLE_MAX && magnitude.trunc() == magnitude {
        if value.is_sign_negative() {
            out.push(b'-');
        }
        return push_u64(out, magnitude as u64);
    }
    if PRINTED_AS_IS.contains(&magnitude) {
        let mut buffer = zmij::Buffer::new();
        return out.extend_from_slice(buffer.format_finite(value).as_bytes());
    }
    if !value.is_finite() {
        out.extend_from_slice(match value {
            _ if value.is_nan() => b"NaN",
            _ if value > 0.0 => b"+Inf",
            _ => b"-Inf",
        });
        return;
    }
    let digits = Digits::of(value);
    if !PLAIN.contains(&magnitude) { digits.push_exponent(out, 2) } else { digits.push_plain(out) }
}

/// Appends a number as Go's JSON encoder does: like a sample value, but with the shortest exponent.
///
/// JSON has no NaN or infinities. They become 0 here; no answer contains them.
pub fn push_json_number(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if !value.is_finite() {
        out.push(b'0');
    } else if magnitude != 0.0 && !PLAIN.contains(&magnitude) {
        Digits::of(value).push_exponent(out, 1);
    } else {
        push_sample_value(out, value);
    }
}

/// The shortest digits of a finite number: `±0.d1d2d3… × 10^point`.
struct Digits {
    negative: bool,
    digits: [u8; 24],
    count: usize,
    point: i32,
}

impl Digits {
    fn of(value: f64) -> Self {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value).as_bytes();
        let mut this = Digits { negative: false, digits: [0; 24], count: 0, point: 0 };
        // The text is `-12.34`, `0.0012` or `1.2e-7`: collect the digits and note the position of the point.
        let (mut seen_point, mut exponent) = (false, 0);
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'-' => this.negative = true,
                b'.' => seen_point = true,
                b'e' => {
                    exponent = parse_exponent(&text[at + 1..]);
                    break;
                }
                digit => {
                    if this.count > 0 || *digit != b'0' {
                        this.digits[this.count] = *digit;
                        this.count += 1;
                        this.point += i32::from(!seen_point);
                    } else if seen_point {
                        this.point -= 1;
                    }
                }
            }
        }
        while this.count > 1 && this.digits[this.count - 1] == b'0' {
            this.count -= 1;
        }
        this.point += exponent;
        this
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.count]
    }

    fn push_plain(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        let digits = self.digits();
        match usize::try_from(self.point) {
            Ok(point) if point >= digits.len() => {
                out.extend_from_slice(digits);
                out.resize(out.len() + point - digits.len(), b'0');
            }
            Ok(point) if point > 0 => {
                out.extend_from_slice(&digits[..point]);
                out.push(b'.');
                out.extend_from_slice(&digits[point..]);
            }
            _ => {
                out.extend_from_slice(b"0.");
                out.resize(out.len() + self.point.unsigned_abs() as usize, b'0');
                out.extend_from_slice(digits);
            }
        }
    }

    fn push_exponent(&self, out: &mut Vec<u8>, exponent_digits_min: usize) {
        if self.negative {
            out.push(b'-');
        }
        let digits = self.digits();
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let exponent = self.point - 1;
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        let exponent = u64::from(exponent.unsigned_abs());
        if exponent < 10 && exponent_digits_min > 1 {
            out.push(b'0');
        }
        push_u64(out, exponent);
    }
}

fn parse_exponent(text: &[u8]) -> i32 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let number = digits.iter().fold(0, |number, digit| number * 10 + i32::from(digit - b'0'));
    if negative { -number } else { number }
}

#[cfg(test)]
mod tests {
    use ferula_model::value::format_api;
    use proptest::prelude::*;

    use super::*;

    fn text(push: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).expect("digits are ASCII")
    }

    #[test]
    fn times_have_no_fraction_or_three_digits() {
        for (millis, want) in [
            (1_435_781_451_000, "1435781451"),
            (1_435_781_451_070, "1435781451.070"),
            (1_435_781_451_007, "1435781451.007"),
            (-1, "-0.001"),
            (-62_135_596_800_500, "-62135596800.500"),
            (0, "0"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(text(|out| push_timestamp(out, millis)), want);
        }
    }

    #[test]
    fn json_numbers_have_the_shortest_exponent() {
        for (value, want) in [
            (1e-7, "1e-7"),
            (1e21, "1e+21"),
            (1700000000.5, "1700000000.5"),
            (0.0, "0"),
            (-2.5e-10, "-2.5e-10"),
        ] {
            assert_eq!(text(|out| push_json_number(out, value)), want);
        }
    }

    fn same_as_the_slow_way(value: f64) {
        assert_eq!(text(|out| push_sample_value(out, value)), format_api(value), "{value:?}");
    }

    #[test]
    fn edge_values_print_as_the_slow_way_prints_them() {
        for value in [
            0.0,
            -0.0,
            1.0,
            -1.0,
            9.0,
            10.0,
            99.0,
            100.0,
            1e15,
            1e16,
            1e17,
            WHOLE_MAX,
            WHOLE_MAX + 2.0,
            1e20,
            999999999999999900000.0,
            1e21,
            1.5e21,
            1e22,
            1e100,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            1e-6,
            9.99e-7,
            0.1,
            1e-5 / 3.0,
            1.5e-5,
            999_999_999_999_999.9,
            1e15 / 3.0,
            0.001,
            123.456,
            1e-5,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            same_as_the_slow_way(value);
            same_as_the_slow_way(-value);
        }
    }

    proptest! {
        #[test]
        fn values_print_as_the_slow_way_prints_them(bits: u64, whole: i64, decimals in -9i32..9) {
            same_as_the_slow_way(f64::from_bits(bits));
            same_as_the_slow_way(whole as f64);
            same_as_the_slow_way(whole as f64 / 10f64.powi(decimals));
            prop_assert_eq!(text(|out| push_i64(out, whole)), whole.to_string());
        }
    }
}
