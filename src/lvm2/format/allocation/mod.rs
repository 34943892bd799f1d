//! Where new extents of logical volumes go: the free ones, and lvm2's order of taking them. Pure.
//!
//! Any free extents would be lawful; these are the ones that lvm2 2.03 takes under its default policy (`normal`), so
//! that a group looks the same whoever made its volumes. Source: lvm2 `lib/metadata/lv_manip.c` (`_allocate`,
//! `_find_some_parallel_space`), `lib/metadata/pv_map.c`, and what it does (case `pools::extents_are_those_of_lvm2`).

mod free;
mod take;
#[cfg(test)]
mod tests;

pub use free::Free;
pub use take::{NoRoom, Shape};
