//! Taking free extents for a new logical volume, for a new pool, and for more of what there is.

use thiserror::Error;

use super::free::Free;
use crate::format::model::{Segment, SegmentKind, Stripe, Striped};
use base::units::{Extents, Sectors};

/// How a logical volume is spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Over how many physical volumes at once; at least one.
    pub stripes: usize,
    /// The size of a stripe; not used if there is only one.
    pub stripe_size: Option<Sectors>,
}

impl Shape {
    /// One extent after the other.
    pub const LINEAR: Self = Self { stripes: 1, stripe_size: None };

    /// This number of extents, rounded up to a whole number for each stripe.
    pub fn rounded(self, extents: Extents) -> Option<Extents> {
        let stripes = u64::try_from(self.stripes).ok()?;
        extents.get().checked_next_multiple_of(stripes).map(Extents::new)
    }

    /// That of the last of an LV's segments, which more of it gets, too; `None` if it does not lie on extents.
    pub fn of_last(segments: &[Segment]) -> Option<Self> {
        segments.last().and_then(Self::of)
    }

    fn of(segment: &Segment) -> Option<Self> {
        match &segment.kind {
            SegmentKind::Striped(striped) if striped.stripes.len() == 1 => Some(Self::LINEAR),
            SegmentKind::Striped(striped) => {
                Some(Self { stripes: striped.stripes.len(), stripe_size: striped.stripe_size })
            }
            _ => None,
        }
    }
}

/// There are not enough free extents, or not on enough physical volumes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoRoom {
    /// Too few.
    #[error("{wanted} more extents are needed, {free} are free")]
    Extents {
        /// How many were to be had.
        wanted: Extents,
        /// How many there were.
        free: Extents,
    },
    /// Too few at one place.
    #[error("{wanted} extents in a row are needed for the metadata, and there is no such run")]
    Run {
        /// How many were to be had.
        wanted: Extents,
    },
    /// There are enough extents, but not on that many physical volumes.
    #[error("{wanted} more extents in {stripes} stripes need {stripes} physical volumes with room")]
    Stripes {
        /// How many extents were left to be had.
        wanted: Extents,
        /// The number of stripes.
        stripes: usize,
    },
    /// The LV that is to grow does not lie on plain extents, or has no whole number of stripes.
    #[error("it does not lie on physical extents alone")]
    Kind,
}

/// What a physical volume offers: the start of one of its free runs.
#[derive(Clone, Copy, Debug)]
struct Offer {
    pv: usize,
    start: u64,
    count: u64,
    /// How many extents of it are of use.
    used: u64,
}

/// A volume under construction.
struct Growing {
    shape: Shape,
    segments: Vec<Segment>,
    /// How many extents are still to be found for each stripe.
    left: u64,
}

impl Free {
    /// Takes extents for a new logical volume.
    ///
    /// # Errors
    /// If there are not enough; nothing is taken then.
    pub fn take(&mut self, extents: Extents, shape: Shape) -> Result<Vec<Segment>, NoRoom> {
        self.check_enough(extents)?;
        let mut free = self.clone();
        let mut growing = Growing::new(Vec::new(), extents, shape)?;
        free.anywhere(&mut growing)?;
        *self = free;
        Ok(growing.segments)
    }

