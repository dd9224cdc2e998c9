//! Conversations packet by packet, judged natively: how a plugin tests itself.
//!
//! A [`Conversation`] says what was sent, in the order in which the host saw it; [`Conversation::judge`] makes
//! the rows that the host would make (stream heads reassembled, captures cut, sampled packets left out) and gives
//! one opinion for each packet that the plugin was shown. Each time it also judges the same packets in batches of
//! one, two and seven and panics if an opinion or a note differs, so no test can forget that rule.
//!
//! The crate's documentation has a whole example.

mod conversation;
mod host;
mod script;
mod shapes;
mod stream;

pub use conversation::{Conversation, Segment};
pub use host::Judged;
pub use script::{bytes, check_lines, reasons_of_reflected, reasons_without_test};
pub use shapes::shapes_beyond_the_judge;

/// Bytes from hexadecimal digits; blanks, `|` and line ends between them are ignored.
///
/// # Panics
/// If anything else is there, or half a byte.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|letter| !letter.is_whitespace() && *letter != '|')
        .map(|letter| letter.to_digit(16).unwrap_or_else(|| panic!("`{letter}` is not a hexadecimal digit")))
        .collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in `{text}`");
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits fit a byte"))
        .collect()
}
