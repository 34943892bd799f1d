//! `thinvol clone`: a volume with the content of another.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use clap::Args;

use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::PromiseOptions;
use crate::transaction::transact;
use config::names;
use thin::changes::{CloneVolume, NewName};

const HELP: &str = changing!(
    "\
  thinvol clone local-lvm:base-9000-disk-0 101              the next free vm-101-disk-<n>
  thinvol clone local-lvm:base-9000-disk-0 1001-2000        a thousand of them, in one transaction
  thinvol clone pve/vm-100-disk-0@golden 102 --name vm-102-disk-5
  thinvol clone --dry-run pve/vm-100-disk-0 103              what would be done"
);

/// Clone a volume or snapshot
///
/// Creates writable thin volumes, one for each guest, and activates them. They share their content with a volume
/// or snapshot of the same pool until one of them is written to. Their origin is recorded, and can be removed
/// later without harm. Any number of clones is one transaction.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct CloneArgs {
    /// What to clone: a volume or <volume>@<snapshot>
    #[arg(value_name = "VOLUME[@SNAPSHOT]")]
    pub source: String,

    /// The guests the clones are for: ids, or ranges of them
    #[arg(required = true, value_name = "VMID[-VMID]", value_parser = guests)]
    pub vmids: Vec<RangeInclusive<u32>>,

    /// The clone's name, 'vm-<VMID>-…', if it is for one guest; else the next free 'vm-<VMID>-disk-<n>'
    #[arg(long)]
    pub name: Option<String>,

    /// Leave the clones inactive
    #[arg(long)]
    pub inactive: bool,

    /// Options of changes that may promise more of a pool.
    #[command(flatten)]
    pub change: PromiseOptions,
}

impl CloneArgs {
    /// Creates the clones.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let source = context.resolver.source(&self.source)?;
        let vmids = self.guests()?;
        let name = self.name.as_deref().filter(|name| !name.is_empty());
        let names: Vec<NewName> = match (name, vmids.as_slice()) {
            (Some(name), [vmid]) => vec![NewName::Given(names::check(*vmid, name)?)],
            (Some(_), _) => {
                return Err(CliError::usage("one name is not enough for the clones of several guests"));
            }
            (None, vmids) => vmids.iter().map(|vmid| NewName::NextDisk(*vmid)).collect(),
        };
        let clone = |name| CloneVolume { activate: !self.inactive, ..CloneVolume::new(source.clone(), name) };
        transact(context, &self.change.options(), names.into_iter().map(|name| clone(name).into()))
    }

    fn guests(&self) -> Result<Vec<u32>, CliError> {
        let count: u64 = self.vmids.iter().map(|range| u64::from(range.end() - range.start()) + 1).sum();
        if count > GUESTS_MAX {
            return Err(CliError::usage(format!(
                "{count} guests are more than the {GUESTS_MAX} of one command"
            )));
        }
        let vmids: Vec<u32> = self.vmids.iter().cloned().flatten().collect();
        let mut known = HashSet::new();
        match vmids.iter().find(|vmid| !known.insert(**vmid)) {
            Some(twice) => Err(CliError::usage(format!("guest {twice} is named twice"))
                .hint("one command makes one clone for each guest")),
            None => Ok(vmids),
        }
    }
}

/// How many guests one command takes: more than the metadata area of a volume group has room for.
const GUESTS_MAX: u64 = 100_000;

/// Reads the id of a guest, or a range of ids.
fn guests(text: &str) -> Result<RangeInclusive<u32>, String> {
    let id = |text: &str| {
        let id = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        id.filter(|id| names::VMIDS.contains(id)).ok_or_else(|| {
            format!(
                "'{text}' is not the id of a guest, from {} to {}",
                names::VMIDS.start(),
                names::VMIDS.end()
            )
        })
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (id(first)?, id(last)?);
    if first > last {
        return Err(format!("'{text}' ends before it begins"));
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ChangeOptions;

    #[test]
    fn guests_are_ids_and_ranges_of_them() {
        assert_eq!(guests("101"), Ok(101..=101));
        assert_eq!(guests("1001-2000"), Ok(1001..=2000));
        for (text, why) in [
            ("99", "'99' is not the id of a guest, from 100 to 999999999"),
            ("1000000000", "'1000000000' is not the id"),
            ("", "'' is not the id"),
            ("+101", "'+101' is not the id"),
            ("101-", "'' is not the id"),
            ("200-101", "'200-101' ends before it begins"),
            ("101-102-103", "'102-103' is not the id"),
        ] {
            assert!(guests(text).unwrap_err().starts_with(why), "{text}");
        }
        let of = |vmids: &[&str]| {
            let vmids = vmids.iter().map(|text| guests(text).unwrap()).collect();
            let every =
                ChangeOptions { dry_run: true, no_udev_sync: false, lock_timeout: 1, beyond_rules: false };
            let change = PromiseOptions { force: false, every };
            CloneArgs { source: String::new(), vmids, name: None, inactive: false, change }.guests()
        };
        assert_eq!(of(&["300", "101-103"]).unwrap(), [300, 101, 102, 103]);
        assert_eq!(of(&["101-103", "102"]).unwrap_err().message, "guest 102 is named twice");
        assert!(of(&["100-999999999"]).unwrap_err().message.contains("more than the 100000"));
    }
}
