//! Room on the physical volumes: what is free, what of it may be taken, and what is said where it does not suffice.

use super::super::draft::Draft;
use crate::refusal::Refusal;
use crate::stack::DevRef;
use base::error_kind::ErrorKind;
use base::ids::{DevNo, LvName};
use base::units::size::Rounded;
use base::units::{Bytes, Extents, Sectors};
use lvm2::format::allocation::{Free, NoRoom};
use lvm2::format::pool_size::{PoolSizeError, spare_size};

impl Draft<'_> {
    /// The extents that may be taken: of physical volumes that are here, and of those that are named, if any are.
    pub(super) fn free_extents(&self, on: &[DevNo]) -> Result<Free, Refusal> {
        let number = |key: &str| self.observed.numbers.get(&DevRef::Pv(key.to_owned())).copied();
        let numbers: Vec<DevNo> = self.vg().pvs.iter().filter_map(|pv| number(&pv.key)).collect();
        if let Some(other) = on.iter().find(|dev| !numbers.contains(dev)) {
            return Err(Refusal::new(
                ErrorKind::NotFound,
                format!("device {other} is no physical volume of {}", self.vg().name),
            )
            .hint(format!("'pvs -o name,vg_name' shows those of {}", self.vg().name)));
        }
        Ok(Free::of(self.vg(), |pv| number(&pv.key).is_some_and(|dev| on.is_empty() || on.contains(&dev))))
    }

    /// A number of extents as bytes.
    pub(super) fn size_of(&self, extents: Extents) -> Rounded {
        let bytes = extents.to_sectors(self.vg().extent_size).and_then(Sectors::to_bytes);
        Rounded(bytes.unwrap_or(Bytes::ZERO))
    }

    /// How large the group's spare is to be, if the metadata of one pool comes to be so large.
    pub(super) fn wanted_spare(&self, pool: &LvName, metadata: Extents) -> Result<Extents, Refusal> {
        let vg = self.vg();
        let others = vg.pools().filter(|(other, _)| other.name != *pool);
        let others = others.filter_map(|(_, pool)| vg.lv(&pool.metadata)?.extents());
        spare_size(others.chain([metadata]), vg.extent_size).map_err(|error| size(&error))
    }
}

/// So many percent of some extents, and at most all of them.
pub(super) fn share_of(extents: Extents, percent: u32) -> Extents {
    let share = u128::from(extents.get()) * u128::from(percent.min(100)) / 100;
    Extents::new(u64::try_from(share).unwrap_or(extents.get()))
}

pub(super) fn size(error: &PoolSizeError) -> Refusal {
    Refusal::rule(error.to_string())
}

pub(super) fn no_room(what: &str, error: &NoRoom) -> Refusal {
    match error {
        NoRoom::Kind => Refusal::new(ErrorKind::Unsupported, format!("{what} cannot grow: {error}"))
            .hint("lvextend can make it grow"),
        NoRoom::Extents { .. } | NoRoom::Run { .. } | NoRoom::Stripes { .. } => {
            Refusal::rule(format!("there is no room for {what}: {error}"))
                .hint("'vgs' shows what is free; 'vgextend' adds a physical volume")
        }
    }
}
