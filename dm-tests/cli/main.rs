//! The command as a user meets it, where neither root nor device-mapper is needed: help, errors, parsing,
//! output.
//!
//! It is a test of the root package, because only there Cargo builds the binary for it. What the command
//! prints is compared with files kept here and with `docs/cli.md`; `THINVOL_BLESS=1 cargo test --test cli`
//! writes them anew, and fails.

mod configure;
mod forms;
#[path = "../src/golden.rs"]
mod golden;
#[path = "../src/json_form.rs"]
mod json_form;
mod man;
mod reference;
mod shells;
mod streams;
mod terminal;
mod transcripts;
