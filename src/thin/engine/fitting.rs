//! Copies of a group's metadata that fit a pool which text and kernel disagree about: what putting one back would mean.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Engine, EngineError};
use crate::planner::Repair;
use base::first_few::first_few;
use base::ids::{LvName, LvmUuid, ThinId, TransactionId};
use lvm2::format::metadata::Metadata;
use lvm2::format::model::{Lv, Vg};

/// So many copies are looked at, the newest ones.
const LOOKED_AT: usize = 200;

/// A larger file is no copy. Source: lvm2 `lib/format_text/layout.h` keeps metadata areas far below it.
const COPY_MAX: u64 = 64 << 20;

/// More volumes than this are counted, not listed.
const LISTED: usize = 5;

impl Engine {
    /// The same error with the copy that fits, if there is one.
    pub(super) fn guided(&self, error: EngineError, now: &Metadata, repair: &Repair) -> EngineError {
        let [(pool, kernel)] = repair.differ.as_slice() else { return error };
        let vg = &now.vg;
        let copies = self.backups.copies(&vg.name);
        let fitting = copies.iter().take(LOOKED_AT).find_map(|path| {
            let copy = read(path)?;
            fits(vg, &copy, pool, *kernel).then(|| words(vg, &copy, pool, path))
        });
        match fitting {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

fn read(path: &Path) -> Option<Vg> {
    let file = fs::metadata(path).ok()?;
    (file.is_file() && file.len() <= COPY_MAX).then_some(())?;
    Metadata::parse(&fs::read(path).ok()?).ok().map(|metadata| metadata.vg)
}

/// Whether a copy is of the same group on the same disks, has the pool at that transaction with nothing to send, and
/// has everything else, but for volumes of that pool, as it is now: putting it back changes nothing besides.
fn fits(now: &Vg, copy: &Vg, pool: &LvName, kernel: TransactionId) -> bool {
    let place = |vg: &Vg| -> BTreeMap<LvmUuid, (u64, u64)> {
        vg.pvs.iter().map(|pv| (pv.id, (pv.pe_start.get(), pv.pe_count.get()))).collect()
    };
    let others = |vg: &Vg| -> BTreeMap<LvName, Lv> {
        let of_pool = |lv: &Lv| lv.name == *pool || lv.thin().is_some_and(|thin| thin.pool == *pool);
        vg.lvs.iter().filter(|lv| !of_pool(lv)).map(|lv| (lv.name.clone(), lv.clone())).collect()
    };
    let the_pool = |vg: &Vg| vg.lv(pool).map(|lv| (lv.id, lv.extents()));
    let at = copy.lv(pool).and_then(Lv::thin_pool);
    now.id == copy.id
        && place(now) == place(copy)
        && the_pool(now) == the_pool(copy)
        && at.is_some_and(|at| at.transaction_id == kernel && at.messages.is_empty())
        && others(now) == others(copy)
}

/// What putting it back means, and how it is done.
fn words(now: &Vg, copy: &Vg, pool: &LvName, path: &Path) -> String {
    let volumes = |vg: &Vg| -> BTreeMap<ThinId, LvName> {
        vg.thins_of(pool).map(|(lv, thin)| (thin.device_id, lv.name.clone())).collect()
    };
    let (before, after) = (volumes(now), volumes(copy));
    let only = |one: &BTreeMap<ThinId, LvName>, other: &BTreeMap<ThinId, LvName>| -> Vec<String> {
        one.iter().filter(|(id, _)| !other.contains_key(id)).map(|(_, name)| name.to_string()).collect()
    };
    let say = |names: Vec<String>, what: &str| {
        (!names.is_empty()).then(|| format!("{} {what}", first_few(&names, LISTED, ", ")))
    };
    let gone = say(only(&before, &after), "go from it, since the pool is of another time");
    let back = say(only(&after, &before), "are in it again");
    let changes: Vec<String> = gone.into_iter().chain(back).collect();
    let changes = if changes.is_empty() { "the same volumes are in it".into() } else { changes.join("; ") };
    let vg = &now.name;
    format!(
        "one side was put back without the other, and nothing is done until they agree. A copy on this host fits the \
         pool as it is: {}, metadata {}; {changes}. If the pool is the side to keep: 'thinvol deactivate {vg}', \
         'vgcfgrestore --force -f {} {vg}', 'thinvol recover {vg}'. If the pool itself was put back by mistake, put it \
         back as it was instead",
        path.display(),
        copy.seqno,
        path.display(),
    )
}
