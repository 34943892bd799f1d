//! The scripts on the model of the kernel. `THINVOL_BLESS=1` writes down what they show now; read the
//! difference before it is committed, and run the cases `scripts::` on a real kernel.

use std::path::Path;

use anyhow::{Context, Result};
use dm_tests::golden;
use dm_tests::scripts::all::SCRIPTS;
use dm_tests::scripts::machine::SimMachine;
use dm_tests::scripts::runner::transcript;

#[test]
fn scripts_show_what_is_written_in_them() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scripts/text");
    let mut differ = Vec::new();
    for script in SCRIPTS {
        let shown = transcript(&mut SimMachine::default(), script.text).with_context(|| script.name)?;
        let file = folder.join(format!("{}.txt", script.name));
        differ.extend(golden::check(&file, &shown).err());
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    Ok(())
}

#[test]
fn every_script_file_is_run() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scripts/text");
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.file_name();
        let known = SCRIPTS.iter().any(|script| file.to_str() == Some(&format!("{}.txt", script.name)));
        assert!(known, "{file:?} is not in the list of scripts");
    }
    Ok(())
}
