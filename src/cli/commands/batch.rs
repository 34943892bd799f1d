//! `thinvol batch`: many requests as one transaction.

mod line;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;

use self::line::Line;
use super::activate::{Way, of_lv};
use super::{alloc, clone, delete_snapshot, snapshot};
use crate::cli::args::ChangeOptions;
use crate::cli::context::Context;
use crate::cli::errors::CliError;
use crate::cli::help::changing;
use crate::cli::lookup;
use crate::cli::resolve::{Resolver, Snapshot, Source, Storage};
use crate::cli::transaction::{Ask, Wanted, by_vg, transact};
use crate::ids::{LvName, VgName};
use crate::lvm::model::Vg;
use crate::thin::lineage::Lineage;
use crate::thin::request::Request;
use crate::units::Sectors;

const HELP: &str = changing!(
    "\
  thinvol batch requests.jsonl
  echo '{\"request\": \"remove\", \"volume\": \"pve/vm-100-disk-0\"}' | thinvol batch -
  thinvol batch --dry-run requests.jsonl           what would be done

Requests, one JSON object on each line (empty lines are skipped; [default]):
  {\"request\": \"create\", \"pool\": \"<vg>/<pool>\", \"name\": \"<lv>\", \"size\": \"8G\" or bytes,
   \"activate\": [true], \"autoactivate\": [false], \"tags\": [none]}
  {\"request\": \"snapshot\", \"snapshot\": \"<vg>/<lv>@<snapshot>\", \"writable\": [false]}
  {\"request\": \"clone\", \"source\": \"<vg>/<lv>\" or \"<vg>/<lv>@<snapshot>\", \"name\": \"<lv>\",
   \"activate\": [true]}
  {\"request\": \"remove\", \"volume\": \"<vg>/<lv>\" or \"<vg>/<lv>@<snapshot>\"}
  {\"request\": \"activate\" or \"deactivate\", \"volume\": \"<vg>/<lv>\" or \"<vg>/<lv>@<snapshot>\"}"
);

/// What `thinvol batch` takes.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct BatchArgs {
    /// The file with the requests, '-' for standard input
    pub file: PathBuf,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// The largest input that is read.
const INPUT_MAX_BYTES: u64 = 64 << 20;

/// A line of the batch with its addresses read.
#[derive(Debug)]
pub struct Wish {
    line: usize,
    what: What,
}

#[derive(Debug)]
enum What {
    Create {
        storage: Storage,
        name: LvName,
        size: Sectors,
        activate: bool,
        autoactivate: bool,
        tags: Vec<String>,
    },
    Snapshot {
        snapshot: Snapshot,
        writable: bool,
    },
    Clone {
        source: Source,
        name: LvName,
        activate: bool,
    },
    Remove {
        source: Source,
    },
    Switch {
        source: Source,
        way: Way,
    },
}

impl BatchArgs {
    /// Carries the requests out.
    ///
    /// # Errors
    /// If the input cannot be read or is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let wishes = wishes(&self.read()?, &context.resolver)?;
        transact(context, &self.change, by_vg(wishes), ask)
    }

    fn read(&self) -> Result<String, CliError> {
        let failed = |error: io::Error| {
            CliError::usage(format!("cannot read requests from '{}'", self.file.display()))
                .caused_by(Some(&error))
        };
        let input: Box<dyn Read> = match self.file.to_str() {
            Some("-") => Box::new(io::stdin().lock()),
            _ => Box::new(File::open(&self.file).map_err(failed)?),
        };
        let mut text = String::new();
        let length = input.take(INPUT_MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
        if u64::try_from(length).is_ok_and(|length| length > INPUT_MAX_BYTES) {
            return Err(CliError::usage(format!("the requests are longer than {INPUT_MAX_BYTES} bytes"))
                .hint("split them into several batches"));
        }
        Ok(text)
    }
}

fn at_line(line: usize, error: CliError) -> CliError {
    let message = format!("line {line}: {}", error.message);
    CliError { message, ..error }
}

impl What {
    fn of(line: Line, resolver: &Resolver) -> Result<Self, CliError> {
        let new_name =
            |text: &str| LvName::for_new_volume(text).map_err(|error| CliError::usage(error.to_string()));
        Ok(match line {
            Line::Create { pool, name, size, activate, autoactivate, tags } => Self::Create {
                storage: resolver.storage(&pool)?,
                name: new_name(&name)?,
                size: size.sectors()?,
                activate,
                autoactivate,
                tags,
            },
            Line::Snapshot { snapshot, writable } => {
                Self::Snapshot { snapshot: resolver.snapshot(&snapshot)?, writable }
            }
            Line::Clone { source, name, activate } => {
                Self::Clone { source: resolver.source(&source)?, name: new_name(&name)?, activate }
            }
            Line::Remove { volume } => Self::Remove { source: resolver.source(&volume)? },
            Line::Activate { volume } => {
                Self::Switch { source: resolver.source(&volume)?, way: Way::Up { auto: false } }
            }
            Line::Deactivate { volume } => Self::Switch { source: resolver.source(&volume)?, way: Way::Down },
        })
    }

    fn vg(&self) -> &VgName {
        match self {
            Self::Create { storage, .. } => &storage.vg,
            Self::Snapshot { snapshot, .. } => &snapshot.volume.vg,
            Self::Clone { source, .. } | Self::Remove { source } | Self::Switch { source, .. } => {
                &source.volume().vg
            }
        }
    }
}

/// Reads the lines of a batch: each with the volume group it is about.
///
/// # Errors
/// The first line that is wrong, and why.
pub fn wishes(text: &str, resolver: &Resolver) -> Result<Vec<(VgName, Wish)>, CliError> {
    let mut wishes = Vec::new();
    for (number, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let at = |error: CliError| at_line(number + 1, error);
        let line = Line::parse(text).map_err(at)?;
        let what = What::of(line, resolver).map_err(at)?;
        wishes.push((what.vg().clone(), Wish { line: number + 1, what }));
    }
    Ok(wishes)
}

/// Turns the lines about one volume group into requests.
///
/// # Errors
/// The first line that names something that is not there.
pub fn ask(vg: &Vg, wishes: &[Wish]) -> Result<Ask, CliError> {
    let lineage = Lineage::of(vg);
    let mut batch = Batch { vg, lineage: &lineage, volumes: BTreeSet::new(), snapshots: BTreeMap::new() };
    let wanted = wishes
        .iter()
        .map(|wish| batch.wanted(&wish.what).map_err(|error| at_line(wish.line, error)))
        .collect::<Result<_, _>>()?;
    Ok(Ask { wanted, notes: vec![] })
}

/// A batch on its way through: later lines may build on what earlier ones make.
struct Batch<'a> {
    vg: &'a Vg,
    lineage: &'a Lineage<'a>,
    volumes: BTreeSet<LvName>,
    snapshots: BTreeMap<Snapshot, LvName>,
}

impl Batch<'_> {
    fn wanted(&mut self, what: &What) -> Result<Wanted, CliError> {
        let wanted = match what {
            What::Create { storage, name, size, activate, autoactivate, tags } => {
                let volume = storage.volume(name.clone()).to_string();
                let request = Request::Create {
                    pool: storage.pool.clone(),
                    name: name.clone(),
                    size: *size,
                    tags: tags.clone(),
                    activate: *activate,
                    autoactivate: *autoactivate,
                };
                Wanted { request, said: format!("successfully created '{volume}'"), asked: volume }
            }
            What::Snapshot { snapshot: address, writable } if self.volumes.contains(&address.volume.lv) => {
                snapshot::new_snapshot(self.vg, address, *writable)?
            }
            What::Snapshot { snapshot: address, writable } => {
                snapshot::wanted(self.vg, self.lineage, address, *writable)?
            }
            What::Clone { source, name, activate } => {
                clone::wanted(&self.lv(source)?, &source.volume().sibling(name.clone()), *activate)
            }
            What::Remove { source: Source::Snapshot(address) } => {
                delete_snapshot::wanted(self.vg, self.lineage, address)?
            }
            What::Remove { source: Source::Volume(volume) } => {
                let name = lookup::volume(self.vg, volume)?.name.clone();
                Wanted {
                    request: Request::Remove { name },
                    asked: volume.to_string(),
                    said: format!("Removed volume '{volume}'"),
                }
            }
            What::Switch { source, way } => of_lv(&self.lv(source)?, source.to_string(), *way),
        };
        if let Request::Create { name, .. } | Request::Snapshot { name, .. } = &wanted.request {
            self.volumes.insert(name.clone());
            if let What::Snapshot { snapshot, .. } = what {
                self.snapshots.insert(snapshot.clone(), name.clone());
            }
        }
        Ok(wanted)
    }

    /// The LV at an address, be it there or made by an earlier line.
    fn lv(&self, source: &Source) -> Result<LvName, CliError> {
        let made = match source {
            Source::Volume(volume) => self.volumes.get(&volume.lv),
            Source::Snapshot(snapshot) => self.snapshots.get(snapshot),
        };
        match made {
            Some(name) => Ok(name.clone()),
            None => Ok(lookup::source(self.vg, self.lineage, source)?.name.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
