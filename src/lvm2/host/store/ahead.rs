//! The text of a second commit, written with that of the first: after one flush both are on the disks, and each commit
//! is then a header alone.

use super::assess::AreaRef;
use crate::format::mda::header::MdaHeader;
use crate::format::placement::plan::{CopyPlan, plan_copy};
use base::bytes::shared::SharedBytes;

/// A text that is in all areas in use, and that no header points to yet.
pub(super) struct Ahead {
    pub(super) text: SharedBytes,
    pub(super) plans: Vec<(AreaRef, CopyPlan)>,
}

/// Where a text goes in an area, on a device with blocks of `block_size` bytes, that is to follow the one of the first
/// plan: clear of that one, and of the text that `in_use` points to, which counts until the header of the first is
/// written. Nothing if the area has no room for all three.
pub(super) fn plan_behind(
    first: &CopyPlan,
    in_use: &MdaHeader,
    block_size: u32,
    text: &SharedBytes,
) -> Option<CopyPlan> {
    let plan = plan_copy(&first.new_header, block_size, text).ok()?;
    let (head, tail) = in_use.text().ok()?.map(|text| text.parts()).unzip();
    let block = u64::from(block_size).max(1);
    let is_clear = [head, tail.flatten()].into_iter().flatten().all(|part| {
        // A write changes whole blocks.
        let (start, end) = (part.offset / block * block, (part.offset + part.size).next_multiple_of(block));
        plan.text.iter().all(|write| {
            let length = u64::try_from(write.bytes.len()).unwrap_or(u64::MAX);
            write.offset >= end || write.offset + length <= start
        })
    });
    is_clear.then_some(plan)
}
