//! Measures thinvol beside lvm2 and beside the bare ioctls, in one boot: medians of wall time, and what does not depend
//! on the machine: ioctls, commits, bytes written, flushes, system calls, processes, peak memory. Then reports which
//! budgets are kept. Under emulation only ratios of times are meaningful.

mod bare;
mod budgets;
mod group;
mod instructions;
mod iscsi;
mod measure;
mod proxmox;
mod works;

use std::path::Path;

use anyhow::Result;

use crate::ctx::Ctx;
use budgets::Judge;
use group::Group;
use works::{Row, WORKS};

/// Volumes in the group by default.
const FEW: u32 = 10;

/// Size of the metadata area, in MiB.
const MIB: u32 = 16;

/// How many other volumes the group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// This number.
    Volumes(u32),
    /// As many as the metadata area takes, less what the measured works add.
    Max,
}

/// Runs the bench in this machine. Arguments: numbers of volumes (or `max`), and words: only works whose name contains
/// one of them. With `proxmox` as the first word, beside the commands that Proxmox VE runs, at the numbers of volumes
/// that follow. With `instructions`, in a machine that counts them, at the numbers of volumes that follow. With `iscsi`
/// as the only word, sessions beside iscsiadm.
pub fn run(arguments: &[String]) -> Result<()> {
    if let [first, sizes @ ..] = arguments
        && first == "proxmox"
    {
        return proxmox::run(sizes);
    }
    if let [first, sizes @ ..] = arguments
        && first == "instructions"
    {
        return instructions::run(sizes);
    }
    if arguments == ["iscsi"] {
        return iscsi::run();
    }
    let (mut sizes, mut words) = (Vec::new(), Vec::new());
    for argument in arguments {
        match argument.parse() {
            Ok(volumes) => sizes.push(Size::Volumes(volumes)),
            Err(_) if argument == "max" => sizes.push(Size::Max),
            Err(_) => words.push(argument.as_str()),
        }
    }
    if sizes.is_empty() {
        sizes.push(Size::Volumes(FEW));
    }
    let ctx = Ctx::new(Path::new("/tmp/bench"))?;
    let mut group = Group::make(&ctx, MIB)?;
    let mut judge = Judge::new();
    for size in sizes {
        let volumes = match size {
            Size::Volumes(volumes) => {
                group.fill(volumes)?;
                volumes
            }
            Size::Max => group.fill_up()?,
        };
        println!(
            "\nIn a volume group with {volumes} volumes ({} KiB of metadata):",
            group.text_bytes()? / 1024
        );
        println!("{}", Row::heading());
        for work in
            WORKS.iter().filter(|work| words.is_empty() || words.iter().any(|word| work.name.contains(word)))
        {
            let row = work.measure(&group, volumes)?;
            println!("{row}");
            judge.note(volumes, work, row);
        }
    }
    println!("\n{judge}");
    Ok(())
}
