//! What the harness and the agent inside its virtual machine have in common.

pub mod power;
pub mod protocol;
pub mod score;
pub mod verdict;
