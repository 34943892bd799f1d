//! A disk in memory for tests of failures: it records what is written and flushed, fails on demand,
//! and shows every state that a crash could leave.

pub mod crash;
pub mod disk;
pub mod fault;
pub mod image;
#[cfg(test)]
mod tests;
