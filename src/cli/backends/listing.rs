//! Volumes of a storage: which are wanted, and what was found.

use clap::Args;

use super::volume_row::VolumeRow;
use crate::filter::Filter;

/// Which volumes are wanted.
#[derive(Clone, Debug, Default, Args)]
pub struct VolumeQuery {
    /// Only this content: images or rootdir, the disks of containers
    #[arg(long, value_name = "TYPE")]
    pub content: Option<String>,

    /// Which volumes; with --tree, also what was made from them.
    #[command(flatten)]
    pub filter: Filter,

    /// List snapshots, too, each as <volume>@<snapshot>
    #[arg(long)]
    pub snapshots: bool,

    /// Read from the pool's metadata what each volume maps, active or not, and what of it no other one does: the
    /// columns mapped, exclusive and shared. The volume group is locked for changes meanwhile
    #[arg(long)]
    pub exclusive: bool,

    /// Show snapshots too, everything below what it was made from
    #[arg(long, conflicts_with_all = ["columns", "noheadings", "sort", "units"])]
    pub tree: bool,
}

impl VolumeQuery {
    /// Whether volumes of that content are wanted.
    pub fn takes_content(&self, content: &str) -> bool {
        self.content.as_deref().is_none_or(|wanted| wanted == content)
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Listing {
    /// The storage.
    pub storage: String,
    /// Its volumes.
    pub rows: Vec<VolumeRow>,
    /// Things that went another way than one might think.
    pub notes: Vec<String>,
    /// Things that ask for attention.
    pub warnings: Vec<String>,
}
