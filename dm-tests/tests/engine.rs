//! The engine's scripts, `scripts-engine/*.txt`: what each request comes to, with the plan, the ioctls, the number of
//! commits and the state afterwards. `REWRITE_SCRIPTS=1` writes the output anew; the commands are the lines that start
//! with `> `, the comments those that start with `#`.

use std::fs;
use std::path::{Path, PathBuf};

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
    let played = play(&script)?;
    if played == script {
        return Ok(());
    }
    if std::env::var_os("REWRITE_SCRIPTS").is_some() {
        return Ok(fs::write(path, played)?);
    }
    let differs = |(_, (old, new)): &(usize, (&str, &str))| old != new;
    let at = script.lines().zip(played.lines()).enumerate().find(differs);
    let at = at.map_or("its length".into(), |(line, (old, new))| {
        format!("line {}:\n  was: {old}\n  now: {new}", line + 1)
    });
    Err(format!("the output differs from the script in {at}").into())
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