    /// Takes extents for the data of a new pool and, in one run, for its metadata: where another physical volume has
    /// room, on that, else in the largest run. `apart`: only on another one.
    ///
    /// # Errors
    /// If there are not enough; nothing is taken then.
    pub fn take_pool(
        &mut self,
        data: (Extents, Shape),
        metadata: Extents,
        apart: bool,
    ) -> Result<(Vec<Segment>, Vec<Segment>), NoRoom> {
        let mut free = self.clone();
        let (extents, shape) = data;
        self.check_enough(extents.checked_add(metadata).unwrap_or(extents))?;
        let mut growing = Growing::new(Vec::new(), extents, shape)?;
        let length = metadata.get();
        let offers = free.offers(growing.left.max(length));
        let too_small = offers.iter().rev().take_while(|offer| offer.count < length).count();
        let no_run = NoRoom::Run { wanted: metadata };
        let metadata = match (offers.len() > shape.stripes + too_small, apart) {
            (true, _) => {
                let last = offers[offers.len() - 1 - too_small];
                free.round(&mut growing, &offers)?;
                Offer { used: length, ..last }
            }
            (false, true) => return Err(no_run),
            (false, false) => {
                free.round(&mut growing, &offers)?;
                free.largest().filter(|run| run.count >= length).ok_or(no_run)?
            }
        };
        let metadata = free.consume(&[Offer { used: length, ..metadata }], length, Shape::LINEAR);
        free.anywhere(&mut growing)?;
        *self = free;
        Ok((growing.segments, vec![metadata]))
    }

    /// Takes more extents for a volume that has these segments, spread as its last one: behind it, then on its physical
    /// volumes, then anywhere. Returns all segments it has then.
    ///
    /// # Errors
    /// If there are not enough, or it is made of something else; nothing is taken then.
    pub fn extend(&mut self, segments: &[Segment], more: Extents) -> Result<Vec<Segment>, NoRoom> {
        let last = segments.last().ok_or(NoRoom::Kind)?;
        let (shape, SegmentKind::Striped(striped)) = (Shape::of(last).ok_or(NoRoom::Kind)?, &last.kind)
        else {
            return Err(NoRoom::Kind);
        };
        self.check_enough(more)?;
        let mut free = self.clone();
        let width = u64::try_from(shape.stripes).map_err(|_| NoRoom::Kind)?;
        let length = last.count.get() / width;
        let mut growing = Growing::new(segments.to_vec(), more, shape)?;
        let behind = striped.stripes.iter().map(|stripe| {
            let pv = free.pvs.iter().position(|pv| pv.key == stripe.area)?;
            let start = stripe.start.get() + length;
            let run = free.pvs[pv].runs.iter().find(|run| run.start == start)?;
            Some(Offer { pv, start, count: run.count, used: run.count.min(growing.left) })
        });
        if let Some(offers) = behind.collect::<Option<Vec<Offer>>>() {
            free.round(&mut growing, &offers)?;
        }
        let own: Vec<usize> = striped
            .stripes
            .iter()
            .filter_map(|stripe| free.pvs.iter().position(|pv| pv.key == stripe.area))
            .collect();
        while growing.left > 0 && own.len() == shape.stripes {
            let offers: Option<Vec<Offer>> = own.iter().map(|pv| free.offer(*pv, growing.left)).collect();
            let Some(offers) = offers else { break };
            free.round(&mut growing, &offers)?;
        }
        free.anywhere(&mut growing)?;
        *self = free;
        Ok(growing.segments)
    }

    fn check_enough(&self, wanted: Extents) -> Result<(), NoRoom> {
        let free = self.total();
        if wanted > free { Err(NoRoom::Extents { wanted, free }) } else { Ok(()) }
    }

    /// Takes the extents that are still missing from any place.
    fn anywhere(&mut self, growing: &mut Growing) -> Result<(), NoRoom> {
        while growing.left > 0 {
            let offers = self.offers(growing.left);
            self.round(growing, &offers)?;
        }
        Ok(())
    }

    /// The largest run of each physical volume for that many extents, the largest first.
    fn offers(&self, wanted: u64) -> Vec<Offer> {
        let mut offers: Vec<Offer> = (0..self.pvs.len()).filter_map(|pv| self.offer(pv, wanted)).collect();
        offers.sort_by_key(|offer| std::cmp::Reverse(offer.used));
        offers
    }

    /// The smallest run that is long enough, the last one of equals; else the largest run, the first one of equals.
    fn offer(&self, pv: usize, wanted: u64) -> Option<Offer> {
        let runs = &self.pvs[pv].runs;
        let holds = runs.iter().rev().filter(|run| run.count >= wanted).min_by_key(|run| run.count);
        let run = holds.or_else(|| runs.iter().rev().max_by_key(|run| run.count))?;
        Some(Offer { pv, start: run.start, count: run.count, used: run.count.min(wanted) })
    }

