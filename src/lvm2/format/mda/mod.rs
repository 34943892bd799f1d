//! The metadata area (MDA): a header sector, and a ring of bytes that holds texts.

pub mod header;
pub mod ring;
#[cfg(test)]
mod tests;
