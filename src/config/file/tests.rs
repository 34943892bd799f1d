use super::*;
use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

const WAIT: Duration = Duration::from_millis(60);

fn write_new(file: &ConfigFile, text: &str) -> Result<(), FileError> {
    file.update(WAIT, |_| Ok(text.as_bytes().to_vec()))
}

fn named(path: &Path) -> ConfigFile {
    ConfigFile::choose(Some(path))
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_whole_and_keeps_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("storage.cfg");
    fs::write(&path, "dir: local\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    let file = named(&path);
    let reader = File::open(&path).unwrap();
    write_new(&file, "new\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o604);
    assert_eq!(io::read_to_string(reader).unwrap(), "dir: local\n");
    assert_eq!(names(dir.path()), ["storage.cfg"]);
}

#[test]
fn a_link_is_followed_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().join("real");
    let link = dir.path().join("storage.cfg");
    fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    write_new(&named(&link), "x\n").unwrap();
    assert_eq!(fs::read_to_string(&real).unwrap(), "x\n");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn what_is_not_changed_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("storage.cfg");
    fs::write(&path, "# same").unwrap();
    let before = fs::metadata(&path).unwrap().ino();
    write_new(&named(&path), "# same").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
}

#[test]
fn a_refused_edit_leaves_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("storage.cfg");
    fs::write(&path, "old").unwrap();
    let refuse = |_: &StorageCfg| Err(io_error("do it to", Path::new("/x"))(io::Error::other("no")));
    assert!(named(&path).update(WAIT, refuse).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(names(dir.path()), ["storage.cfg"]);
}

#[test]
fn a_file_that_was_named_must_be_there_to_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = named(&dir.path().join("storage.cfg"));
    let error = file.read().unwrap_err();
    assert!(error.to_string().starts_with("cannot read '"), "{error}");
    write_new(&file, "dir: local\n").unwrap();
    assert_eq!(file.read().unwrap().sections().len(), 1);
    let nobodys = ConfigFile { named: false, ..named(&dir.path().join("other")) };
    assert_eq!(nobodys.read().unwrap().sections().len(), 0);
}

#[test]
fn a_file_beyond_all_sizes_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("storage.cfg");
    File::create(&path).unwrap().set_len(LARGEST_BYTES + 1).unwrap();
    assert!(matches!(named(&path).read(), Err(FileError::TooLarge { .. })));
}

#[test]
fn a_locked_directory_is_waited_for_and_the_holder_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("storage.cfg");
    let held = DirectoryLock::take(dir.path(), WAIT).unwrap();
    let error = write_new(&named(&path), "x").unwrap_err().to_string();
    assert!(error.contains("is locked by ") && error.contains("this very process"), "{error}");
    drop(held);
    write_new(&named(&path), "x").unwrap();
}

#[test]
fn the_cluster_lock_is_a_directory_that_one_can_make() {
    let root = tempfile::tempdir().unwrap();
    let file = ConfigFile::in_cluster(root.path());
    let error = write_new(&file, "x").unwrap_err().to_string();
    assert!(error.starts_with("pve cluster filesystem not online"), "{error}");
    fs::create_dir(root.path().join("priv")).unwrap();
    write_new(&file, "x").unwrap();
    assert_eq!(names(&root.path().join("priv/lock")), Vec::<String>::new());
    let held = ClusterLock::take(root.path(), Path::new("storage.cfg"), WAIT).unwrap();
    let error = write_new(&file, "y").unwrap_err().to_string();
    assert!(error.contains("file-storage_cfg' is locked by another process of this cluster"), "{error}");
    drop(held);
    assert_eq!(fs::read_to_string(root.path().join("storage.cfg")).unwrap(), "x");
}

#[test]
fn no_quorum_is_told_as_such_and_not_waited_for() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("priv/lock")).unwrap();
    let local = root.path().join("local");
    fs::write(&local, "").unwrap();
    let _held = ClusterLock::take(root.path(), Path::new("storage.cfg"), WAIT).unwrap();
    let error = || ClusterLock::take(root.path(), Path::new("storage.cfg"), WAIT).unwrap_err();
    assert!(matches!(error(), LockError::Timeout { .. }));
    fs::set_permissions(&local, fs::Permissions::from_mode(0o555)).unwrap();
    assert!(matches!(error(), LockError::NoQuorum { .. }));
    assert!(error().to_string().starts_with("no quorum"));
}

