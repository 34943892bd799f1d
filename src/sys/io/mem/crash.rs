//! Every content that disks may have after a crash.
//!
//! What a flush made durable is there. Of what was written since, each block may be there or not, whatever
//! the others are, and of a block written several times any version: caches write back in any order, and a
//! write is torn between blocks, never within one. All those combinations are shown while there are at most
//! [`EXHAUSTIVE`]. Beyond that, the telling ones are: each write as a whole there or not, in every
//! combination of up to [`WHOLE_WRITES`] writes; all blocks up to each one, and from each one on, in the
//! order of writing; each block alone, and each block alone missing; and [`SAMPLES`] combinations drawn by a
//! generator, with another [`seed`] in each run of the tests.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use super::disk::{MemDisk, Op};
use super::image::Image;

/// How many combinations of blocks are shown one and all.
pub const EXHAUSTIVE: usize = 4096;

/// Up to how many pending writes are combined as wholes where there are too many blocks.
pub const WHOLE_WRITES: usize = 8;

/// How many combinations are drawn where there are too many blocks.
pub const SAMPLES: usize = 200;

/// What samples are drawn from in this run: what the environment variable `THINVOL_IMAGE_SEED` says, or another number
/// each time. A test that fails says which.
///
/// # Panics
/// If the variable is no number.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match std::env::var("THINVOL_IMAGE_SEED") {
        Ok(given) => given.parse().expect("THINVOL_IMAGE_SEED is a number"),
        Err(_) => {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::from(time.subsec_nanos()))
        }
    })
}

/// A block that may have any of several contents.
struct Slot {
    disk: usize,
    index: usize,
    /// Newer ones later; besides these, the durable one.
    versions: Vec<Arc<[u8]>>,
}

/// One block of a pending write: which slot's which version it is. The durable content is version 0.
#[derive(Clone, Copy)]
struct BlockWrite {
    slot: usize,
    version: usize,
    write: usize,
}

/// What is durable, and what may be.
struct Pending {
    durable: Vec<Image>,
    slots: Vec<Slot>,
    /// In the order of writing.
    steps: Vec<BlockWrite>,
}

/// The contents that these disks may have if power fails when `at` writes and flushes of their common
/// timeline were begun. The last write counts as under way; the last flush counts as done (where it was not,
/// the contents are those of `at - 1`).
///
/// # Panics
/// If the disks do not share a timeline.
pub fn crash_images(disks: &[&MemDisk], at: usize) -> impl Iterator<Item = Vec<Image>> + use<> {
    let pending = Pending::of(disks, at);
    let choices = pending.choices(at);
    choices.into_iter().map(move |choice| pending.image(&choice))
}

/// Whether [`crash_images`] shows only some of the combinations there are.
pub fn is_sampled(disks: &[&MemDisk], at: usize) -> bool {
    Pending::of(disks, at).combinations().is_none()
}

impl MemDisk {
    /// The contents that this disk may have if power fails when `at` writes and flushes of its timeline were
    /// begun; see [`crash_images`].
    pub fn crash_images(&self, at: usize) -> impl Iterator<Item = Image> + use<> {
        let pending = Pending::of(&[self], at);
        let choices = pending.choices(at);
        choices.into_iter().flat_map(move |choice| pending.image(&choice))
    }
}

/// A pending block of one disk: its time, its number and its content.
type Written = (usize, usize, Arc<[u8]>);

impl Pending {
    fn of(disks: &[&MemDisk], at: usize) -> Self {
        let same = disks.windows(2).all(|pair| pair[0].timeline().is(pair[1].timeline()));
        assert!(same, "disks that crash together share a timeline");
        let mut all = Self { durable: Vec::new(), slots: Vec::new(), steps: Vec::new() };
        let mut steps: Vec<(usize, BlockWrite)> = Vec::new();
        for (disk, mem) in disks.iter().enumerate() {
            let (durable, written) = settle(mem, at);
            let mut slot_of: BTreeMap<usize, usize> = BTreeMap::new();
            for (time, index, block) in written {
                let slot = *slot_of.entry(index).or_insert_with(|| {
                    all.slots.push(Slot { disk, index, versions: Vec::new() });
                    all.slots.len() - 1
                });
                all.slots[slot].versions.push(block);
                let version = all.slots[slot].versions.len();
                steps.push((time, BlockWrite { slot, version, write: time }));
            }
            all.durable.push(durable);
        }
        steps.sort_by_key(|(time, _)| *time);
        all.steps = steps.into_iter().map(|(_, step)| step).collect();
        all
    }

