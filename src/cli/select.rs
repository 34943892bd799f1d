//! Volumes selected by what they are: all of a guest, with a tag, with a name that matches.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;

use super::context::Context;
use super::errors::CliError;
use super::filter::Filter;
use super::resolve::{Storage, Volume};
use base::error_kind::ErrorKind;
use base::ids::VgName;
use lvm2::format::model::{Lv, Vg};
use thin::internals::engine::ReadMetadata;
use thin::internals::lineage::{Lineage, Relation};
use thin::internals::lookup;

/// Which volumes a command works on if none are named.
#[derive(Clone, Debug, Default, Args)]
pub struct Selection {
    /// What they are like.
    #[command(flatten)]
    pub filter: Filter,

    /// Look only in this storage, an id or <vg>/<pool>, instead of all of type lvmthin that are for this node; may be
    /// given several times
    #[arg(long = "storage", value_name = "STORAGE", requires = "filter")]
    pub storages: Vec<String>,
}

impl Selection {
    /// Whether volumes are meant without being named.
    pub fn is_used(&self) -> bool {
        !self.filter.is_empty()
    }

    /// The volumes, in the order of their names, without snapshots; of a storage named by its id those it lists. They
    /// are those of now: the engine tells under the lock whether they still are.
    ///
    /// # Errors
    /// If it is not said where to look, or a place cannot be looked at.
    pub fn volumes(&self, context: &Context) -> Result<Vec<Volume>, CliError> {
        let storages = self.places(context)?;
        let engine = context.reader()?;
        let mut groups: BTreeMap<VgName, Vg> = BTreeMap::new();
        let mut volumes: Vec<Volume> = Vec::new();
        for storage in &storages {
            if !groups.contains_key(&storage.vg) {
                groups.insert(storage.vg.clone(), engine.metadata(&storage.vg)?);
            }
            let Some(vg) = groups.get(&storage.vg) else { continue };
            if vg.lv(&storage.pool).is_none_or(|lv| lv.thin_pool().is_none()) {
                return Err(lookup::no_pool(storage).into());
            }
            for volume in self.in_pool(vg, storage) {
                if !volumes.contains(&volume) {
                    volumes.push(volume);
                }
            }
        }
        Ok(volumes)
    }

    /// The error if no volume is meant.
    pub fn nothing(&self) -> CliError {
        let hint = "'thinvol list <storage>' takes the same options and shows what they mean";
        CliError::new(ErrorKind::NotFound, "no volume is like that").hint(hint)
    }

    fn places(&self, context: &Context) -> Result<Vec<Storage>, CliError> {
        if !self.storages.is_empty() {
            return self.storages.iter().map(|text| context.resolver.storage(text)).collect();
        }
        if self.filter.vmid.is_none() {
            return Err(CliError::usage("it is not said where volumes are looked for").hint(
                "name a storage: --storage <storage>; with --vmid, all storages of the configuration are meant",
            ));
        }
        let config = context.resolver.config()?;
        let usable = config
            .storages()
            .filter(|storage| storage.pool.is_some() && storage.enabled_on(context.resolver.node()).is_ok());
        let storages: Result<Vec<_>, _> =
            usable.map(|storage| context.resolver.storage(storage.id.as_str())).collect();
        match storages? {
            storages if storages.is_empty() => {
                Err(CliError::usage("no storage of type lvmthin is configured for this node")
                    .hint("name a pool: --storage <vg>/<pool>"))
            }
            storages => Ok(storages),
        }
    }

    fn in_pool(&self, vg: &Vg, storage: &Storage) -> Vec<Volume> {
        let lineage = Lineage::of(vg);
        let filter = Arc::new(self.filter.filter());
        let is_snapshot =
            |lv: &Lv| lineage.descent(lv).is_some_and(|it| matches!(it.relation, Relation::Snapshot(_)));
        let here = |lv: &&Lv| lv.is_visible() && lv.thin().is_some_and(|thin| thin.pool == storage.pool);
        let wanted = vg.lvs.iter().filter(here);
        let wanted = wanted.filter(|lv| {
            storage.lists(lv.name.as_str()) && filter.takes(&lv.name, &lv.tags) && !is_snapshot(lv)
        });
        let chosen =
            |lv: &Lv| Volume { chosen_by: Some(Arc::clone(&filter)), ..storage.volume(lv.name.clone()) };
        let mut volumes: Vec<Volume> = wanted.map(chosen).collect();
        volumes.sort();
        volumes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Resolver;
    use thin::internals::lineage::fixture::{lv, vg};

    fn group() -> Vg {
        vg(vec![
            lv(1, "vm-100-disk-1", None, vec!["gold".into()]),
            lv(2, "vm-100-disk-0", None, vec![]),
            lv(3, "snap_vm-100-disk-0_s", Some("vm-100-disk-0"), vec![]),
            lv(4, "vm-1000-disk-0", None, vec!["gold".into()]),
            lv(5, "scratch", None, vec!["gold".into()]),
        ])
    }

    fn selection(vmid: Option<u64>, tag: &str, name: &str) -> Selection {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let filter = Filter { vmid, tag: some(tag).into_iter().collect(), name: some(name) };
        Selection { filter, storages: vec![] }
    }

    fn meant(selection: &Selection, storage: &str) -> Vec<String> {
        let resolver = Resolver::over("lvmthin: st\n\tvgname pve\n\tthinpool data\n\n");
        let storage = resolver.storage(storage).unwrap();
        selection.in_pool(&group(), &storage).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_meant_are_volumes_and_no_snapshots() {
        assert_eq!(meant(&selection(Some(100), "", ""), "st"), ["st:vm-100-disk-0", "st:vm-100-disk-1"]);
        assert_eq!(meant(&selection(Some(100), "gold", ""), "st"), ["st:vm-100-disk-1"]);
        assert_eq!(meant(&selection(None, "gold", ""), "st"), ["st:vm-100-disk-1", "st:vm-1000-disk-0"]);
        assert_eq!(meant(&selection(None, "gold", "s*"), "pve/data"), ["pve/scratch"]);
        assert!(meant(&selection(None, "", "snap_*"), "pve/data").is_empty());
    }
}
