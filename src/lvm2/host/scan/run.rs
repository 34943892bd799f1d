//! One scan: lists devices, reads as few as will do, and puts the answer together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::group::{Groups, ReadPv, group};
use super::moved::Moved;
use super::probe::probe;
use super::{FoundPv, FoundVg, ScanError, ScanSource, Scanner, Skipped, Survey, suspect};
use crate::host::conf::DevicesConf;
use crate::host::devices::used_file::{IdType, UsedDevice, UsedDevices};
use crate::host::filter::chain::{Candidate, Chain, Checked};
use crate::host::filter::content::md_at_end;
use crate::host::filter::reason::Skip;
use crate::host::hints::Hints;
use crate::host::store::summary::TextPool;
use base::ids::{DevNo, LvmUuid, VgName};
use sys::io::direct::Access;
use sys::io::sysfs::Device;

/// The state of one scan.
pub(super) struct Run<'a> {
    scanner: &'a Scanner,
    pub(super) conf: DevicesConf,
    pub(super) used: Option<UsedDevices>,
    /// The content of each device that was read, so that none is read twice.
    pub(super) read: BTreeMap<DevNo, Result<ReadPv, Skip>>,
    pool: TextPool,
    /// PVs that are not where the devices file has them, and were found elsewhere.
    pub(super) moved: Vec<Moved>,
}

/// The devices of this machine, divided.
pub(super) struct Listing {
    pub(super) candidates: Vec<Candidate>,
    /// With the device, if it was checked.
    pub(super) skipped: Vec<(String, Option<Device>, Skip)>,
}

impl<'a> Run<'a> {
    pub(super) fn new(scanner: &'a Scanner) -> Result<Self, ScanError> {
        let mut conf = scanner.conf.clone();
        let mut used = None;
        if scanner.explicit.is_some() {
            (conf.filter, conf.global_filter) = (None, None);
        } else if conf.use_devicesfile.is_none() && conf.devicesfile.exists() {
            // Some builds of lvm2 use it unless they are told not to, others do not.
            return Err(ScanError::DevicesFileInDoubt { path: conf.devicesfile });
        } else if conf.use_devicesfile == Some(true) {
            let unreadable = |source| ScanError::DevicesFile { path: conf.devicesfile.clone(), source };
            used = UsedDevices::read(&conf.devicesfile).map_err(unreadable)?;
        }
        Ok(Self { scanner, conf, used, read: BTreeMap::new(), pool: TextPool::default(), moved: Vec::new() })
    }

    pub(super) fn survey(mut self, wanted: Option<&VgName>) -> Result<Survey, ScanError> {
        let conf = self.conf.clone();
        let chain = Chain::new(&self.scanner.roots, &conf, self.used.clone(), &self.scanner.lvs)?;
        let mut listing = self.list(&chain)?;
        if let Some(source) = self.fixed_source() {
            let survey = self.answer(&chain, &listing, &BTreeSet::new(), source);
            if !self.search(&chain, &mut listing) {
                return Ok(survey);
            }
            return Ok(self.answer(&chain, &listing, &BTreeSet::new(), source));
        }
        if let Some(survey) = self.by_hints(&chain, &listing, wanted) {
            return Ok(survey);
        }
        let left_out = Self::held_by_others(&listing);
        let survey = self.answer(&chain, &listing, &left_out, ScanSource::Udev);
        if left_out.is_empty() {
            return Ok(Survey { source: ScanSource::All, ..survey });
        }
        if is_settled(&survey, wanted) {
            return Ok(survey);
        }
        Ok(self.answer(&chain, &listing, &BTreeSet::new(), ScanSource::All))
    }

    fn fixed_source(&self) -> Option<ScanSource> {
        let explicit = self.scanner.explicit.is_some().then_some(ScanSource::Explicit);
        explicit.or_else(|| self.used.is_some().then_some(ScanSource::DevicesFile))
    }

    fn list(&self, chain: &Chain<'_>) -> Result<Listing, ScanError> {
        let roots = &self.scanner.roots;
        let names = match &self.scanner.explicit {
            Some(paths) => paths.iter().map(|path| self.kernel_name(path)).collect::<Result<_, _>>()?,
            None => roots
                .block_names()
                .map_err(|source| ScanError::Sysfs { path: roots.sys.join("class/block"), source })?,
        };
        let mut listing = Listing { candidates: Vec::new(), skipped: Vec::new() };
        for name in names {
            match chain.check(&name) {
                Some(Checked::Candidate(candidate)) => listing.candidates.push(candidate),
                Some(Checked::Skipped(device, skip)) => listing.skipped.push((name, Some(device), skip)),
                Some(Checked::PassedOver(skip)) => listing.skipped.push((name, None, skip)),
                None => {}
            }
        }
        Ok(listing)
    }

