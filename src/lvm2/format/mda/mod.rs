//! The metadata area (MDA): a header sector, and a ring of bytes that holds texts.

pub mod header;
pub mod ring;
pub mod slot;
#[cfg(test)]
mod tests;
