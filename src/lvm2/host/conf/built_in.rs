//! The defaults that the lvm2 of this host was built with: distributions choose different ones, and only lvm2 knows
//! them.
//!
//! It is asked once by `lvmconfig --typeconfig default`; the answer is kept below `/run` together with what identifies
//! the program, so that no other run starts a process.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::format::text::Document;

/// Where the program may be.
const PROGRAMS: [&str; 3] = ["/usr/sbin/lvm", "/sbin/lvm", "/usr/bin/lvm"];

/// The settings whose defaults are chosen when lvm2 is built. Source: lvm2 `configure.ac`.
const KEYS: [&str; 6] = [
    "devices/use_devicesfile",
    "global/locking_dir",
    "global/thin_check_executable",
    "global/thin_check_options",
    "global/thin_repair_executable",
    "global/thin_repair_options",
];

/// The file that keeps the answer.
const KEPT: &str = "lvm2-defaults";

/// How long the answer is waited for.
const LIMIT: Duration = Duration::from_secs(10);

/// How often to check whether it is there.
const LOOK: Duration = Duration::from_millis(5);

/// How long an answer may be.
const MAX_ANSWER: u64 = 16 << 10;

/// The defaults of this host's lvm2 as a configuration text; `None` if there is no lvm2, or it does not answer. The
/// answer is kept in `state_dir`.
pub fn built_in(state_dir: &Path) -> Option<String> {
    PROGRAMS.iter().map(PathBuf::from).find_map(|program| of(&program, &state_dir.join(KEPT)))
}

/// The same of one program; `None` if it does not exist, too.
fn of(program: &Path, kept: &Path) -> Option<String> {
    let mark = identity(program).ok()?;
    let known = fs::read_to_string(kept).ok();
    if let Some(text) = known.as_deref().and_then(|text| text.strip_prefix(mark.as_str())) {
        return Some(text.to_owned());
    }
    match ask(program) {
        Ok(answer) => {
            let text = settings(&answer);
            if text.is_empty() {
                return None;
            }
            if let Err(error) = keep(kept, &format!("{mark}{text}")) {
                tracing::debug!(%error, "lvm2's defaults are asked for again next time");
            }
            Some(text)
        }
        Err(error) => {
            tracing::debug!(%error, program = %program.display(), "lvm2 does not tell its defaults");
            None
        }
    }
}

/// The first line of the file: a new version of the program is another file.
fn identity(program: &Path) -> io::Result<String> {
    let found = fs::metadata(program)?;
    Ok(format!(
        "# {} {} {} {} {}.{}\n",
        program.display(),
        found.dev(),
        found.ino(),
        found.len(),
        found.mtime(),
        found.mtime_nsec()
    ))
}

/// The output of the program, without the configuration of the host.
fn ask(program: &Path) -> io::Result<Vec<u8>> {
    let mut child = Command::new(program)
        .args(["lvmconfig", "--typeconfig", "default"])
        .args(KEYS)
        .env("LVM_SYSTEM_DIR", "")
        .env("LVM_SUPPRESS_FD_WARNINGS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let ended = wait(&mut child);
    if ended.is_err() {
        // Killed and reaped; if that fails there is nothing left to do about it.
        let _ = child.kill().and_then(|()| child.wait());
    }
    ended?;
    // A few lines: they are in the pipe by now, whole.
    let mut answer = Vec::new();
    if let Some(said) = &mut child.stdout {
        said.take(MAX_ANSWER).read_to_end(&mut answer)?;
    }
    Ok(answer)
}

/// An older lvm2 that does not know one of the settings tells the others, and fails.
fn wait(child: &mut Child) -> io::Result<()> {
    let deadline = Instant::now() + LIMIT;
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// The answer has the last part of each setting's name only, and a default that lvm.conf need not name is a comment.
fn settings(answer: &[u8]) -> String {
    let answer = String::from_utf8_lossy(answer);
    let bare = |line: &str| line.trim_start_matches(['#', ' ', '\t']).to_owned();
    let is_setting = |line: &String| line.split_once('=').is_some_and(|(name, _)| !name.contains(' '));
    let lines: Vec<String> = answer.lines().map(bare).filter(is_setting).collect();
    let Ok(answer) = Document::parse(lines.join("\n").as_bytes()) else { return String::new() };
    let line = |key: &&str| {
        let name = key.rsplit('/').next()?;
        let value = answer.value_text(answer.root().find(name)?)?;
        Some(format!("{key}={}\n", String::from_utf8_lossy(value)))
    };
    KEYS.iter().filter_map(line).collect()
}

/// A reader meanwhile sees all of it or nothing.
fn keep(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let new = path.with_extension(std::process::id().to_string());
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // A leftover file does no harm.
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_asked_once_for_each_of_its_versions() {
        let dir = tempfile::tempdir().unwrap();
        let (program, kept) = (dir.path().join("lvm"), dir.path().join("state/kept"));
        assert_eq!(of(&program, &kept), None, "there is none");
        let version = |options: &str| {
            let count = dir.path().join("asked");
            let script = format!(
                "#!/bin/sh\necho once >> {}\n[ -z \"$LVM_SYSTEM_DIR\" ] || exit 1\necho '# use_devicesfile=1'\n\
                 echo 'thin_check_options=[{options}]'\nexit 5\n",
                count.display()
            );
            // Another file, as a package manager puts one in place; and nobody here has it open for writing.
            let put = "printf %s \"$1\" > \"$2.new\" && chmod +x \"$2.new\" && mv \"$2.new\" \"$2\"";
            let put = Command::new("sh").args(["-c", put, "sh", &script]).arg(&program).status();
            assert!(put.unwrap().success());
        };
        let asked = || fs::read_to_string(dir.path().join("asked")).unwrap().lines().count();
        version("\"-q\"");
        let text = "devices/use_devicesfile=1\nglobal/thin_check_options=[\"-q\"]\n";
        assert_eq!(of(&program, &kept).as_deref(), Some(text));
        assert_eq!(of(&program, &kept).as_deref(), Some(text));
        assert_eq!(asked(), 1);
        let mode = fs::metadata(dir.path().join("state")).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o700, "what is kept below /run is root's alone, whatever the umask");
        version("\"-q\", \"--clear-needs-check-flag\"");
        assert!(of(&program, &kept).unwrap().contains("--clear-needs-check-flag"));
        assert_eq!(asked(), 2);
        fs::remove_dir_all(dir.path().join("state")).unwrap();
        fs::write(dir.path().join("state"), "").unwrap();
        assert!(of(&program, &kept).is_some(), "an answer that cannot be kept is used all the same");
    }
}
