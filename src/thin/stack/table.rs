//! The tables of devices, as device-mapper is given them.

use super::{DevRef, DeviceSpec, TargetSpec};
use base::ids::DevNo;
use base::units::Sectors;
use dm::table::{PoolParams, Table, TargetLine};
use lvm2::format::model::Discards;

impl TargetSpec {
    /// The table line, with each device looked up by `number`.
    ///
    /// # Errors
    /// Whatever `number` answers for a device it does not know.
    fn line<E>(
        &self,
        start: Sectors,
        number: &impl Fn(&DevRef) -> Result<DevNo, E>,
    ) -> Result<TargetLine, E> {
        Ok(match self {
            Self::Linear { length, device, offset } => {
                TargetLine::linear(start, *length, number(device)?, *offset)
            }
            Self::Striped { length, stripe_size, areas } => {
                let mut params = format!("{} {stripe_size}", areas.len());
                for (device, offset) in areas {
                    params.push_str(&format!(" {} {offset}", number(device)?));
                }
                TargetLine { start, length: *length, target: "striped".into(), params }
            }
            Self::Mirror { length, region_size, legs } => {
                // Three parameters: the size of a chunk, none for a mirror, and that of a region, as lvm2 gives them.
                // Source: lvm2 `libdm/libdm-deptree.c` (`_raid_emit_segment_line`), Linux `drivers/md/dm-raid.c`.
                let mut params = format!("raid1 3 0 region_size {region_size} {}", legs.len());
                for (metadata, data) in legs {
                    params.push_str(&format!(" {} {}", number(metadata)?, number(data)?));
                }
                TargetLine { start, length: *length, target: "raid".into(), params }
            }
            Self::ThinPool {
                length,
                metadata,
                data,
                chunk_size,
                low_water,
                skip_block_zeroing,
                discards,
                error_if_no_space,
            } => {
                let params = PoolParams {
                    metadata: number(metadata)?,
                    data: number(data)?,
                    chunk_size: *chunk_size,
                    low_water: *low_water,
                    skip_block_zeroing: *skip_block_zeroing,
                    ignore_discard: *discards == Discards::Ignore,
                    no_discard_passdown: *discards == Discards::NoPassdown,
                    error_if_no_space: *error_if_no_space,
                    read_only: false,
                };
                TargetLine::thin_pool(*length, &params)
            }
            Self::Thin { length, pool, id, external } => {
                let external = external.as_ref().map(number).transpose()?;
                TargetLine::thin(*length, number(pool)?, *id, external)
            }
        })
    }
}

impl DeviceSpec {
    /// The device's table, with each device it stands on looked up by `number`.
    ///
    /// # Errors
    /// Whatever `number` answers for a device it does not know.
    pub fn table<E>(&self, number: impl Fn(&DevRef) -> Result<DevNo, E>) -> Result<Table, E> {
        let mut start = Sectors::ZERO;
        let mut lines = Vec::with_capacity(self.targets.len());
        for target in &self.targets {
            lines.push(target.line(start, &number)?);
            start = Sectors::new(start.get().saturating_add(target.length().get()));
        }
        Ok(Table(lines))
    }
}