    fn kernel_name(&self, path: &Path) -> Result<String, ScanError> {
        let roots = &self.scanner.roots;
        let device = roots.node_number(path).and_then(|no| roots.device_by_number(no));
        device.map(|device| device.kernel_name).ok_or_else(|| ScanError::NoDevice { path: path.to_owned() })
    }

    /// Reads only what lvm2's hints list; `None` if they do not hold, or turn out to be wrong or not enough.
    fn by_hints(&mut self, chain: &Chain<'_>, listing: &Listing, wanted: Option<&VgName>) -> Option<Survey> {
        if !self.conf.hints {
            return None;
        }
        let hints = Hints::read(&self.scanner.roots.run)?;
        let candidates = listing.candidates.iter();
        let mut counted: Vec<(DevNo, PathBuf)> =
            candidates.map(|candidate| (candidate.device.no, candidate.path.clone())).collect();
        for device in listing.skipped.iter().filter_map(|(_, device, _)| device.as_ref()) {
            counted.extend(chain.counts_for_hints(device).map(|name| (device.no, name)));
        }
        let devices = counted.iter().map(|(no, path)| (*no, path.as_path()));
        if !hints.hold_for(&self.conf, false, devices) {
            return None;
        }
        let listed: BTreeMap<PathBuf, _> =
            hints.of_vg(wanted).map(|hint| (hint.path.clone(), hint.pv_id)).collect();
        let is_listed = |candidate: &&Candidate| listed.contains_key(&candidate.path);
        if listing.candidates.iter().filter(is_listed).count() != listed.len() {
            return None;
        }
        let left_out: BTreeSet<DevNo> = listing
            .candidates
            .iter()
            .filter(|candidate| !is_listed(candidate))
            .map(|candidate| candidate.device.no)
            .collect();
        let survey = self.answer(chain, listing, &left_out, ScanSource::Hints);
        let as_hinted = |candidate: &Candidate| {
            let read = self.read.get(&candidate.device.no).and_then(|read| read.as_ref().ok());
            read.map(|pv| &pv.found.id) == listed.get(&candidate.path)
        };
        let confirmed = listing.candidates.iter().filter(is_listed).all(as_hinted);
        (confirmed && is_settled(&survey, wanted)).then_some(survey)
    }

    /// Devices on which udev found something that is no PV.
    fn held_by_others(listing: &Listing) -> BTreeSet<DevNo> {
        let others = listing.candidates.iter().filter(|candidate| candidate.holds_other().is_some());
        others.map(|candidate| candidate.device.no).collect()
    }

    /// Reads all candidates except those left out, and returns the groups on them.
    fn answer(
        &mut self,
        chain: &Chain<'_>,
        listing: &Listing,
        left_out: &BTreeSet<DevNo>,
        source: ScanSource,
    ) -> Survey {
        for candidate in &listing.candidates {
            let no = candidate.device.no;
            if !left_out.contains(&no) && !self.read.contains_key(&no) {
                let read = self.probe(chain, candidate);
                self.read.insert(no, read);
            }
        }
        self.drop_md_members(chain, listing);
        let unseen = listing.skipped.iter().map(|(device, _, reason)| (device, reason.clone()));
        let mut skipped: Vec<(&String, Skip)> = unseen.collect();
        let mut pvs = Vec::new();
        for candidate in &listing.candidates {
            let Candidate { device, .. } = candidate;
            match self.read.get(&device.no) {
                _ if left_out.contains(&device.no) => {
                    skipped.push((&device.kernel_name, left_out_reason(candidate, source)));
                }
                Some(Ok(pv)) => pvs.push(pv),
                Some(Err(reason)) => skipped.push((&device.kernel_name, reason.clone())),
                None => {}
            }
        }
        let skipped = skipped.into_iter().map(|(device, reason)| Skipped { device: device.clone(), reason });
        let skipped: Vec<Skipped> = skipped.collect();
        let Groups { vgs, orphans, mut warnings, mut lost } = group(&pvs);
        let damaged = |skipped: &&Skipped| matches!(skipped.reason, Skip::DamagedLabel { .. });
        lost.extend(skipped.iter().filter(damaged).map(|it| format!("{}: {}", it.device, it.reason)));
        warnings.extend(self.unknown_entries());
        warnings.extend(self.moved.iter().map(|moved| moved.warning(&self.conf.devicesfile)));
        Survey { vgs, orphans, skipped, warnings, lost, source, devices_read: self.read.len() }
    }

