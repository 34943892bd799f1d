//! The store of one volume group.

use super::ahead::Ahead;
use super::assess::{AreaRef, Assessment, DeviceRead, assess};
use super::error::{NotCommitted, StoreError};
use super::issue::StoreIssue;
use super::read::{MdaRead, PvRead, read_device, read_header};
use super::summary::{Summary, TextCopy, TextPool};
use super::vg_ref::VgRef;
use crate::format::mda::header::MdaHeader;
use crate::format::metadata::{Metadata, MetadataError};
use crate::format::placement::place::Ring;
use crate::format::placement::place::RoomError;
use crate::format::placement::plan::percent_used;
use base::bytes::shared::SharedBytes;
use sys::io::block::BlockDev;

/// The metadata of one volume group on its devices.
///
/// Reading needs no lock; what is read without one may be out of date at once. To commit, hold the volume
/// group's lock exclusively and [`reload`](Self::reload) (or open) under it.
pub struct VgStore {
    pub(super) devices: Vec<Box<dyn BlockDev>>,
    pub(super) sources: Vec<DeviceRead>,
    pub(super) state: Assessment,
    /// The text of a commit whose outcome is unknown.
    pub(super) in_doubt: Option<SharedBytes>,
    /// The text that is to follow, if it was written with the last.
    pub(super) ahead: Option<Ahead>,
}

/// Room for texts in the smallest metadata area in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The longest text it takes, in bytes with the NUL.
    pub limit: u64,
    /// How much of that the text asked about takes, rounded up.
    pub percent_used: u64,
}

/// One physical volume of the group, on its device.
pub struct Member<'a> {
    /// The device.
    pub device: &'a dyn BlockDev,
    /// Its label and metadata areas, as read.
    pub pv: &'a PvRead,
}

impl VgStore {
    /// Reads the volume group from these devices; those that are not part of it do no harm.
    ///
    /// # Errors
    /// If none has a text of it, or the name stands for two groups.
    pub fn open(devices: Vec<Box<dyn BlockDev>>, vg: &VgRef) -> Result<Self, StoreError> {
        Self::open_with(devices, vg, TextPool::default())
    }

    /// The same where the group's text was read a moment ago, as by a scan: if it is still that, it is not gone through
    /// again.
    ///
    /// # Errors
    /// As [`VgStore::open`].
    pub fn open_knowing(
        devices: Vec<Box<dyn BlockDev>>,
        vg: &VgRef,
        known: TextCopy,
    ) -> Result<Self, StoreError> {
        Self::open_with(devices, vg, TextPool::knowing(known))
    }

    fn open_with(
        devices: Vec<Box<dyn BlockDev>>,
        vg: &VgRef,
        mut pool: TextPool,
    ) -> Result<Self, StoreError> {
        let sources = read_all(&devices, &mut pool);
        let state = assess(&sources, vg)?;
        Ok(Self { devices, sources, state, in_doubt: None, ahead: None })
    }

    /// Reads all devices again. On an error the store is as it was.
    ///
    /// # Errors
    /// As [`VgStore::open`]; the group is now asked for by its identity.
    pub fn reload(&mut self) -> Result<(), StoreError> {
        let sources = read_all(&self.devices, &mut TextPool::default());
        self.state = assess(&sources, &VgRef::Id(self.summary().id))?;
        self.sources = sources;
        self.ahead = None;
        Ok(())
    }

    /// The newest text, byte for byte as it is on disk: with a NUL at the end, if it was written by lvm2 or
    /// by us.
    pub fn text(&self) -> &[u8] {
        &self.state.newest.text
    }

    /// What the newest text says.
    ///
    /// # Errors
    /// If it is not the metadata of a volume group.
    pub fn metadata(&self) -> Result<Metadata, MetadataError> {
        let copy = &self.state.newest;
        copy.parsed.as_ref().map_or_else(|| Metadata::of_text(copy.text.clone()), Metadata::of_parsed)
    }

    /// Which group it is, and in which state.
    pub fn summary(&self) -> &Summary {
        &self.state.newest.summary
    }

    /// What is not as it should be.
    pub fn issues(&self) -> &[StoreIssue] {
        &self.state.issues
    }

    /// The physical volumes of the group that are there, in the order of the devices.
    pub fn members(&self) -> impl Iterator<Item = Member<'_>> {
        let pairs = self.devices.iter().zip(&self.sources);
        pairs.filter_map(|(device, source)| {
            let pv = source.pv()?;
            let named = self.summary().pv_ids.contains(&pv.label.pv_id);
            named.then_some(Member { device: device.as_ref(), pv })
        })
    }

    /// The device of the first area in use that is not as it was read. An area that cannot be read counts as changed.
    pub(super) fn first_changed(&self) -> Option<usize> {
        let is_changed = |(area, header): &(AreaRef, &MdaHeader)| {
            let now = read_header(self.devices[area.device].as_ref(), header.area());
            now.ok().as_ref() != Some(*header)
        };
        self.areas_in_use().find(is_changed).map(|(area, _)| area.device)
    }

    /// Whether a text of `length` bytes, its NUL included, can be committed now, and how close it comes to
    /// the limit of the smallest metadata area in use.
    ///
    /// # Errors
    /// If it is too large for one of them.
    pub fn room_for(&self, length: u64) -> Result<Room, NotCommitted> {
        let mut smallest: Option<u64> = None;
        for (area, header) in self.areas_in_use() {
            let device = &self.devices[area.device];
            let ring = Ring::new(header.area(), device.block_size());
            let live = header.text().map_err(RoomError::from);
            live.and_then(|live| ring.place(live.as_ref(), length))
                .map_err(|source| NotCommitted::Room { device: device.name(), source })?;
            smallest = Some(smallest.map_or(ring.limit(), |limit| limit.min(ring.limit())));
        }
        let limit = smallest.ok_or_else(|| NotCommitted::NoArea(self.summary().name.clone()))?;
        Ok(Room { limit, percent_used: percent_used(length, limit) })
    }

    /// What the last read found there; `None` if the device has no such area or could not be read.
    pub(super) fn area(&self, area: AreaRef) -> Option<&MdaRead> {
        self.sources.get(area.device)?.pv()?.mdas.get(area.mda)
    }

    pub(super) fn areas_in_use(&self) -> impl Iterator<Item = (AreaRef, &MdaHeader)> {
        // An area in use has a header that was read, so none is left out.
        self.state.in_use.iter().filter_map(|area| Some((*area, self.area(*area)?.header.as_ref()?)))
    }
}

fn read_all(devices: &[Box<dyn BlockDev>], pool: &mut TextPool) -> Vec<DeviceRead> {
    let mut read =
        |device: &dyn BlockDev| DeviceRead { device: device.name(), read: read_device(device, pool) };
    devices.iter().map(|device| read(device.as_ref())).collect()
}
