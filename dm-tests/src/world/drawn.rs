//! Batches drawn at random from the single changes that are listed: two to four requests of any kinds, in any order.

use thin::internals::request::Request;

use super::asks::Start;
use super::changes::{activations, alterations, creates, removals, snapshots};
use super::lv;
use crate::random::Random;

/// The single requests that are listed for a pool in use.
fn singles() -> Vec<Request> {
    let listed = [creates(), snapshots(), removals(), alterations(), activations()].into_iter().flatten();
    listed.filter(|(_, start, _)| *start == Start::Used).flat_map(|(_, _, requests)| requests).collect()
}

/// The batch of that seed. It may be one that is refused: the same volume removed twice, say.
pub fn batch(seed: u32) -> Vec<Request> {
    let mut random = Random::new(&format!("batch {seed}"));
    let singles = singles();
    let count = 2 + random.below(3);
    let drawn = (0..count).filter_map(|place| {
        let mut request = random.pick(&singles)?.clone();
        // New names are new.
        match &mut request {
            Request::Create { name, .. } | Request::Snapshot { name, .. } => *name = lv(&format!("n{place}")),
            Request::Rename { to, .. } => *to = lv(&format!("z{place}")),
            _ => {}
        }
        Some(request)
    });
    drawn.collect()
}
