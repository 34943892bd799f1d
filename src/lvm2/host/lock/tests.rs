use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::thread;

use nix::fcntl::{Flock, FlockArg};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

fn vg(name: &str) -> VgName {
    VgName::new(name).unwrap()
}

fn locks(dir: &Path, wait: Duration) -> Locks {
    Locks::new(dir, wait)
}

fn files_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What lvm2 does: sleeps in `flock` until it has the file that the name leads to; unlinks on release.
struct Sleeper(Option<Flock<File>>, PathBuf);

impl Sleeper {
    fn lock(path: &Path, how: FlockArg) -> Self {
        loop {
            let file = OpenOptions::new().read(true).append(true).create(true).open(path).unwrap();
            let file = Flock::lock(file, how).map_err(|(_, errno)| errno).unwrap();
            if file::is_same_file(path, &file).unwrap() {
                return Self(Some(file), path.to_owned());
            }
        }
    }

    fn dance(path: &Path, how: FlockArg) -> Self {
        let aux = PathBuf::from(format!("{}:aux", path.display()));
        let aux = Self::lock(&aux, FlockArg::LockExclusive);
        if how == FlockArg::LockExclusive {
            let lock = Self::lock(path, how);
            drop(aux);
            return lock;
        }
        drop(aux);
        Self::lock(path, how)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let file = self.0.take().unwrap().unlock().map_err(|(_, errno)| errno).unwrap();
        if let Ok(file) = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            && file::is_same_file(&self.1, &file).unwrap()
        {
            fs::remove_file(&self.1).unwrap();
        }
    }
}

/// Counts who is inside: -1 is a writer, n are readers.
#[derive(Default)]
struct Inside {
    state: AtomicI32,
    writes: AtomicU32,
}

impl Inside {
    fn write(&self) {
        assert_eq!(self.state.fetch_sub(1, Ordering::SeqCst), 0, "a writer was not alone");
        thread::yield_now();
        self.writes.fetch_add(1, Ordering::SeqCst);
        assert_eq!(self.state.fetch_add(1, Ordering::SeqCst), -1, "somebody joined a writer");
    }

    fn read(&self) {
        assert!(self.state.fetch_add(1, Ordering::SeqCst) >= 0, "a reader met a writer");
        thread::yield_now();
        assert!(self.state.fetch_sub(1, Ordering::SeqCst) > 0);
    }
}

fn contend(writers_first: bool) {
    const ROUNDS: u32 = 60;
    let dir = tempfile::tempdir().unwrap();
    let inside = Inside::default();
    let locks = locks(dir.path(), PATIENCE).prioritise_writers(writers_first);
    let path = dir.path().join("V_vg");
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let lock = locks.vg_for_write(&vg("vg")).unwrap();
                    assert!(lock.is_intact(), "locked a file that was unlinked");
                    inside.write();
                    assert!(lock.is_intact(), "the lock was unlinked while held");
                }
            });
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let lock = locks.vg_for_read(&vg("vg")).unwrap();
                    assert!(lock.file.is_current());
                    inside.read();
                    assert!(lock.file.is_current());
                }
            });
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let how = if round % 2 == 0 { FlockArg::LockExclusive } else { FlockArg::LockShared };
                    let lock =
                        if writers_first { Sleeper::dance(&path, how) } else { Sleeper::lock(&path, how) };
                    if round % 2 == 0 {
                        inside.write()
                    } else {
                        inside.read()
                    }
                    drop(lock);
                }
            });
        }
    });
    assert_eq!(inside.writes.load(Ordering::SeqCst), 3 * ROUNDS + 3 * ROUNDS / 2);
    assert_eq!(files_in(dir.path()), Vec::<String>::new(), "lock files are removed by the last holder");
}

#[test]
fn writers_are_alone_and_never_hold_an_unlinked_file() {
    contend(true);
}

#[test]
fn the_same_without_writer_priority() {
    contend(false);
}

#[test]
fn readers_share_and_a_writer_waits_for_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let now = locks(dir.path(), Duration::ZERO);
    let one = now.vg_for_read(&vg("vg")).unwrap();
    let two = now.vg_for_read(&vg("vg")).unwrap();
    assert_eq!(one.path(), two.path());
    assert!(now.vg_for_write(&vg("vg")).is_err());
    drop(one);
    assert!(now.vg_for_write(&vg("vg")).is_err());
    drop(two);
    let lock = now.vg_for_write(&vg("vg")).unwrap();
    assert_eq!(lock.vg(), &vg("vg"));
    assert!(now.vg_for_read(&vg("vg")).is_err());
    assert!(now.vg_for_write(&vg("other")).is_ok(), "another VG is another lock");
    assert_eq!(files_in(dir.path()), ["V_vg"], "no :aux file stays");
}

