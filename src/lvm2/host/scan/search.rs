//! The search for PVs that the devices file knows by the name of their device alone, and that have another name now.
//!
//! Source: lvm2 `lib/device/device_id.c` (`device_ids_search`). lvm2 mends the file, too; thinvol leaves that to it.

use std::path::PathBuf;

use super::moved::Moved;
use super::run::{Listing, Run};
use crate::host::conf::SearchForNames;
use crate::host::devices::used_file::{IdType, UsedDevice};
use crate::host::filter::chain::{Candidate, Chain};
use crate::host::filter::reason::Skip;
use base::ids::LvmUuid;

impl Run<'_> {
    /// Looks for PVs that are not where the devices file has them. Returns whether any was found; then devices that the
    /// file does not list are candidates, and those that had the wrong PV are read again.
    pub(super) fn search(&mut self, chain: &Chain<'_>, listing: &mut Listing) -> bool {
        let missing = self.missing();
        if missing.is_empty() {
            return false;
        }
        let mut found: Vec<(Candidate, LvmUuid)> = Vec::new();
        for candidate in self.elsewhere(chain, listing) {
            let any =
                |pv: LvmUuid| Moved { pv, line: 0, devices: vec![(candidate.device.no, PathBuf::new())] };
            self.moved = missing.iter().map(|(pv, _)| any(*pv)).collect();
            if let Ok(read) = self.probe(chain, &candidate)
                && missing.iter().any(|(pv, _)| *pv == read.found.id)
            {
                let pv = read.found.id;
                found.push((candidate, pv));
            }
        }
        self.moved.clear();
        for (pv, line) in missing {
            let at = found.iter().filter(|(_, of)| *of == pv);
            let devices: Vec<_> = at.map(|(it, _)| (it.device.no, it.path.clone())).collect();
            if !devices.is_empty() {
                self.moved.push(Moved { pv, line, devices });
            }
        }
        for (candidate, pv) in &found {
            if self.moved.iter().any(|moved| moved.is_at(*pv, candidate.device.no)) {
                self.read.remove(&candidate.device.no);
                listing.candidates.retain(|known| known.device.no != candidate.device.no);
                listing
                    .skipped
                    .retain(|(_, known, _)| known.as_ref().is_none_or(|it| it.no != candidate.device.no));
                listing.candidates.push(candidate.clone());
            }
        }
        !self.moved.is_empty()
    }

    /// PVs that the devices file has under a name where they are not, each with its line.
    fn missing(&self) -> Vec<(LvmUuid, usize)> {
        if self.conf.search_for_devnames == SearchForNames::None {
            return Vec::new();
        }
        let is_read = |pv: LvmUuid| self.read.values().flatten().any(|read| read.found.id == pv);
        let entries = self.used.iter().flat_map(|used| &used.entries);
        let by_name = entries.filter(|entry: &&UsedDevice| entry.id_type == IdType::DevName);
        by_name.filter_map(|entry| Some((entry.pv_id?, entry.line))).filter(|(pv, _)| !is_read(*pv)).collect()
    }

    /// Where they may be: devices that no entry means, and those whose entry expects another PV.
    fn elsewhere(&self, chain: &Chain<'_>, listing: &Listing) -> Vec<Candidate> {
        let unlisted = listing.skipped.iter().filter(|(.., skip)| *skip == Skip::NotInDevicesFile);
        let unlisted = unlisted.filter_map(|(_, device, _)| chain.unlisted(device.as_ref()?));
        let other = |candidate: &&Candidate| {
            matches!(self.read.get(&candidate.device.no), Some(Err(Skip::OtherPv { .. })))
        };
        let all = unlisted.chain(listing.candidates.iter().filter(other).cloned());
        let everywhere = self.conf.search_for_devnames == SearchForNames::All;
        all.filter(|it| everywhere || !chain.identity(&it.device, it.record.as_ref()).is_stable()).collect()
    }
}
