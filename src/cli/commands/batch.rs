//! `thinvol batch`: many requests as one transaction.

mod line;
mod names;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;

use self::line::Written;
use self::names::of_unreadable;
use super::activate::{Transition, of_lv};
use super::snapshot::SnapshotOptions;
use super::{alloc, clone, delete_snapshot, free, rename, resize, rollback, snapshot, template};
use crate::args::ChangeOptions;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::lookup;
use crate::resolve::{Resolver, Snapshot, Storage, Volume, VolumeOrSnapshot};
use crate::transaction::lines::{Line, Lines, Resolved, transact_lines};
use crate::transaction::{LabelledRequest, by_vg};
use base::ids::{LvName, VgName};
use base::units::Sectors;
use lvm2::format::model::{Lv, SegmentKind, Vg};
use thin::lineage::Lineage;
use thin::request::{Attributes, NewSize, Request};

const HELP: &str = changing!(
    "\
  thinvol batch requests.jsonl
  echo '{\"request\": \"remove\", \"volume\": \"pve/vm-100-disk-0\"}' | thinvol batch -
  thinvol batch --dry-run requests.jsonl           what would be done
  thinvol batch --keep-going requests.jsonl        without the lines that are refused

Requests, one JSON object on each line (empty lines are skipped; [default]):
  {\"request\": \"create\", \"pool\": \"<vg>/<pool>\", \"name\": \"<lv>\", \"size\": \"8G\" or bytes,
   \"activate\": [true], \"autoactivate\": [false], \"tags\": [none]}
  {\"request\": \"snapshot\", \"snapshot\": \"<vg>/<lv>@<snapshot>\", \"writable\": [false],
   \"fsfreeze\": [true]}
  {\"request\": \"clone\", \"source\": \"<vg>/<lv>\" or \"<vg>/<lv>@<snapshot>\", \"name\": \"<lv>\",
   \"activate\": [true]}
  {\"request\": \"remove\", \"volume\": \"<vg>/<lv>\" or \"<vg>/<lv>@<snapshot>\",
   \"snapshots\": [as 'thinvol free'], \"force\": [false]}
  {\"request\": \"resize\", \"volume\": \"<vg>/<lv>\", \"size\": \"64G\", \"+8G\" or bytes,
   \"shrink\": [false]}
  {\"request\": \"rename\", \"volume\": \"<vg>/<lv>\", \"name\": \"<lv>\"}
  {\"request\": \"modify\", \"volume\": \"<vg>/<lv>\", \"read_only\", \"skip_activation\", \"autoactivate\":
   [as it is], \"add_tags\", \"remove_tags\": [none]}
  {\"request\": \"rollback\", \"snapshot\": \"<vg>/<lv>@<snapshot>\"}
  {\"request\": \"template\", \"volume\": \"<vg>/<lv>\"}
  {\"request\": \"activate\" or \"deactivate\", \"volume\": \"<vg>/<lv>\" or \"<vg>/<lv>@<snapshot>\"}

Requests take effect in their order: a name means the volume that has it by then. A volume may be changed,
renamed, snapshotted and rolled back once each in one batch, but not changed and removed.",
    by line
);

/// Carry out many requests as one transaction
///
/// Carries out many requests as one transaction: all requests for a volume group or none, in the order given,
/// with at most two metadata commits. Volumes may have any legal LV name. The snapshots of a batch all show one
/// instant. A volume to be removed must exist; its snapshots go with it if it is named by a storage id, as with
/// 'thinvol free'.
///
/// If lines are wrong or refused, all of them are reported with their numbers, and nothing is changed. With
/// --keep-going the other lines are carried out, one transaction for each volume group, and the exit code is 5. A
/// line about the same volume as an earlier line that was left out is left out, too. If a transaction fails half
/// way, all of it is undone.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct BatchArgs {
    /// The file with the requests, '-' for standard input
    pub file: PathBuf,

    /// Leave out refused lines and carry out the others
    #[arg(long)]
    pub keep_going: bool,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// The largest input that is read.
const INPUT_MAX_BYTES: u64 = 64 << 20;

/// What a line asks for, with its addresses read.
#[derive(Debug)]
pub struct BatchRequest(RequestKind);

#[derive(Debug)]
enum RequestKind {
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
        how: SnapshotOptions,
    },
    Clone {
        source: VolumeOrSnapshot,
        name: LvName,
        activate: bool,
    },
    Remove {
        source: VolumeOrSnapshot,
        snapshots: Option<bool>,
        force: bool,
    },
    Resize {
        volume: Volume,
        size: NewSize,
        shrink: bool,
    },
    Rename {
        volume: Volume,
        name: LvName,
    },
    Modify {
        volume: Volume,
        attributes: Attributes,
    },
    Rollback {
        snapshot: Snapshot,
    },
    Template {
        volume: Volume,
    },
    Switch {
        source: VolumeOrSnapshot,
        way: Transition,
    },
}

impl BatchArgs {
    /// Carries the requests out.
    ///
    /// # Errors
    /// If the input cannot be read or is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let lines = lines(&self.read()?, &context.resolver);
        transact_lines(context, &self.change, lines, self.keep_going, resolve)
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

impl RequestKind {
    fn of(line: Written, resolver: &Resolver) -> Result<Self, CliError> {
        let new_name =
            |text: &str| LvName::for_new_volume(text).map_err(|error| CliError::usage(error.to_string()));
        Ok(match line {
            Written::Create { pool, name, size, activate, autoactivate, tags } => Self::Create {
                storage: resolver.storage(&pool)?,
                name: new_name(&name)?,
                size: size.sectors()?,
                activate,
                autoactivate,
                tags,
            },
            Written::Snapshot { snapshot, writable, fsfreeze: freeze } => Self::Snapshot {
                snapshot: resolver.snapshot(&snapshot)?,
                how: SnapshotOptions { writable, freeze },
            },
            Written::Clone { source, name, activate } => {
                Self::Clone { source: resolver.source(&source)?, name: new_name(&name)?, activate }
            }
            Written::Remove { volume, snapshots, force } => {
                Self::Remove { source: resolver.source(&volume)?, snapshots, force }
            }
            Written::Resize { volume, size, shrink } => {
                Self::Resize { volume: resolver.volume(&volume)?, size: size.new_size()?, shrink }
            }
            Written::Rename { volume, name } => {
                Self::Rename { volume: resolver.volume(&volume)?, name: new_name(&name)? }
            }
            Written::Modify { volume, read_only, skip_activation, autoactivate, add_tags, remove_tags } => {
                let attributes =
                    Attributes { read_only, skip_activation, autoactivate, add_tags, remove_tags };
                Self::Modify { volume: resolver.volume(&volume)?, attributes }
            }
            Written::Rollback { snapshot } => Self::Rollback { snapshot: resolver.snapshot(&snapshot)? },
            Written::Template { volume } => Self::Template { volume: resolver.volume(&volume)? },
            Written::Activate { volume } => {
                Self::Switch { source: resolver.source(&volume)?, way: Transition::Up { auto: false } }
            }
            Written::Deactivate { volume } => {
                Self::Switch { source: resolver.source(&volume)?, way: Transition::Down }
            }
        })
    }

    /// Whether names mean something else after it.
    fn renames(&self) -> bool {
        matches!(self, Self::Rename { .. } | Self::Template { .. })
    }

    /// The volume it removes, by name.
    fn removes(&self) -> Option<&LvName> {
        match self {
            Self::Remove { source: VolumeOrSnapshot::Volume(volume), .. } => Some(&volume.lv),
            _ => None,
        }
    }

    fn vg(&self) -> &VgName {
        match self {
            Self::Create { storage, .. } => &storage.vg,
            Self::Snapshot { snapshot, .. } | Self::Rollback { snapshot } => &snapshot.volume.vg,
            Self::Resize { volume, .. }
            | Self::Rename { volume, .. }
            | Self::Modify { volume, .. }
            | Self::Template { volume } => &volume.vg,
            Self::Clone { source, .. } | Self::Remove { source, .. } | Self::Switch { source, .. } => {
                &source.volume().vg
            }
        }
    }
}

/// Reads the lines of a batch.
pub fn lines(text: &str, resolver: &Resolver) -> Lines<BatchRequest> {
    let mut good = Vec::new();
    let mut bad = BTreeMap::new();
    let mut names = BTreeMap::new();
    for (number, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let written = Written::parse(text);
        names.insert(number, written.as_ref().map_or_else(|_| of_unreadable(text), Written::names));
        match written.and_then(|line| RequestKind::of(line, resolver)) {
            Ok(what) => good.push((what.vg().clone(), Line { number, what: BatchRequest(what) })),
            Err(error) => _ = bad.insert(number, error),
        }
    }
    Lines { by_vg: by_vg(good), bad, names }
}

/// Turns the lines about one volume group into requests. Addresses mean what is there by then: after a line that
/// renames something, the rest is resolved against the new names.
pub fn resolve(vg: &Vg, lines: &[&Line<BatchRequest>]) -> Resolved {
    let going: BTreeSet<&LvName> = lines.iter().filter_map(|line| line.what.0.removes()).collect();
    let mut now = Cow::Borrowed(vg);
    let mut made = Made::default();
    let mut resolved = Resolved::default();
    let mut rest = lines;
    while !rest.is_empty() {
        let until = rest.iter().position(|line| line.what.0.renames()).map_or(rest.len(), |at| at + 1);
        let (before, after) = rest.split_at(until);
        let start = resolved.wanted.len();
        let lineage = Lineage::of(&now);
        let mut batch = Batch { vg: &now, lineage: &lineage, made: &mut made, going: &going };
        for line in before {
            match batch.wanted(&line.what.0) {
                Ok(wanted) => {
                    resolved.lines.extend(wanted.iter().map(|_| line.number));
                    resolved.wanted.extend(wanted);
                }
                Err(error) => _ = resolved.bad.insert(line.number, error),
            }
        }
        for wanted in &resolved.wanted[start..] {
            if let Request::Rename { name, to } = &wanted.request {
                give_name(now.to_mut(), name, to);
                made.gone.remove(to);
            }
        }
        rest = after;
    }
    resolved
}

/// What the lines so far have made.
#[derive(Default)]
struct Made {
    volumes: BTreeSet<LvName>,
    snapshots: BTreeMap<Snapshot, LvName>,
    /// What they have removed.
    gone: BTreeSet<LvName>,
}

/// A batch on its way through: later lines may build on what earlier ones make.
struct Batch<'a> {
    vg: &'a Vg,
    lineage: &'a Lineage<'a>,
    made: &'a mut Made,
    /// Volumes that lines remove.
    going: &'a BTreeSet<&'a LvName>,
}

impl Batch<'_> {
    fn wanted(&mut self, what: &RequestKind) -> Result<Vec<LabelledRequest>, CliError> {
        let (vg, lineage) = (self.vg, self.lineage);
        let wanted = match what {
            RequestKind::Create { storage, name, size, activate, autoactivate, tags } => {
                let volume = storage.volume(name.clone()).to_string();
                let request = Request::Create {
                    pool: storage.pool.clone(),
                    name: name.clone(),
                    size: *size,
                    tags: tags.clone(),
                    activate: *activate,
                    autoactivate: *autoactivate,
                };
                LabelledRequest {
                    request,
                    done_message: format!("successfully created '{volume}'"),
                    display_name: volume,
                }
            }
            RequestKind::Snapshot { snapshot: address, how }
                if self.made.volumes.contains(&address.volume.lv) =>
            {
                snapshot::new_snapshot(vg, address, *how)?
            }
            RequestKind::Snapshot { snapshot: address, how } => snapshot::wanted(vg, lineage, address, *how)?,
            RequestKind::Clone { source, name, activate } => {
                clone::wanted(&self.lv(source)?, &source.volume().sibling(name.clone()), *activate)
            }
            RequestKind::Remove { source: VolumeOrSnapshot::Snapshot(address), .. } => {
                delete_snapshot::wanted(vg, lineage, address)?
            }
            RequestKind::Remove { source: VolumeOrSnapshot::Volume(volume), snapshots, force } => {
                return self.removed(volume, *snapshots, *force);
            }
            RequestKind::Resize { volume, size, shrink } => {
                resize::wanted(vg, lineage, volume, *size, *shrink)?
            }
            RequestKind::Rename { volume, name } => return rename::requests(vg, lineage, volume, name),
            RequestKind::Template { volume } => return template::requests(vg, lineage, volume),
            RequestKind::Modify { volume, attributes } => {
                modified(lookup::volume(vg, volume)?, volume, attributes)
            }
            RequestKind::Rollback { snapshot: address } => match self.made.snapshots.get(address) {
                Some(made) => rollback::to_lv(address, made.clone()),
                None => rollback::wanted(vg, lineage, address)?,
            },
            RequestKind::Switch { source, way } => of_lv(&self.lv(source)?, source.to_string(), *way),
        };
        match &wanted.request {
            Request::Create { name, .. } | Request::Snapshot { name, .. } => {
                self.made.gone.remove(name);
                self.made.volumes.insert(name.clone());
                if let RequestKind::Snapshot { snapshot, .. } = what {
                    self.made.snapshots.insert(snapshot.clone(), name.clone());
                }
            }
            Request::Remove { name } => _ = self.made.gone.insert(name.clone()),
            _ => {}
        }
        Ok(vec![wanted])
    }

    /// The requests to remove a volume, with those of its snapshots that are to go and are still there.
    fn removed(
        &mut self,
        volume: &Volume,
        snapshots: Option<bool>,
        force: bool,
    ) -> Result<Vec<LabelledRequest>, CliError> {
        let stays = |lv: &LvName| !self.going.contains(lv);
        let snapshots = free::with_snapshots(volume, snapshots);
        let mut wanted = free::wanted(self.vg, self.lineage, volume, snapshots, force, stays)?;
        // The volume itself comes first; that it is gone already is the engine's to say.
        let snapshots = wanted.split_off(1);
        self.made.gone.insert(volume.lv.clone());
        let gone = &mut self.made.gone;
        wanted.extend(snapshots.into_iter().filter(
            |wanted| !matches!(&wanted.request, Request::Remove { name } if !gone.insert(name.clone())),
        ));
        Ok(wanted)
    }

    /// The LV at an address, be it there or made by an earlier line.
    fn lv(&self, source: &VolumeOrSnapshot) -> Result<LvName, CliError> {
        let made = match source {
            VolumeOrSnapshot::Volume(volume) => self.made.volumes.get(&volume.lv),
            VolumeOrSnapshot::Snapshot(snapshot) => self.made.snapshots.get(snapshot),
        };
        match made {
            Some(name) => Ok(name.clone()),
            None => Ok(lookup::source(self.vg, self.lineage, source)?.name.clone()),
        }
    }
}

fn modified(lv: &Lv, volume: &Volume, attributes: &Attributes) -> LabelledRequest {
    LabelledRequest {
        request: Request::Modify { name: lv.name.clone(), attributes: attributes.clone() },
        display_name: volume.to_string(),
        done_message: format!("changed '{volume}'"),
    }
}

/// Gives an LV of the model another name, and whatever names it as its origin. One that has the name is gone by then,
/// or the engine refuses.
fn give_name(vg: &mut Vg, from: &LvName, to: &LvName) {
    if from == to {
        return;
    }
    vg.lvs.retain(|lv| lv.name != *to);
    for lv in &mut vg.lvs {
        if lv.name == *from {
            lv.name = to.clone();
        }
        for segment in &mut lv.segments {
            if let SegmentKind::Thin(thin) = &mut segment.kind
                && thin.origin.as_ref() == Some(from)
            {
                thin.origin = Some(to.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
