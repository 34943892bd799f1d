//! Which volumes are meant: by guest, by tag, by name.

use clap::Args;

use thin::changes::VolumeFilter;

/// What volumes must be like.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "filter", multiple = true)]
pub struct Filter {
    /// Only volumes of this guest
    #[arg(long)]
    pub vmid: Option<u64>,

    /// Only volumes with this LVM tag; if it is given several times, with all of them
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,

    /// Only volumes with such a name: '*' stands for any characters, '?' for one
    #[arg(long, value_name = "PATTERN")]
    pub name: Option<String>,
}

impl Filter {
    /// Whether it takes everything.
    pub fn is_empty(&self) -> bool {
        self.filter().is_empty()
    }

    /// What volumes must be like.
    pub fn filter(&self) -> VolumeFilter {
        VolumeFilter { vmid: self.vmid, tags: self.tag.clone(), name: self.name.clone() }
    }
}
