//! Checks that the program as it is shipped contains no path of the machine that built it.
//!
//! The messages of panics name files of the source. Those of this workspace are relative; those of other crates are
//! below the folder of cargo, and Rust's own may be below that of rustup.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// Between the words of `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\u{1f}";

/// The folders that must not be named, and their replacements, as README.md has them for packages.
fn folders(workspace: &Workspace) -> Result<[(PathBuf, &'static str); 3]> {
    let of = |variable: &str, default: &str| {
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(default));
        let folder = std::env::var_os(variable).map(PathBuf::from).or_else(home);
        folder.with_context(|| format!("neither {variable} nor HOME is set"))
    };
    Ok([
        (of("CARGO_HOME", ".cargo")?, "/cargo"),
        (of("RUSTUP_HOME", ".rustup")?, "/rust"),
        (workspace.root.clone(), "/thinvol"),
    ])
}

/// The value of `CARGO_ENCODED_RUSTFLAGS` that replaces these folders.
pub fn flags(workspace: &Workspace) -> Result<OsString> {
    let mut flags = OsString::new();
    for (folder, name) in folders(workspace)? {
        if !flags.is_empty() {
            flags.push(SEPARATOR);
        }
        flags.push("--remap-path-prefix=");
        flags.push(folder);
        flags.push(format!("={name}"));
    }
    Ok(flags)
}

/// Checks that a program names none of them.
pub fn check(workspace: &Workspace, program: &Path) -> Result<()> {
    let bytes = std::fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    for (folder, _) in folders(workspace)? {
        if let Some(found) = named(&bytes, &folder) {
            bail!("{} names a path of the machine that built it: {found}", program.display());
        }
    }
    Ok(())
}

/// The first path below a folder that is in some bytes.
fn named(bytes: &[u8], folder: &Path) -> Option<String> {
    let start = [folder.as_os_str().as_encoded_bytes(), b"/"].concat();
    let at = bytes.windows(start.len()).position(|window| window == start)?;
    let path = bytes[at..].split(|byte| !byte.is_ascii_graphic()).next().unwrap_or_default();
    Some(String::from_utf8_lossy(path).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_wherever_it_is() {
        let folder = Path::new("/root/.cargo");
        let program = b"\x7fELF\0/root/.cargo/registry/src/nix/lib.rs\0end";
        assert_eq!(named(program, folder).unwrap(), "/root/.cargo/registry/src/nix/lib.rs");
        assert_eq!(named(b"/root/.cargofoo /cargo/registry /root/.cargo", folder), None);
        assert_eq!(named(b"", folder), None);
    }
}
