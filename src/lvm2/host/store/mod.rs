//! The metadata of one volume group as a whole: read from all its physical volumes, cross-checked, and
//! committed to all of them.

mod ahead;
pub mod assess;
pub mod commit;
pub mod error;
pub mod issue;
pub mod read;
pub mod summary;
pub mod vg;
pub mod vg_ref;

#[cfg(test)]
mod tests;
