//! Records of removed volumes while changes are collected. They link volumes that live: a snapshot of a volume that is
//! gone to what that was made from. Source: lvm2 `lib/metadata/pool_manip.c` (`detach_pool_lv`,
//! `_create_historical_glv`), `lib/metadata/metadata.c` (`_handle_historical_lvs`).

use std::collections::HashMap;

use crate::format::model::{Ancestor, HistoricalLv, Lv, Vg};
use base::ids::LvName;

/// One record.
pub(crate) struct Record {
    /// What it is to say.
    pub lv: HistoricalLv,
    /// Its place in the model before, if it was there.
    pub before: Option<usize>,
    /// Whether anything changed.
    pub touched: bool,
}

/// All records of a VG.
pub(crate) struct History {
    /// In the order of the text.
    pub records: Vec<Record>,
    /// Whether a volume was removed, so that a record may link nothing any more.
    removed: bool,
}

impl History {
    pub(crate) fn of(vg: &Vg) -> Self {
        let record =
            |(at, lv): (usize, &HistoricalLv)| Record { lv: lv.clone(), before: Some(at), touched: false };
        Self { records: vg.historical_lvs.iter().enumerate().map(record).collect(), removed: false }
    }

    /// Whether a removed volume keeps that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.records.iter().any(|record| record.lv.name == name)
    }

    /// A volume that lives gets another name.
    pub(crate) fn rename(&mut self, from: &LvName, to: &LvName) {
        let (live, new) = (Ancestor::Live(from.to_string()), Ancestor::Live(to.to_string()));
        for record in &mut self.records {
            let origin = record.lv.origin.as_mut().filter(|origin| **origin == live);
            let below = record.lv.descendants.iter_mut().filter(|name| *name == from.as_str());
            record.touched |= origin.is_some();
            origin.into_iter().for_each(|origin| *origin = new.clone());
            for name in below {
                *name = to.to_string();
                record.touched = true;
            }
        }
    }

    /// A volume goes, that these were made from. `recorded`: when, if a record of it is to stay.
    pub(crate) fn remove(&mut self, lv: &Lv, made_from_it: &[LvName], recorded: Option<u64>) {
        self.removed = true;
        let name = lv.name.as_str();
        let live = Ancestor::Live(name.to_owned());
        let above =
            self.records.iter_mut().find(|record| record.lv.descendants.iter().any(|below| below == name));
        let above = above.map(|record| {
            record.lv.descendants.retain(|below| below != name);
            record.touched = true;
            Ancestor::Historical(record.lv.name.clone())
        });
        let origin = lv.thin().and_then(|thin| thin.origin.as_ref());
        let origin = origin.map(|origin| Ancestor::Live(origin.to_string())).or(above);
        let below = self.records.iter_mut().filter(|record| record.lv.origin.as_ref() == Some(&live));
        let mut is_link = origin.is_some() || !made_from_it.is_empty();
        for record in below {
            is_link = true;
            record.lv.origin = recorded.map(|_| Ancestor::Historical(name.to_owned()));
            record.touched = true;
        }
        let Some(time) = recorded.filter(|_| is_link) else { return };
        let lv = HistoricalLv {
            name: name.to_owned(),
            id: lv.id,
            creation_time: lv.creation_time,
            removal_time: Some(time),
            origin,
            descendants: made_from_it.iter().map(ToString::to_string).collect(),
        };
        self.records.push(Record { lv, before: None, touched: true });
    }

    /// Drops records that no volume which lives descends from, as lvm2 does with each commit.
    pub(crate) fn prune(&mut self) {
        if !self.removed {
            return;
        }
        let places: HashMap<&str, usize> =
            self.records.iter().enumerate().map(|(at, record)| (record.lv.name.as_str(), at)).collect();
        let mut alive = vec![false; self.records.len()];
        for (start, record) in
            self.records.iter().enumerate().filter(|(_, record)| !record.lv.descendants.is_empty())
        {
            let (mut at, mut record) = (start, record);
            // Up to the first that is known to stay: a ring of records ends there, too.
            while !alive[at] {
                alive[at] = true;
                let Some(Ancestor::Historical(above)) = &record.lv.origin else { break };
                let Some(above) = places.get(above.as_str()) else { break };
                (at, record) = (*above, &self.records[*above]);
            }
        }
        let mut alive = alive.into_iter();
        self.records.retain(|_| alive.next().unwrap_or(true));
    }
}
