//! An error and what caused it.

use std::error::Error;
use std::iter::successors;

/// The causes of an error, from the one behind it to the first.
pub fn causes(error: &dyn Error) -> impl Iterator<Item = String> {
    successors(error.source(), |cause: &&dyn Error| (*cause).source()).map(ToString::to_string)
}

/// An error with its causes, in one line.
pub fn in_words(error: &impl Error) -> String {
    std::iter::once(error.to_string()).chain(causes(error)).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn causes_follow_in_their_order() {
        let error = io::Error::other(io::Error::other("a disk is gone"));
        // What wraps an error says what that says.
        assert_eq!(in_words(&error), "a disk is gone");
        let number = "x".parse::<u8>().unwrap_err();
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("no size")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let outer = Outer(number);
        assert_eq!(in_words(&outer), "no size: invalid digit found in string");
        assert_eq!(causes(&outer).collect::<Vec<_>>(), ["invalid digit found in string"]);
    }
}
