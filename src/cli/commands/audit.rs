//! `thinvol audit`: what does not fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::audit::{Finding, Guest, Guests, Kind, of_ids, of_pool, visible_group};
use crate::context::Context;
use crate::errors::CliError;
use crate::output::Answer;
use crate::resolve::Storage;
use base::error_kind::ErrorKind;
use base::ids::VgName;
use config::guest::{What, snapshots, volumes};
use config::lun::LunVolname;
use thin::internals::engine::ReadMetadata;
use thin::{Detail, Engine, VgSummary};

const HELP: &str = "\
Examples:
  thinvol audit
  thinvol audit local-lvm pve/other
  thinvol audit --json | jq -r '.findings[].what'

JSON:
  {\"storages\": [text (that were looked at)],
   \"findings\": [{\"finding\": \"pending\" or \"missing_volume\" or \"missing_snapshot\" or \"unnamed_volume\" or
       \"broken_import\" or \"unnamed_snapshot\" or \"lone_snapshot\" or \"unknown_id\" or \"missing_id\" or
       \"visible_group\", \"what\" (what it is about), \"message\", \"advice\"}],
   \"notes\": [text], \"warnings\": [text]}

The exit code is 1 if there is a finding.";

/// Look for what does not fit together
///
/// Compares the storages of type lvmthin of this node with the configurations of its guests (the folders qemu-server
/// and lxc beside storage.cfg), and the volume groups with what their pools hold. Tells of volumes that no
/// configuration names, of configurations that name volumes or have snapshots that are not there, of snapshots without
/// their volume or their guest, of thin devices that are no volume, and of volume groups of guests that this host sees;
/// and what to do about each. Nothing is changed. Each pool holds a metadata snapshot for a moment meanwhile.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct AuditArgs {
    /// Only these storages; without any, all of type lvmthin that are for this node
    #[arg(value_name = "STORAGE")]
    pub storages: Vec<String>,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Audit {
    storages: Vec<String>,
    findings: Vec<Finding>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

impl Answer for Audit {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for Finding { what, message, advice, .. } in &self.findings {
            writeln!(out, "{what}: {message}\n  {advice}")?;
        }
        if self.findings.is_empty() {
            writeln!(out, "all fits together: {}", self.storages.join(", "))?;
        }
        Ok(())
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl AuditArgs {
    /// Looks, and tells.
    ///
    /// # Errors
    /// If an argument is wrong or something cannot be read; and if there is a finding, after it was told.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let guests = Guests { guests: guests(context)?, storages: lvmthin(context)? };
        let storages: Vec<Storage> = if self.storages.is_empty() {
            let here = |id: &&String| context.resolver.storage(id).is_ok();
            guests.storages.iter().filter(|(id, _)| here(id)).map(|(_, storage)| storage.clone()).collect()
        } else {
            self.storages.iter().map(|text| context.resolver.storage(text)).collect::<Result<_, _>>()?
        };
        let mut audit =
            Audit { storages: storages.iter().map(ToString::to_string).collect(), ..Audit::default() };
        if guests.guests.is_none() {
            let folder = folder(context);
            audit.notes.push(format!(
                "{} has no configurations of guests: which volumes are theirs is not known",
                folder.display()
            ));
        }
        let engine = context.reader()?;
        let groups: BTreeSet<VgName> = storages.iter().map(|storage| storage.vg.clone()).collect();
        for vg in groups {
            audit.group(&engine, &guests, &vg, &storages)?;
        }
        audit.visible(&engine, &guests)?;
        audit.findings.sort();
        audit.findings.dedup();
        audit.warnings.extend(context.warnings());
        let count = audit.findings.len();
        let failure = (count > 0).then(|| {
            let things = if count == 1 { "one thing does" } else { "things do" };
            let message = if count == 1 {
                format!("{things} not fit")
            } else {
                format!("{count} {things} not fit together")
            };
            CliError::new(ErrorKind::Refused, message)
                .hint("what to do stands below each; nothing was changed")
        });
        context.conclude(&audit, failure)
    }
}

impl Audit {
    /// Looks at a volume group with its pools.
    fn group(
        &mut self,
        engine: &Engine,
        guests: &Guests,
        vg: &VgName,
        storages: &[Storage],
    ) -> Result<(), CliError> {
        let (metadata, view) = engine.inspect_with_metadata(vg, Detail::Volumes)?;
        let group = &metadata.vg;
        self.warnings.extend(view.warnings.iter().cloned());
        self.findings.extend(view.pending.iter().map(|what| Finding {
            finding: Kind::Pending,
            what: vg.to_string(),
            message: format!("a crash left {what}"),
            advice: format!("'thinvol recover {vg}' finishes or clears it"),
        }));
        let mut seen = BTreeSet::new();
        for storage in
            storages.iter().filter(|storage| storage.vg == *vg && seen.insert(storage.pool.clone()))
        {
            self.findings.extend(of_pool(guests, storage, (group, &view)));
        }
        match engine.pool_ids(vg) {
            Ok(pools) => {
                let unread = pools.iter().filter_map(|ids| Some((ids.pool.clone(), ids.unread.as_ref()?)));
                self.notes.extend(
                    unread.map(|(pool, why)| format!("what pool {vg}/{pool} holds was not compared: {why}")),
                );
                self.findings.extend(of_ids(group, &pools));
            }
            Err(error) => {
                let why = CliError::from(error).one_line();
                self.notes.push(format!("what the pools of {vg} hold was not compared: {why}"));
            }
        }
        Ok(())
    }

    /// Looks for volume groups of guests that this host sees.
    fn visible(&mut self, engine: &Engine, guests: &Guests) -> Result<(), CliError> {
        let volumes = engine.volumes_by_device()?;
        let named: BTreeMap<PathBuf, (u64, PathBuf)> = guests
            .devices()
            .filter_map(|(guest, what)| {
                let path = match what {
                    What::Device(path) => PathBuf::from(path),
                    What::Volume(id) => PathBuf::from(LunVolname::parse(&id.volname).ok()?.path()),
                };
                Some((fs::canonicalize(&path).ok()?, (guest.vmid, path)))
            })
            .collect();
        for VgSummary { name, devices, .. } in engine.groups()?.vgs {
            for (path, number) in devices {
                if let Some((vg, lv)) = volumes.get(&number) {
                    if config::names::owner(lv).is_some() || lv.as_str().starts_with("snap_") {
                        let pattern = format!("^/dev/{vg}/(vm|base|snap)[-_].*");
                        self.findings.push(visible_group(
                            &name,
                            &path,
                            &format!("volume {vg}/{lv}"),
                            &pattern,
                        ));
                    }
                } else if let Some((vmid, by)) =
                    fs::canonicalize(&path).ok().and_then(|path| named.get(&path))
                {
                    let pattern = format!("^{}$", by.display());
                    self.findings.push(visible_group(
                        &name,
                        &path,
                        &format!("a disk of guest {vmid}"),
                        &pattern,
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Where the configurations of guests are.
fn folder(context: &Context) -> PathBuf {
    context.resolver.file().path().parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// What the ids of storages stand for, of all nodes.
fn lvmthin(context: &Context) -> Result<BTreeMap<String, Storage>, CliError> {
    let config = match context.resolver.config() {
        Ok(config) => config,
        // A machine without a configuration has pools all the same.
        Err(error) if error.code == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let storages = config.storages().filter_map(|storage| {
        let pool = storage.pool.as_ref()?;
        let known = Storage { vg: pool.vg.clone(), pool: pool.pool.clone(), id: Some(storage.id.clone()) };
        Some((storage.id.to_string(), known))
    });
    Ok(storages.collect())
}

/// More than any configuration of a guest has.
const LARGEST_BYTES: u64 = 4 << 20;

/// The guests of this node; nothing if there are no folders for their configurations.
fn guests(context: &Context) -> Result<Option<Vec<Guest>>, CliError> {
    let mut guests = None;
    for (name, command) in [("qemu-server", "qm"), ("lxc", "pct")] {
        let folder = folder(context).join(name);
        let failed = |path: &Path, error: &io::Error| {
            CliError::new(ErrorKind::Refused, format!("'{}' cannot be read", path.display()))
                .caused_by(Some(error))
        };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&folder, &error)),
        };
        let all: &mut Vec<Guest> = guests.get_or_insert_with(Vec::new);
        for entry in entries {
            let path = entry.map_err(|error| failed(&folder, &error))?.path();
            let vmid = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            let Some(vmid) = vmid.filter(|_| path.extension().is_some_and(|end| end == "conf")) else {
                continue;
            };
            let mut bytes = Vec::new();
            let read = File::open(&path).and_then(|file| file.take(LARGEST_BYTES).read_to_end(&mut bytes));
            read.map_err(|error| failed(&path, &error))?;
            let text = String::from_utf8_lossy(&bytes);
            let named = volumes(&text);
            let snapshots = snapshots(&text).collect();
            all.push(Guest { vmid, command, named, snapshots });
        }
    }
    Ok(guests)
}