    /// The largest free run, the first of equals.
    fn largest(&self) -> Option<Offer> {
        let all =
            self.pvs.iter().enumerate().flat_map(|(pv, free)| free.runs.iter().map(move |run| (pv, run)));
        let (pv, run) = all.rev().max_by_key(|(_, run)| run.count)?;
        Some(Offer { pv, start: run.start, count: run.count, used: run.count })
    }

    /// Takes one segment from the first offers.
    fn round(&mut self, growing: &mut Growing, offers: &[Offer]) -> Result<(), NoRoom> {
        let width = growing.shape.stripes;
        let wanted = Extents::new(growing.left.saturating_mul(u64::try_from(width).unwrap_or(u64::MAX)));
        let no_room = match width {
            1 => NoRoom::Extents { wanted, free: self.total() },
            stripes => NoRoom::Stripes { wanted, stripes },
        };
        let used = offers.get(..width).and_then(|offers| offers.iter().map(|offer| offer.used).min());
        let count = used.map(|used| used.min(growing.left)).filter(|count| *count > 0).ok_or(no_room)?;
        let segment = self.consume(&offers[..width], count, growing.shape);
        growing.push(segment);
        growing.left -= count;
        Ok(())
    }

    fn consume(&mut self, offers: &[Offer], count: u64, shape: Shape) -> Segment {
        let stripes = offers.iter().map(|offer| {
            self.remove(offer.pv, offer.start, count);
            Stripe { area: self.pvs[offer.pv].key.clone(), start: Extents::new(offer.start) }
        });
        let stripes: Vec<Stripe> = stripes.collect();
        let width = u64::try_from(stripes.len()).unwrap_or(u64::MAX);
        let striped = Striped { stripe_size: shape.stripe_size.filter(|_| width > 1), stripes };
        Segment {
            start: Extents::ZERO,
            count: Extents::new(count.saturating_mul(width)),
            tags: Vec::new(),
            kind: SegmentKind::Striped(striped),
        }
    }
}

impl Growing {
    fn new(segments: Vec<Segment>, extents: Extents, shape: Shape) -> Result<Self, NoRoom> {
        let width = u64::try_from(shape.stripes).ok().filter(|width| *width > 0).ok_or(NoRoom::Kind)?;
        if !extents.get().is_multiple_of(width) {
            return Err(NoRoom::Kind);
        }
        Ok(Self { shape, segments, left: extents.get() / width })
    }

    /// Adds a segment, or makes the last one longer where it follows that on all its physical volumes.
    /// Source: lvm2 `lib/metadata/merge.c` (`_merge`).
    fn push(&mut self, segment: Segment) {
        let end = self.segments.last().map_or(0, |last| last.start.get() + last.count.get());
        if let Some(last) = self.segments.last_mut()
            && follows(last, &segment)
        {
            last.count = Extents::new(last.count.get() + segment.count.get());
            return;
        }
        self.segments.push(Segment { start: Extents::new(end), ..segment });
    }
}

fn follows(last: &Segment, next: &Segment) -> bool {
    let (SegmentKind::Striped(one), SegmentKind::Striped(other)) = (&last.kind, &next.kind) else {
        return false;
    };
    let width = u64::try_from(one.stripes.len()).unwrap_or(u64::MAX).max(1);
    let length = last.count.get() / width;
    let adjoins = |(one, other): (&Stripe, &Stripe)| {
        one.area == other.area && one.start.get() + length == other.start.get()
    };
    last.tags == next.tags
        && one.stripes.len() == other.stripes.len()
        && (one.stripes.len() == 1 || one.stripe_size == other.stripe_size)
        && one.stripes.iter().zip(&other.stripes).all(adjoins)
}
