//! The layers inside the crates of src/ (Cargo keeps those between them): a module uses only modules below it, and pure
//! modules touch nothing outside memory.

use crate::paths;
use crate::tree::File;

/// Modules with their levels: a module uses its own level and those below. The last column says whether it is
/// pure: no I/O, clock, randomness, environment.
const LAYERS: &[(u32, &str, bool)] = &[
    // L0: what everything speaks in.
    (1, "base::units", true),
    (1, "base::bytes", true),
    (2, "base::ids", true),
    (2, "base::error_chain", true),
    (2, "base::first_few", true),
    (2, "base::error_kind", true),
    (3, "sys", false),
    // L1: block devices.
    (10, "sys::io", false),
    // L2: formats and tables.
    (22, "config", true),
    (20, "lvm2::format::text", true),
    (20, "lvm2::format::label", true),
    (21, "lvm2::format::mda", true),
    (22, "lvm2::format::model", true),
    (23, "lvm2::format::pool_size", true),
    (23, "lvm2::format::allocation", true),
    (23, "lvm2::format::check", true),
    (23, "lvm2::format::volume_list", true),
    (20, "lvm2::format::monitoring", true),
    (24, "lvm2::format::edit", true),
    (25, "lvm2::format::metadata", true),
    (20, "dm::words", true),
    (20, "dm::name", true),
    (21, "dm::table", true),
    (21, "dm::status", true),
    (21, "dm::message", true),
    (21, "thin::meta", true),
    (20, "iscsi::protocol::name", true),
    (20, "iscsi::protocol::net_interface", true),
    (20, "iscsi::protocol::text", true),
    (20, "iscsi::protocol::status", true),
    (21, "iscsi::protocol::portal", true),
    (21, "iscsi::protocol::pdu", true),
    (21, "iscsi::protocol::chap", true),
    (21, "iscsi::protocol::params", true),
    (22, "iscsi::protocol::login", true),
    (22, "iscsi::protocol::targets", true),
    (23, "iscsi::protocol::listing", true),
    (22, "iscsi::protocol::wwid", true),
    (23, "iscsi::protocol::interface", true),
    (24, "iscsi::protocol::settings", true),
    (24, "iscsi::watch", true),
    // The port to the kernel: its words and the trait, no implementation.
    (25, "dm::kernel", true),
    // L3: decisions.
    (31, "thin::request", true),
    (30, "thin::pool_rules", true),
    (30, "thin::refusal", true),
    (34, "thin::error", true),
    (31, "thin::changes", true),
    (30, "thin::effect", true),
    (31, "thin::lineage", true),
    (31, "thin::making", true),
    (31, "thin::allocate", true),
    (31, "thin::stack", true),
    (31, "thin::wipe", true),
    (32, "thin::plan", true),
    (33, "thin::report", true),
    (33, "thin::observed", true),
    (34, "thin::condition", true),
    (34, "thin::pool_check", true),
    (35, "thin::pool_health", true),
    (35, "thin::watch", true),
    (46, "thin::view", false),
    (44, "thin::transfer", false),
    (35, "thin::planner", true),
    (35, "thin::forecast", true),
    // L4: the outside.
    (42, "lvm2::host::conf", false),
    (41, "iscsi::host::limit", false),
    (41, "iscsi::host::initiator", false),
    (42, "iscsi::host::chap_file", false),
    (42, "iscsi::host::connection", false),
    (43, "iscsi::host::discover", false),
    (41, "dm::udev", false),
    (42, "dm::ioctl", false),
    (42, "dm::sim", false),
    (41, "lvm2::host::devices", false),
    (42, "lvm2::host::lock", false),
    (41, "iscsi::host::coexist", false),
    (42, "iscsi::host::netlink", false),
    (42, "iscsi::host::sysfs", false),
    (43, "iscsi::host::iscsiadm", false),
    (43, "iscsi::host::transport", false),
    (43, "iscsi::host::registry", false),
    (44, "iscsi::session", false),
    (45, "iscsi::supervisor", false),
    (45, "iscsi::initiator", false),
    (45, "iscsi::storage", false),
    (42, "lvm2::host::backup", false),
    (42, "lvm2::host::dmeventd", false),
    (43, "config::file", false),
    (43, "lvm2::host::filter", false),
    (43, "lvm2::host::hints", false),
    (43, "lvm2::format::placement", false),
    (44, "lvm2::host::store", false),
    (44, "lvm2::host::fixture", false),
    (45, "lvm2::host::scan", false),
    (45, "thin::ports", false),
    (45, "thin::udev_role", false),
    (46, "thin::observe", false),
    (46, "thin::pool_reader", false),
    (46, "thin::store", false),
    (46, "thin::backup_store", false),
    (46, "thin::open_vg", false),
    (46, "thin::groups", false),
    (46, "thin::metadata_header", false),
    // L5: execution.
    (51, "thin::exec", false),
    (50, "thin::suspended_window", false),
    (51, "thin::host", false),
    (52, "thin::session", false),
    (53, "thin::engine", false),
    (54, "thin::monitor", false),
    (55, "thin::internals", false),
    // L6: the command.
    (60, "cli", false),
    (70, "udev_events", false),
    (71, "main", false),
];