    /// Checks the ends of devices whose size does not match their PV.
    fn drop_md_members(&mut self, chain: &Chain<'_>, listing: &Listing) {
        let Some(checks) = chain.md_checks() else { return };
        let texts = suspect::texts(self.read.values().filter_map(|read| read.as_ref().ok()));
        for candidate in &listing.candidates {
            let no = candidate.device.no;
            let Some(Ok(pv)) = self.read.get(&no) else { continue };
            if chain.types().is_md(&candidate.device) || !suspect::is_suspect(pv, &texts, checks) {
                continue;
            }
            let device = self.scanner.open_device(&candidate.path, no, Access::ReadOnly).map_err(unreadable);
            if let Err(skip) = device.and_then(|device| md_at_end(device.as_ref())) {
                self.read.insert(no, Err(skip));
            }
        }
    }

    pub(super) fn probe(&mut self, chain: &Chain<'_>, candidate: &Candidate) -> Result<ReadPv, Skip> {
        let roots = &self.scanner.roots;
        let device = &candidate.device;
        let opened = self.scanner.open_device(&candidate.path, device.no, Access::ReadOnly);
        let read = probe(roots, chain, candidate, opened.map_err(unreadable)?, &mut self.pool)?;
        self.check_entry(chain, candidate, read.label.pv_id)?;
        let on_top = roots.holders(&device.kernel_name);
        let found = FoundPv {
            id: read.label.pv_id,
            path: candidate.path.clone(),
            no: device.no,
            size: device.size,
            read_only: roots.attribute(&device.kernel_name, "ro").as_deref() == Some("1"),
        };
        Ok(ReadPv { found, in_use: on_top.iter().any(|holder| chain.is_lv(holder)), read })
    }

    /// Names change: an entry of the devices file that knows its device by name only must find its PV there.
    fn check_entry(&self, chain: &Chain<'_>, candidate: &Candidate, found: LvmUuid) -> Result<(), Skip> {
        let Some(used) = chain.used() else { return Ok(()) };
        if self.moved.iter().any(|moved| moved.is_at(found, candidate.device.no)) {
            return Ok(());
        }
        let identity = chain.identity(&candidate.device, candidate.record.as_ref());
        let mut entries = used.entries.iter().filter(|entry| entry.matches(&identity));
        let fits =
            |entry: &UsedDevice| entry.id_type != IdType::DevName || entry.pv_id.is_none_or(|id| id == found);
        let Some(first) = entries.next() else { return Ok(()) };
        if fits(first) || entries.any(fits) {
            return Ok(());
        }
        let expected = first.pv_id.map(|id| id.to_string()).unwrap_or_default();
        Err(Skip::OtherPv { expected, found: found.to_string() })
    }

    fn unknown_entries(&self) -> impl Iterator<Item = String> + '_ {
        let entries = self.used.iter().flat_map(|used| &used.entries);
        entries.filter_map(|entry| match &entry.id_type {
            IdType::Unknown(word) => Some(format!(
                "'{}', line {}: IDTYPE={word} is not supported, its device is not used",
                self.conf.devicesfile.display(),
                entry.line
            )),
            _ => None,
        })
    }
}

fn left_out_reason(candidate: &Candidate, source: ScanSource) -> Skip {
    match candidate.holds_other().filter(|_| source != ScanSource::Hints) {
        Some(kind) => Skip::HoldsOther { kind: kind.to_owned() },
        None => Skip::NotHinted,
    }
}

fn unreadable(error: ScanError) -> Skip {
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    Skip::Unreadable { error: cause.unwrap_or_else(|| error.to_string()) }
}

/// Whether reading more devices could not change the answer, as far as one can tell.
fn is_settled(survey: &Survey, wanted: Option<&VgName>) -> bool {
    let asked_for = |vg: &&FoundVg| wanted.is_none_or(|name| vg.name == *name);
    let mut vgs = survey.vgs.iter().filter(asked_for).peekable();
    vgs.peek().is_some() && vgs.all(FoundVg::is_whole)
}
