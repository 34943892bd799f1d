//! A transaction as a whole: all requests are validated, then their steps are put in order.

use std::collections::BTreeSet;

use super::draft::Draft;
use super::sequence::Sequence;
use super::space;
use crate::effect::{Already, Effect};
use crate::observed::Observed;
use crate::plan::{Outcome, Plan, Planned, Step};
use crate::refusal::Refusal;
use crate::request::Request;
use base::ids::LvName;
use dm::name::{DmName, Layer};
use lvm2::format::metadata::Metadata;

/// Decides everything that the requests come to, as one transaction.
///
/// # Errors
/// All requests that cannot be carried out, and why; nothing is planned then. What builds on a refused request is
/// refused, too.
pub fn plan(metadata: &Metadata, observed: &Observed, requests: &[Request]) -> Result<Plan, Refusal> {
    let mut draft = Draft::new(metadata, observed);
    if let [request] = requests
        && let Some(plan) = space::plan(&mut draft, request)
    {
        return plan.map_err(|refusal| refusal.of_request(0));
    }
    validate_all(&mut draft, requests)?;
    draft.check_discarded()?;
    let removed: Vec<LvName> = draft.removed.iter().cloned().collect();
    removed.iter().for_each(|name| draft.say_what_stays(name));
    let mut sequence = Sequence::new(&draft);
    if !draft.edits.is_empty() {
        sequence.change()?;
    }
    sequence.deactivations()?;
    sequence.activations()?;
    sequence.stop_idle_pools()?;
    sequence.leave_idle_grounds()?;
    sequence.watch_again();
    sequence.zero()?;
    sequence.take_down_spare();
    sequence.say_what_stays_active();
    let mut plan = sequence.plan;
    plan.left.splice(0..0, draft.left);
    plan.outcomes = draft.outcomes;
    say_what_is_so_already(&mut plan);
    let is_left = |outcome: &Outcome| plan.left.iter().any(|left| left.concerns(outcome));
    plan.outcomes.retain(|outcome| !is_left(outcome));
    plan.warnings.extend(draft.warnings);
    Ok(plan)
}

/// What was to be activated or deactivated and has no step of its devices is so already.
fn say_what_is_so_already(plan: &mut Plan) {
    let mut touched = BTreeSet::new();
    devices_of(&plan.steps, &mut touched);
    for outcome in &mut plan.outcomes {
        let already = match outcome.effect {
            Effect::Activated => Already::Active,
            Effect::Deactivated => Already::Inactive,
            _ => continue,
        };
        let layers = [Layer::Plain, Layer::Tpool];
        let mut names = layers.iter().filter_map(|layer| DmName::of_lv(&plan.vg, &outcome.name, *layer).ok());
        if !names.any(|name| touched.contains(&name)) {
            outcome.effect = Effect::Unchanged { already };
        }
    }
}

/// The names of the devices that come, go or get another table.
fn devices_of(steps: &[Planned], names: &mut BTreeSet<DmName>) {
    for planned in steps {
        match &planned.step {
            Step::CreateDevice(spec) | Step::ReloadDevice(spec) | Step::RemoveDevice(spec) => {
                names.insert(spec.name.clone());
            }
            Step::Apart(apart) => devices_of(&apart.steps, names),
            _ => {}
        }
    }
}

/// Takes all requests in, or says of all that are refused why.
fn validate_all(draft: &mut Draft<'_>, requests: &[Request]) -> Result<(), Refusal> {
    let mut refused = Vec::new();
    for (place, request) in requests.iter().enumerate() {
        let (before, left) = (draft.outcomes.len(), draft.left.len());
        match request {
            Request::ActivateAll { .. } => draft.all_up = place,
            Request::DeactivateAll => draft.all_down = Some(place),
            _ => {}
        }
        refused.extend(draft.validate(request).err().map(|refusal| refusal.of_request(place)));
        draft.outcomes.iter_mut().skip(before).for_each(|outcome| outcome.request = place);
        draft.left.iter_mut().skip(left).for_each(|left| left.request = place);
    }
    let mut refused = refused.into_iter();
    match refused.next() {
        Some(first) => Err(Refusal { others: refused.collect(), ..first }),
        None => Ok(()),
    }
}