#[test]
fn a_waiting_writer_holds_off_new_readers() {
    let dir = tempfile::tempdir().unwrap();
    let reader = locks(dir.path(), PATIENCE).vg_for_read(&vg("vg")).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| locks(dir.path(), PATIENCE).vg_for_write(&vg("vg")).unwrap());
        let start = Instant::now();
        // It is there before it is locked.
        let place = dir.path().join("V_vg:aux");
        let is_locked = || match File::open(&place) {
            Ok(file) => Flock::lock(file, FlockArg::LockSharedNonblock).is_err(),
            Err(_) => false,
        };
        while !is_locked() {
            assert!(start.elapsed() < PATIENCE, "the writer never queued");
            thread::yield_now();
        }
        let aux = fs::metadata(dir.path().join("V_vg:aux")).unwrap().ino();
        assert!(locks(dir.path(), Duration::from_millis(50)).vg_for_read(&vg("vg")).is_err());
        assert_eq!(
            fs::metadata(dir.path().join("V_vg:aux")).unwrap().ino(),
            aux,
            "the writer kept its place"
        );
        drop(reader);
        let writer = writer.join().unwrap();
        assert!(writer.is_intact());
        assert!(!dir.path().join("V_vg:aux").exists(), "the place is given up once the lock is had");
    });
}

#[test]
fn a_timeout_names_the_process_that_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("V_vg");
    let mut child = Command::new("flock")
        .args(["--no-fork", "-x"])
        .arg(&path)
        .args(["sh", "-c", "echo locked; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("flock of util-linux");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");

    let error = locks(dir.path(), Duration::from_millis(30)).vg_for_write(&vg("vg")).unwrap_err();
    let text = error.to_string();
    let LockError::Timeout { path: shown, waited, holders } = error else { panic!("{text}") };
    assert_eq!(shown, path);
    assert!(waited >= Duration::from_millis(30));
    assert_eq!(holders.iter().map(|h| h.pid).collect::<Vec<_>>(), [child.id()]);
    assert!(text.contains(&format!("sh -c echo locked; read line (pid {})", child.id())), "{text}");

    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    child.wait().unwrap();
    locks(dir.path(), PATIENCE).vg_for_write(&vg("vg")).unwrap();
}

#[test]
fn a_lock_inherited_from_a_dead_process_is_traced_to_its_heir() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("V_vg");
    // The shell takes the lock by descriptor 9 and ends; the sleeper in the background keeps the descriptor.
    let script = "exec 9>>\"$0\"; flock -x 9; sleep 600 >/dev/null 2>&1 & echo $!";
    let output =
        Command::new("sh").args(["-c", script]).arg(&path).output().unwrap_or_else(|e| panic!("{e}"));
    let heir: u32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();

    let error = locks(dir.path(), Duration::ZERO).vg_for_write(&vg("vg")).unwrap_err();
    let LockError::Timeout { holders, .. } = error else { panic!("{error}") };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(heir.cast_signed()), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    assert_eq!(holders.iter().map(|h| h.pid).collect::<Vec<_>>(), [heir]);
    assert_eq!(holders[0].comm.as_deref(), Some("sleep"));
}

#[test]
fn our_own_lock_is_named_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let now = locks(dir.path(), Duration::ZERO);
    let _held = now.global(LockMode::Read).unwrap();
    let text = now.global(LockMode::Write).unwrap_err().to_string();
    assert!(text.contains("P_global' is locked by "), "{text}");
    assert!(text.contains("this very process"), "{text}");
}

#[test]
fn the_directory_is_made_for_root_alone() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("run/lock/lvm");
    let lock = locks(&deep, Duration::ZERO).vg_for_write(&vg("vg")).unwrap();
    assert_eq!(fs::metadata(&deep).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(lock.path()).unwrap().permissions().mode() & 0o077, 0);
}

#[test]
fn a_directory_that_cannot_be_used_is_an_error_not_a_wait() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = locks(&file.join("lvm"), PATIENCE).vg_for_write(&vg("vg")).unwrap_err();
    assert!(matches!(error, LockError::Io { .. }), "{error}");
}

#[test]
fn a_lock_deleted_behind_our_back_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let lock = locks(dir.path(), Duration::ZERO).vg_for_write(&vg("vg")).unwrap();
    fs::remove_file(lock.path()).unwrap();
    assert!(!lock.is_intact());
}
