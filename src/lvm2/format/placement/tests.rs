use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;

use super::place::{Ring, RoomError};
use super::plan::{CopyPlan, DiskWrite, percent_used, plan_copy};
use crate::format::label::layout::Area;
use crate::format::mda::header::{HEADER_LEN, MdaHeader, RawLocn};
use crate::format::mda::ring::TextLocn;

const DEFAULT: Area = Area { offset: 4096, size: 1_044_480 };

fn header_with_text(area: Area, offset: u64, size: u64) -> MdaHeader {
    let slot = RawLocn { offset, size, checksum: 0, flags: 0 };
    MdaHeader::empty(area).with_text(&TextLocn::new(area, &slot).unwrap())
}

/// Where a text of `length` bytes goes beside one at `offset` with `size` bytes.
fn next(block: u32, offset: u64, size: u64, length: u64) -> Result<u64, RoomError> {
    let header = header_with_text(DEFAULT, offset, size);
    Ring::new(DEFAULT, block).place(header.text().unwrap().as_ref(), length)
}

#[test]
fn sectors_follow_lvm2s_policy() {
    let end = DEFAULT.size;
    assert_eq!(Ring::new(DEFAULT, 512).place(None, 100), Ok(512), "the first text ever");
    assert_eq!(next(512, 512, 512, 100), Ok(1024), "right behind a text that fills its sectors");
    assert_eq!(next(512, 512, 513, 100), Ok(1536));
    assert_eq!(next(512, 700, 10, 100), Ok(1024), "an unaligned text of a foreign writer");
    assert_eq!(next(512, end - 1024, 512, 2000), Ok(end - 512), "the last sector is used, the rest wraps");
    assert_eq!(next(512, end - 1024, 513, 100), Ok(512), "no whole sector is left behind it");
    assert_eq!(next(512, end - 1024, 1025, 100), Ok(1024), "behind the part that wrapped");
}

#[test]
fn the_limit_is_lvm2s() {
    assert_eq!(Ring::new(DEFAULT, 512).limit(), 521_472);
    assert_eq!(Ring::new(DEFAULT, 4096).limit(), 520_192, "127 of 254 blocks without the header's");
    let error = next(512, 512, 512, 521_473).unwrap_err();
    assert_eq!(error, RoomError::TooLarge { length: 521_473, limit: 521_472, area: DEFAULT.size });
    assert!(next(512, 512, 521_472, 521_472).is_ok());
    let tiny = Area { offset: 4096, size: 1024 };
    assert_eq!(Ring::new(tiny, 512).limit(), 0);
    assert_eq!(Ring::new(tiny, 4096).limit(), 0);
    assert_eq!((percent_used(0, 100), percent_used(1, 1000), percent_used(521_473, 521_472)), (0, 1, 101));
    assert_eq!(percent_used(1, 0), 100);
}

#[test]
fn large_blocks_keep_to_themselves() {
    let ring = Ring::new(DEFAULT, 4096);
    assert_eq!(ring.place(None, 100), Ok(4096), "not in the block of the header");
    assert_eq!(next(4096, 4096, 100, 100), Ok(8192));
    assert_eq!(next(4096, 512, 100, 100), Ok(4096), "behind a text of lvm2 in the header's block");
    assert_eq!(next(4096, 9216, 100, 100), Ok(12288), "not in the block that lvm2 used in part");
    assert_eq!(next(4096, DEFAULT.size - 4096, 4096, 100), Ok(4096));
    let wraps = DEFAULT.size - 512;
    assert_eq!(
        next(4096, wraps, 1024, 100),
        Ok(4096),
        "behind the part that wrapped into the header's block"
    );
    assert_eq!(next(4096, wraps, 8000, 100), Ok(8192));
    // Large ones go to the two ends in turn.
    assert_eq!(next(4096, 4096, 500_000, 520_000), Ok(DEFAULT.size - 520_192));
    assert_eq!(next(4096, DEFAULT.size - 520_192, 520_000, 520_000), Ok(4096));
    let middle = next(4096, 400_000, 250_000, 500_000).unwrap_err();
    assert!(middle.to_string().contains("smaller steps"), "{middle}");
}

/// An area in memory, as a disk would hold it.
struct Image {
    area: Area,
    bytes: Vec<u8>,
}

impl Image {
    fn write(&mut self, write: &DiskWrite) {
        let at = usize::try_from(write.offset - self.area.offset).unwrap();
        self.bytes[at..at + write.bytes.len()].copy_from_slice(&write.bytes);
    }

