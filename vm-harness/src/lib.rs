//! What the harness and the agent inside its virtual machine have in common, and the agent.

pub mod agent;
pub mod child;
pub mod lossy;
pub mod nbd;
pub mod power;
pub mod protocol;
pub mod score;
pub mod stream;
pub mod verdict;
