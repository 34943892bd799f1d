//! The engine's scripts, `scripts-engine/*.txt`: what each request comes to, with the plan, the ioctls, the number of
//! commits and the state afterwards. `THINVOL_BLESS=1` writes the output anew; the commands are the lines that start
//! with `> `, the comments those that start with `#`.

use std::fs;
use std::path::{Path, PathBuf};

use dm_tests::golden;
use dm_tests::world::script::play;
use libtest_mimic::{Arguments, Failed, Trial};

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts-engine");
    let entries = fs::read_dir(&folder).expect("the folder of scripts can be read");
    let mut scripts: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    scripts.sort();
    scripts
}

fn check(path: &Path) -> Result<(), Failed> {
    let script = fs::read_to_string(path)?;
    Ok(golden::check(path, &play(&script)?)?)
}

fn main() {
    let scripts = scripts();
    assert!(scripts.len() > 10, "only {} scripts were found", scripts.len());
    let trial = |path: PathBuf| {
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        Trial::test(name, move || check(&path))
    };
    libtest_mimic::run(&Arguments::from_args(), scripts.into_iter().map(trial).collect()).exit();
}