#[test]
fn many_writers_lose_no_update() {
    let dir = tempfile::tempdir().unwrap();
    let file = named(&dir.path().join("storage.cfg"));
    let append = |n: u32| {
        file.update(Duration::from_secs(60), |config| {
            Ok::<_, FileError>([config.lines().text(), format!("# {n}\n").as_bytes()].concat())
        })
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..4).map(|n| scope.spawn(move || (0..10).try_for_each(|_| append(n)))).collect();
        for worker in workers {
            worker.join().unwrap().unwrap();
        }
    });
    assert_eq!(fs::read_to_string(file.path()).unwrap().lines().count(), 40);
}

/// What leads to the file of the cluster takes the cluster's lock, however it is spelt; its own directory's lock would
/// not keep other nodes off.
#[test]
fn every_path_to_the_cluster_takes_its_lock() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("pve");
    fs::create_dir_all(root.join("priv/lock/file-storage_cfg")).unwrap();
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(root.join("storage.cfg"), "").unwrap();
    let link = |from: &str, to: &Path| {
        let path = dir.path().join(from);
        std::os::unix::fs::symlink(to, &path).unwrap();
        path
    };
    let paths = [
        root.join("storage.cfg"),
        root.join("sub/../storage.cfg"),
        link("to-file", &root.join("storage.cfg")),
        link("to-dir", &root).join("storage.cfg"),
        link("relative", Path::new("pve/storage.cfg")),
        link("chain", &dir.path().join("relative")),
    ];
    for path in paths {
        let file = ConfigFile { path: path.clone(), cluster: root.clone(), named: true };
        let error = write_new(&file, "x").unwrap_err().to_string();
        assert!(error.contains("file-storage_cfg' is locked"), "{}: {error}", path.display());
    }
    let other = ConfigFile { path: root.join("sub/a.cfg"), cluster: root.clone(), named: true };
    fs::create_dir(root.join("priv/lock/file-sub_a_cfg")).unwrap();
    assert!(write_new(&other, "x").unwrap_err().to_string().contains("file-sub_a_cfg' is locked"));
    let outside = ConfigFile { path: dir.path().join("storage.cfg"), cluster: root.clone(), named: true };
    write_new(&outside, "x").unwrap();
}

#[test]
fn a_link_to_nothing_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("storage.cfg");
    fs::create_dir(dir.path().join("there")).unwrap();
    std::os::unix::fs::symlink("there/real", &link).unwrap();
    write_new(&named(&link), "x\n").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(dir.path().join("there/real")).unwrap(), "x\n");
    let circle = dir.path().join("circle");
    std::os::unix::fs::symlink("circle", &circle).unwrap();
    assert!(write_new(&named(&circle), "x").is_err());
}

#[test]
fn what_is_no_regular_file_is_neither_replaced_nor_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let device = dir.path().join("device");
    std::os::unix::fs::symlink("/dev/full", &device).unwrap();
    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (path, is) in [
        (fifo.as_path(), "a FIFO"),
        (dir.path(), "a directory"),
        (&device, "a device"),
        (&socket, "a socket"),
        (Path::new("/"), "a directory"),
    ] {
        let error = write_new(&named(path), "x").unwrap_err().to_string();
        assert!(error.contains(&format!("is {is}, not a configuration file")), "{error}");
        assert!(path == socket || named(path).read().unwrap_err().to_string().contains(is));
        assert!(!fs::metadata(path).unwrap().is_file(), "{} was replaced", path.display());
    }
    let error = write_new(&named(Path::new("/dev/null")), "x").unwrap_err().to_string();
    assert_eq!(error, "'/dev/null' is a device, not a configuration file");
    assert_eq!(named(Path::new("/dev/null")).read().unwrap().sections().len(), 0, "it is empty, and no more");
}
