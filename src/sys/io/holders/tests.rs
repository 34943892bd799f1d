use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

const DEV: DevNo = DevNo { major: 253, minor: 7 };

/// A made-up `/proc` and `/sys`, in which a link or file named `/dev/dm-<n>` means device 253:n.
struct Tree {
    root: TempDir,
}

impl Tree {
    fn new() -> Self {
        let tree = Self { root: tempfile::tempdir().unwrap() };
        symlink("mnt:[1]", tree.file("proc/self/ns/mnt")).unwrap();
        tree
    }

    fn file(&self, path: &str) -> PathBuf {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.file(path), text).unwrap();
    }

    fn process(&self, pid: u32, comm: &str, namespace: &str) {
        self.write(&format!("proc/{pid}/comm"), &format!("{comm}\n"));
        symlink(namespace, self.file(&format!("proc/{pid}/ns/mnt"))).unwrap();
    }

    fn search(&self, limit: Duration) -> Vec<Holder> {
        let proc = self.root.path().join("proc");
        let sys = self.root.path().join("sys");
        let device_at = |path: &Path| {
            let target = fs::read_link(path).unwrap_or(path.to_owned());
            let minor = target.to_str()?.strip_prefix("/dev/dm-")?.parse().ok()?;
            Some(DevNo { major: 253, minor })
        };
        let deadline = Instant::now() + limit;
        Search { proc: &proc, sys: &sys, device_at: &device_at, deadline }.run(DEV)
    }

    fn found(&self) -> Vec<String> {
        self.search(Duration::from_secs(600)).iter().map(Holder::to_string).collect()
    }
}

#[test]
fn nothing_is_found_where_nothing_is() {
    assert_eq!(Tree::new().found(), Vec::<String>::new());
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(Tree { root: empty }.found(), Vec::<String>::new());
}

#[test]
fn stacked_devices_go_by_their_device_mapper_name() {
    let tree = Tree::new();
    tree.write("sys/dev/block/253:7/holders/dm-9/dm/name", "pve-x\n");
    tree.write("sys/dev/block/253:7/holders/dm-9/dev", "253:9\n");
    tree.write("sys/dev/block/253:7/holders/md0/dev", "9:0\n");
    tree.write("sys/dev/block/253:8/holders/dm-3/dm/name", "other\n");
    assert_eq!(tree.found(), ["device md0 (9:0)", "device pve-x (253:9)"]);
}

#[test]
fn mounts_are_found_by_number_by_source_and_in_other_namespaces() {
    let tree = Tree::new();
    tree.write(
        "proc/self/mountinfo",
        "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
         30 22 253:7 / /mnt/a\\040b rw,noatime shared:9 master:2 - ext4 /dev/mapper/x rw\n\
         31 22 0:40 / /mnt/btrfs rw - btrfs /dev/dm-7 rw\n\
         32 22 253:70 / /mnt/no rw - ext4 /dev/dm-70 rw\n\
         broken\n",
    );
    tree.process(10, "same-namespace", "mnt:[1]");
    tree.write("proc/10/mountinfo", "9 9 253:7 / /never/asked rw - ext4 x rw\n");
    tree.process(11, "container", "mnt:[2]");
    tree.write(
        "proc/11/mountinfo",
        "40 1 253:7 / /data rw - ext4 x rw\n41 1 253:7 / /mnt/btrfs rw - ext4 x rw\n",
    );
    tree.process(12, "child", "mnt:[2]");
    tree.write("proc/12/mountinfo", "40 1 253:7 / /data rw - ext4 x rw\n");
    let expected = [
        "the file system mounted on /data in the mount namespace of process 11 (container)",
        "the file system mounted on /mnt/a b",
        "the file system mounted on /mnt/btrfs",
    ];
    // Either process of the second namespace may be the one that is asked.
    let found: Vec<String> =
        tree.found().iter().map(|holder| holder.replace("12 (child)", "11 (container)")).collect();
    assert_eq!(found, expected);
}

#[test]
fn swap_and_loop_devices_are_found() {
    let tree = Tree::new();
    tree.write(
        "proc/swaps",
        "Filename\t\t\tType\t\tSize\tUsed\tPriority\n/dev/dm-7      partition\t1\t0\t-2\n",
    );
    tree.write("sys/block/loop0/loop/backing_file", "/dev/dm-7\n");
    tree.write("sys/block/loop1/loop/backing_file", "/dev/dm-8\n");
    tree.write("sys/block/sda/size", "1\n");
    assert_eq!(tree.found(), ["the kernel, as swap", "loop device loop0"]);
    tree.write("proc/swaps", "Filename\n/dev/dm-8 partition 1 0 -2\n");
    assert_eq!(tree.found(), ["loop device loop0"]);
}

#[test]
fn processes_are_named_once_each_and_the_search_stops_in_time() {
    let tree = Tree::new();
    tree.process(20, "qemu-kvm", "mnt:[1]");
    for fd in ["3", "4"] {
        symlink("/dev/dm-7", tree.file(&format!("proc/20/fd/{fd}"))).unwrap();
    }
    tree.process(21, "cat", "mnt:[1]");
    symlink("/dev/dm-8", tree.file("proc/21/fd/0")).unwrap();
    symlink("socket:[7]", tree.file("proc/21/fd/1")).unwrap();
    assert_eq!(tree.found(), ["process 20 (qemu-kvm)"]);
    assert_eq!(tree.search(Duration::ZERO), []);
}

#[test]
fn the_real_system_can_be_searched() {
    // What is found depends on the machine; no device has this number.
    assert_eq!(holders(DevNo { major: 4095, minor: 1_048_575 }), []);
}
