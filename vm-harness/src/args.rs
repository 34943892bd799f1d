//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::suite::Suite;

/// Builds and boots the virtual machine in which thinvol is shown, tested and measured.
#[derive(Debug, Parser)]
#[command(name = "vm-harness/run", max_term_width = 100)]
pub struct Args {
    /// The release of Debian that the machine is made of
    #[arg(long, global = true, value_enum, default_value_t = Suite::Bookworm)]
    pub suite: Suite,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What the harness can do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Show the main job: lvm2 makes a pool on loop devices, thinvol works in it, lvm2 checks
    Demo,
    /// Run every check: format, lints, unit tests, then the cases in both machines
    Test {
        /// Run the cases on this machine's own kernel instead (needs dm-thin and root; uses loop devices
        /// only)
        #[arg(long)]
        host: bool,
        /// Machines that run cases at the same time [default: one for each processor, at most 2]
        #[arg(long, value_name = "N")]
        jobs: Option<NonZeroUsize>,
        /// Also the cases that take minutes each: every crash, random work, contention
        #[arg(long)]
        long: bool,
        /// Also a share of the long cases: those that have not run here for the longest time, within ten minutes
        #[arg(long, conflicts_with = "long")]
        turn: bool,
        /// Only cases whose name contains one of these words, without the checks that need no machine
        filters: Vec<String>,
    },
    /// Measure thinvol beside lvm2 in one boot
    Bench {
        /// Numbers of volumes in the group (`max`: as many as 16 MiB of metadata hold) and words: only works whose
        /// name contains one of them [default: 10]. With `instructions` first, instructions are counted instead of
        /// time [default then: 10 1000 5000]
        arguments: Vec<String>,
    },
    /// Cut the power of the machine at work, again and again, and check after each boot what was reported
    Cuts {
        /// How often
        #[arg(default_value_t = crate::cuts::MANY)]
        cuts: u32,
        /// Keep what was not flushed, as a disk whose cache outlives the machine does; lvm2, which does not flush,
        /// works in the pool, too
        #[arg(long)]
        kept: bool,
        /// What is drawn from: which unflushed sectors a cut leaves [default: another one each time]
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Boot the machine by systemd with the package installed, reboot it, cut its power, and check after each boot what
    /// must be so
    Boots,
    /// Make Debian packages of the program and of Proxmox VE's plugins, and install, upgrade and remove them in the
    /// machine
    Package {
        /// Of the program that is quick to build, not of the one that is shipped
        #[arg(long)]
        quick: bool,
    },
    /// Open a root shell in the machine, with thinvol, lvm2 and the pool pve/data ready
    Shell,
    /// Run a shell command line or a script in the full machine, and exit with its status
    Exec {
        /// Seconds after which it is killed
        #[arg(long, default_value_t = 600)]
        limit: u64,
        /// Make the pool pve/data first
        #[arg(long)]
        pool: bool,
        /// Have the cases there, too, as the program dm-tests
        #[arg(long)]
        cases: bool,
        /// Run this script of the source tree (with the words that follow as its arguments)
        #[arg(long)]
        script: Option<PathBuf>,
        /// A command line for bash, or the arguments of the script
        #[arg(last = true)]
        words: Vec<String>,
    },
}
