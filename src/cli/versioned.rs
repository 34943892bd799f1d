//! JSON documents with their version.

use serde::Serialize;

/// The version of the JSON forms. It goes up when a key goes or means something else, not when one comes.
pub const JSON_VERSION: u32 = 3;

/// A JSON document with its version in front.
#[derive(Debug, Serialize)]
pub struct Versioned<T> {
    json_version: u32,
    #[serde(flatten)]
    document: T,
}

impl<T> Versioned<T> {
    /// A document in the present forms.
    pub fn new(document: T) -> Self {
        Self { json_version: JSON_VERSION, document }
    }
}
