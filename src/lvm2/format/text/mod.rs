//! LVM2's text format, read without losing a byte: metadata on disk, backup files, `lvm.conf`.
//!
//! Grammar: lvm2 `libdm/config/libdm-config.c`. A [`Document`] keeps every byte it was parsed from in one
//! buffer and its nodes are spans into it, so an unchanged tree gives back exactly what came in, and a change
//! costs only the text it adds. [`Section`] is the view to read from; `docs/on-disk.md` describes the
//! layouts.

mod document;
mod edit;
mod layout;
mod parse;
mod runs;
mod section;
mod value;

pub use document::{Document, NodeId, Taken};
pub use layout::Layout;
pub(crate) use layout::{Lines, TimeComments, comment_gap, size_comment, time_comment};
pub(crate) use parse::BETWEEN_CLOSED;
pub use parse::TextError;
pub use section::{FieldError, Section};
pub use value::{Value, quote};

#[cfg(test)]
mod tests;
