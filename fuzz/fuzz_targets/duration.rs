//! Durations: any text is read without a panic, and what was read prints to something that reads the same.

use ferula_model::duration::{format_millis, parse_millis};

fn main() {
    ferula_fuzz::drive("duration", &[b"1y2w3d4h5m6s7ms", b"90s", b"0"], |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Ok(millis) = parse_millis(text) {
            assert_eq!(parse_millis(&format_millis(millis)), Ok(millis));
        }
    });
}