/// What pure code may not mention.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "std::thread",
    "SystemTime",
    "Instant",
    "getrandom",
    "libc::",
    "nix::fcntl",
    "nix::mount",
    "nix::sys",
    "nix::unistd",
];

/// The macros that print.
const PRINTING: &[&str] = &["println!", "eprintln!", "print!", "eprint!", "dbg!"];

/// The layer of a module path, by its longest known prefix.
fn layer(module: &[String]) -> Option<&'static (u32, &'static str, bool)> {
    (1..=module.len().min(3)).rev().find_map(|length| {
        let name = module.get(..length)?.join("::");
        LAYERS.iter().find(|layer| layer.1 == name)
    })
}

/// Whether the file is part of the product: a crate's `lib.rs` and a folder's `mod.rs` in it only declare.
fn is_layered(file: &File) -> bool {
    let declares = file.path.ends_with("/lib.rs")
        || file.path.matches('/').count() == 3 && file.path.ends_with("/mod.rs");
    file.path.starts_with("src/") && file.is_rust() && !declares
}

/// Uses of a module that is not below the user.
pub fn upward_uses(file: &File) -> Vec<String> {
    if !is_layered(file) {
        return Vec::new();
    }
    let module = paths::module_of(&file.path);
    let Some(own) = layer(&module) else {
        return vec![
            file.violation(1, "this module is in no layer; give it one in dm-tests/tests/tidy/layers.rs"),
        ];
    };
    let mut violations = Vec::new();
    for (line, path) in paths::used(&module, &file.product) {
        match layer(&path) {
            // A bare `crate::format` or a path of a child (`super::` inside it) has nothing to check.
            None => {}
            Some(other) if other.1 == own.1 || other.0 <= own.0 => {}
            Some(other) => {
                let what = format!("{} uses {}, which is not in a lower layer", own.1, other.1);
                violations.push(file.violation(line, &what));
            }
        }
    }
    violations
}

/// I/O, clocks, randomness and environment in pure modules.
pub fn impure_uses(file: &File) -> Vec<String> {
    if !is_layered(file) || !layer(&paths::module_of(&file.path)).is_some_and(|layer| layer.2) {
        return Vec::new();
    }
    mentions(file, IMPURE, "is not for a pure module")
}

/// Printing outside the command.
pub fn prints(file: &File) -> Vec<String> {
    let may_print = file.path.starts_with("src/cli") || file.path == "src/main.rs";
    if !file.path.starts_with("src/") || may_print {
        return Vec::new();
    }
    mentions(file, PRINTING, "prints, and only the command prints")
}

fn mentions(file: &File, words: &[&str], what: &str) -> Vec<String> {
    let mut violations = Vec::new();
    for (number, line) in file.product.lines().enumerate() {
        for word in words.iter().filter(|word| line.contains(**word)) {
            violations.push(file.violation(number + 1, &format!("{word} {what}")));
        }
    }
    violations
}
