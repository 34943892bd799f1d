//! Measures thinvol beside lvm2.

use anyhow::Result;

/// Runs the bench in this machine.
pub fn run(_arguments: &[String]) -> Result<()> {
    println!("nothing is measured yet");
    Ok(())
}
