//! Where the next copy of a volume group's text goes in a metadata area, and the writes that put it there.

pub mod place;
pub mod plan;
#[cfg(test)]
mod tests;
