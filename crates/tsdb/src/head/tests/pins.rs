//! Pins in a single thread.

use std::sync::Arc;

use crate::head::Pins;

#[test]
fn a_moment_is_past_when_no_pin_holds_it() {
    let pins = Arc::<Pins>::default();
    let early = pins.pin();
    let moment = pins.advance();
    let later = pins.pin();
    assert!(!pins.is_past(moment));
    drop(early);
    assert!(pins.is_past(moment));
    let second = pins.advance();
    assert!(!pins.is_past(second));
    drop(later);
    assert!(pins.is_past(second));
}