    fn header(&self) -> MdaHeader {
        MdaHeader::parse(&self.bytes[..HEADER_LEN].try_into().unwrap(), self.area).unwrap()
    }

    fn text(&self) -> Option<Vec<u8>> {
        let locn = self.header().text().unwrap()?;
        let (first, second) = locn.parts();
        let mut text = Vec::new();
        for part in [Some(first), second].into_iter().flatten() {
            let at = usize::try_from(part.offset - self.area.offset).unwrap();
            text.extend_from_slice(&self.bytes[at..at + usize::try_from(part.size).unwrap()]);
        }
        locn.check(&text).unwrap();
        Some(text)
    }
}

fn check_writes(image: &Image, plan: &CopyPlan, block: u64) -> Result<(), TestCaseError> {
    let area = image.area;
    for write in &plan.text {
        let end = write.offset + u64::try_from(write.bytes.len()).unwrap();
        prop_assert!(write.offset >= area.offset + 512 && end <= area.end().unwrap());
        if block > 512 {
            prop_assert!(write.offset % block == 0 && end % block == 0);
            prop_assert!(write.offset / block > area.offset / block, "shares the header's block");
        }
    }
    Ok(())
}

fn any_area() -> impl Strategy<Value = Area> {
    (1..64_u64, 40..600_u64).prop_map(|(offset, size)| Area { offset: offset * 512, size: size * 512 })
}

proptest! {
    /// Over any sequence of sizes: the text in use stays readable until the header is written, then the new
    /// one is.
    #[test]
    fn the_text_in_use_is_never_overwritten(
        area in any_area(),
        block in prop_oneof![Just(512_u32), Just(4096_u32)],
        percents in vec(prop_oneof![0..12_u64, 0..=100_u64], 1..40),
        stock_start in 1..600_u64,
    ) {
        let length = usize::try_from(area.size).unwrap();
        let mut image = Image { area, bytes: vec![0xee; length] };
        image.bytes[..HEADER_LEN].copy_from_slice(&MdaHeader::empty(area).encode());
        let ring = Ring::new(area, block);
        let (ring_start, ring_end) = ((area.offset + 512).next_multiple_of(4096), area.end().unwrap() & !4095);
        let whole_blocks = ring_end.saturating_sub(ring_start);
        let mut live_is_ours = true;
        // lvm2 may have left its text anywhere, also where we would not put it.
        if stock_start * 512 < area.size {
            let text = vec![7; usize::try_from(ring.limit().clamp(1, 5000)).unwrap()];
            let mut plan = plan_copy(&MdaHeader::empty(area), 512, &text.into()).unwrap();
            let moved = RawLocn { offset: stock_start * 512, ..plan.locn.to_raw() };
            plan.new_header = MdaHeader::empty(area).with_text(&TextLocn::new(area, &moved).unwrap());
            let (first, second) = plan.new_header.text().unwrap().unwrap().parts();
            for part in [Some(first), second].into_iter().flatten() {
                let at = usize::try_from(part.offset - area.offset).unwrap();
                image.bytes[at..at + usize::try_from(part.size).unwrap()].fill(7);
            }
            image.bytes[..HEADER_LEN].copy_from_slice(&plan.new_header.encode());
            live_is_ours = false;
        }
        let mut was_small = true;
        for (turn, percent) in (1_u8..).zip(percents) {
            let size = (ring.limit() * percent / 100).max(1);
            let small = size.next_multiple_of(4096) <= whole_blocks / 4;
            let text = vec![turn; usize::try_from(size).unwrap()];
            let before = image.text();
            match plan_copy(&image.header(), block, &text.clone().into()) {
                Ok(plan) => {
                    check_writes(&image, &plan, block.into())?;
                    plan.text.iter().for_each(|write| image.write(write));
                    prop_assert_eq!(image.text(), before, "the old text until the header is written");
                    image.write(&plan.header);
                    prop_assert_eq!(image.text(), Some(text));
                    (live_is_ours, was_small) = (true, small);
                }
                Err(RoomError::TooLarge { limit, .. }) => prop_assert!(limit == 0, "sizes are within it"),
                // Room within the limit may be missing only beside a foreign text or a step from small to
                // large.
                Err(error) => prop_assert!(block > 512 && (!live_is_ours || was_small), "{}", error),
            }
        }
    }
}
