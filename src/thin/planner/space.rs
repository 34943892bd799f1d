//! Changes of pools themselves, each a plan of its own.

use super::draft::Draft;
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::request::Request;

mod grow;
mod inspect;
mod make;
mod mend;
mod room;
mod set;
mod state;
mod unmake;

/// The plan of a change of a pool; nothing if it is another request.
pub(super) fn plan(draft: &mut Draft<'_>, request: &Request) -> Option<Result<Plan, Refusal>> {
    match request {
        Request::CreatePool(request) => Some(make::plan(draft, request)),
        Request::RemovePool(request) => Some(unmake::plan(draft, request)),
        Request::CheckPool { pool, clear_mark } => Some(inspect::plan(draft, pool, *clear_mark)),
        Request::RepairPool(request) => Some(mend::plan(draft, request)),
        Request::GrowPool(request) => Some(grow::plan(draft, request)),
        Request::SetPool(request) => Some(set::plan(draft, request)),
        _ => None,
    }
}
