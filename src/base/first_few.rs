//! Long lists in messages.

use std::fmt::Display;

/// The first of some things, and how many more there are: `a, b and 3 more`.
pub fn first_few<T: Display>(things: &[T], shown: usize, between: &str) -> String {
    let first: Vec<String> = things.iter().take(shown).map(ToString::to_string).collect();
    let first = first.join(between);
    match things.len().saturating_sub(shown) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted() {
        let names = ["a", "b", "c"];
        assert_eq!(first_few(&names, 3, ", "), "a, b, c");
        assert_eq!(first_few(&names, 2, "; "), "a; b and 1 more");
        assert_eq!(first_few(&[0_u8; 0], 2, ", "), "");
    }
}