    /// How many combinations there are, if not too many.
    fn combinations(&self) -> Option<usize> {
        self.slots.iter().try_fold(1_usize, |product, slot| {
            product.checked_mul(slot.versions.len() + 1).filter(|product| *product <= EXHAUSTIVE)
        })
    }

    /// The combinations to show: of each slot the version that is there.
    fn choices(&self, at: usize) -> Vec<Vec<usize>> {
        match self.combinations() {
            Some(count) => (0..count).map(|number| self.digits(number)).collect(),
            None => self.telling_choices(at),
        }
    }

    /// `number` written with one digit a slot.
    fn digits(&self, mut number: usize) -> Vec<usize> {
        let digit = |slot: &Slot| {
            let base = slot.versions.len() + 1;
            let digit = number % base;
            number /= base;
            digit
        };
        self.slots.iter().map(digit).collect()
    }

    fn telling_choices(&self, at: usize) -> Vec<Vec<usize>> {
        let nothing = vec![0; self.slots.len()];
        let done = |steps: &mut dyn Iterator<Item = &BlockWrite>| {
            let mut choice = nothing.clone();
            steps.for_each(|step| choice[step.slot] = step.version);
            choice
        };
        let mut choices = Vec::new();
        let mut writes: Vec<usize> = self.steps.iter().map(|step| step.write).collect();
        writes.dedup();
        if writes.len() <= WHOLE_WRITES {
            for subset in 0..1_usize << writes.len() {
                let there =
                    |write| writes.iter().position(|w| *w == write).is_some_and(|bit| subset >> bit & 1 == 1);
                choices.push(done(&mut self.steps.iter().filter(|step| there(step.write))));
            }
        }
        let all = done(&mut self.steps.iter());
        for cut in 0..=self.steps.len() {
            choices.push(done(&mut self.steps[..cut].iter()));
            choices.push(done(&mut self.steps[cut..].iter()));
        }
        for step in &self.steps {
            choices.push(done(&mut std::iter::once(step)));
            let mut missing = all.clone();
            missing[step.slot] = step.version - 1;
            choices.push(missing);
        }
        let mut random = XorShift::new(at);
        for _ in 0..SAMPLES {
            choices.push(self.slots.iter().map(|slot| random.below(slot.versions.len() + 1)).collect());
        }
        let mut seen = HashSet::new();
        choices.retain(|choice| seen.insert(choice.clone()));
        choices
    }

    fn image(&self, choice: &[usize]) -> Vec<Image> {
        let mut images = self.durable.clone();
        for (slot, version) in self.slots.iter().zip(choice) {
            if let Some(newer) = version.checked_sub(1) {
                images[slot.disk].set_block(slot.index, Arc::clone(&slot.versions[newer]));
            }
        }
        images
    }
}

/// What is durable on one disk after `at` operations of the timeline, and what was written besides.
fn settle(disk: &MemDisk, at: usize) -> (Image, Vec<Written>) {
    let state = disk.state();
    let mut durable = state.initial.clone();
    let mut pending: Vec<Written> = Vec::new();
    // Pending blocks before this position were there when a flush failed: no later flush settles them.
    let mut in_doubt = 0;
    for (time, op) in state.ops.iter().take_while(|(time, _)| *time < at) {
        match op {
            Op::Write(blocks) => {
                pending.extend(blocks.iter().map(|(index, block)| (*time, *index, Arc::clone(block))));
            }
            Op::Flush { done: false } => in_doubt = pending.len(),
            Op::Flush { done: true } => {
                let settled = pending.split_off(in_doubt);
                for (_, index, block) in settled {
                    // What was written before the durable block is gone for good.
                    pending.retain(|(_, older, _)| *older != index);
                    durable.set_block(index, block);
                }
                in_doubt = pending.len();
            }
        }
    }
    (durable, pending)
}

/// Marsaglia's xorshift: enough to pick samples, the same ones for a seed and an instant.
struct XorShift(u64);

impl XorShift {
    fn new(at: usize) -> Self {
        let mixed = u64::try_from(at).unwrap_or(0).wrapping_add(seed()).wrapping_add(1);
        Self(mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let bound = u64::try_from(bound).unwrap_or(1).max(1);
        usize::try_from((self.0 >> 33) % bound).unwrap_or(0)
    }
}
