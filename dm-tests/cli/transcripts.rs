//! Golden transcripts: what was typed, what came back, the exit code.

use crate::golden;
use crate::terminal::{repository, run, text};

/// The transcript of commands, given as a user types them; `''` is an empty argument.
fn transcript(commands: &[(&str, &str)]) -> String {
    let mut transcript = String::new();
    for (line, input) in commands {
        let arguments: Vec<String> = line
            .split(' ')
            .map(|word| match word {
                "''" => String::new(),
                "CFG" => repository().join(CONFIG).display().to_string(),
                word => word.to_owned(),
            })
            .filter(|_| !line.is_empty())
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = run(&arguments, input);
        transcript.push_str(&format!("$ thinvol {line}\n"));
        for (prefix, stream) in [("<< ", *input), ("", text(&output.stdout)), ("2> ", text(&output.stderr))] {
            for line in stream.lines() {
                let line = line.replace(&format!("{}/", repository().display()), "");
                let line = line.replace(&format!("on node '{}'", node()), "on node 'HERE'");
                transcript.push_str(format!("{prefix}{line}").trim_end());
                transcript.push('\n');
            }
        }
        let code = output.status.code().expect("the command is not killed");
        transcript.push_str(&format!("exit {code}\n\n"));
    }
    transcript
}

/// The name of this node.
fn node() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux tells");
    host.trim().split('.').next().unwrap_or_default().to_owned()
}

/// The configuration that commands are given as `CFG`.
const CONFIG: &str = "dm-tests/cli/storage.cfg";

fn check(name: &str, commands: &[(&str, &str)]) {
    let file = repository().join(format!("dm-tests/cli/golden/{name}.txt"));
    golden::check(&file, &transcript(commands)).unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn arguments_that_cannot_be_parsed() {
    check(
        "usage",
        &[
            ("snapshott", ""),
            ("free", ""),
            ("alloc pve/data 99 '' 8G", ""),
            ("alloc pve/data 100 ''", ""),
            ("list pve/data --vmid x", ""),
            ("list pve/data --units M", ""),
            ("list pve/data --tree -o size", ""),
            ("free pve/a --vmid 100", ""),
            ("free --storage pve/data", ""),
            ("free --name * --config CFG", ""),
            ("free -q -v pve/a", ""),
            ("snapshot --vmid 100", ""),
            ("snapshot --vmid 100 pve/a@daily", ""),
            ("rollback --tag gold @daily", ""),
            ("delete-snapshot --vmid 100 @", ""),
            ("free pve/a --lock-timeout -1", ""),
            ("path", ""),
            ("path --json", ""),
            ("snapshott --json", ""),
            ("alloc pve/data 100 '' 8G --json --dry", ""),
            ("--json", ""),
            ("path -- --json", ""),
        ],
    );
}

#[test]
fn addresses_names_and_sizes_that_are_wrong() {
    check(
        "values",
        &[
            ("alloc data 100 '' 8G --config CFG", ""),
            ("alloc data/ 100 '' 8G", ""),
            ("alloc d 100 '' 8G", ""),
            ("alloc local-lvm 100 '' 0 --config CFG", ""),
            ("alloc local-lvm 100 '' 8G --format qcow2 --config CFG", ""),
            ("alloc pve/data 100 disk-0 8G", ""),
            ("alloc pve/data 100 vm-100-a+ 8G", ""),
            ("alloc pve/data 100 vm-100-x_tmeta 8G", ""),
            ("alloc pve/data 100 '' 8GB", ""),
            ("alloc pve/data 100 '' 0.1G", ""),
            ("alloc pve/data 100 '' lots", ""),
            ("alloc pve/data 100 '' 16E", ""),
            ("free nowhere:vm-100-disk-0 --config CFG", ""),
            ("free local-lvm:data --config CFG", ""),
            ("free local-lvm: --config CFG", ""),
            ("path local-lvm:vm-100-disk-0 --config /nonexistent", ""),
            ("free pve/vm-100-disk-0@s", ""),
            ("snapshot pve/vm-100-disk-0", ""),
            ("snapshot pve/vm-100-disk-0@a/b", ""),
            ("delete-snapshot pve/vm-100-disk-0@", ""),
            ("clone pve 100", ""),
            ("clone pve/a 100 --name vm-101-x", ""),
            ("activate pve/a/b", ""),
            ("resize pve/a lots", ""),
            ("resize pve/a + --shrink", ""),
            ("resize pve/a 1G --accept-data-loss", ""),
            ("resize pve/a@s 8G", ""),
            ("rename pve/a b/c", ""),
            ("rename pve/a x_tdata", ""),
            ("rollback pve/a", ""),
            ("template pve", ""),
            ("recover -- -pve", ""),
            ("info pve/a@b@c --json", ""),
            ("pool create pve/data", ""),
            ("pool create pve/data --size 0%FREE", ""),
            ("pool create data --size 1G --discards never", ""),
            ("pool create pve/data --size 1G --pv /dev/null", ""),
            ("pool extend pve/data", ""),
            ("pool set pve/data", ""),
        ],
    );
}

#[test]
fn storages_that_cannot_be_used() {
    check(
        "storages",
        &[
            ("alloc off 100 '' 8G --config CFG", ""),
            ("alloc elsewhere 100 '' 8G --config CFG", ""),
            ("alloc files 100 '' 8G --config CFG", ""),
            ("alloc san 100 '' 8G --config CFG", ""),
            ("free san:0.0.1.scsi-36 --config CFG", ""),
            ("clone san:0.0.1.scsi-36 100 --config CFG", ""),
            ("snapshot san:0.0.1.scsi-36@s --config CFG", ""),
            ("delete-snapshot san:0.0.1.scsi-36@s --config CFG", ""),
            ("rollback san:0.0.1.scsi-36@s --config CFG", ""),
            ("template san:0.0.1.scsi-36 --config CFG", ""),
            ("resize san:0.0.1.scsi-36 +1G --config CFG", ""),
            ("activate san local-lvm --config CFG", ""),
            ("activate san:disk-0 --config CFG", ""),
            ("iscsi rescan local-lvm --config CFG", ""),
            ("alloc twice 100 '' 8G --config CFG", ""),
            ("alloc broken 100 '' 8G --config CFG --json", ""),
        ],
    );
}

#[test]
fn configurations_are_changed_where_they_should_be() {
    check(
        "configure",
        &[
            ("add --dry-run --config CFG lvmthin new --vgname pve --thinpool data --nodes b,a --disable", ""),
            ("add --dry-run --json --config CFG iscsi new --portal 10.0.0.1 --target t --disable 1", ""),
            ("add --config CFG lvmthin local-lvm --vgname pve --thinpool data --disable 1", ""),
            ("add --config CFG lvmthin local --vgname pve --thinpool data --disable 1", ""),
            ("add --config CFG lvmthin x --vgname pve --thinpool data", ""),
            ("add --config CFG lvmthin xy --vgname pve --disable 1", ""),
            ("add --config CFG lvmthin xy --vgname p --thinpool data --disable 1", ""),
            ("add --config CFG lvmthin xy --vgname pve --thinpool data --portal a", ""),
            ("add --config CFG lvmthin xy --vgname pve --thinpool data --content iso", ""),
            ("add --config CFG lvmthin xy --vgname pve --thinpool data --shared 1", ""),
            ("add --config CFG dir xy", ""),
            ("add --config CFG floppy xy", ""),
            ("set --dry-run --config CFG local-lvm --nodes a --delete content", ""),
            ("set --dry-run --config CFG local-lvm --disable", ""),
            ("set --dry-run --config CFG off --disable no --json", ""),
            ("set --dry-run --config CFG elsewhere --digest 0123", ""),
            ("set --config CFG local-lvm --vgname other", ""),
            ("set --config CFG local-lvm --delete thinpool", ""),
            ("set --config CFG local-lvm --delete path", ""),
            ("set --config CFG local-lvm --nodes a --delete nodes", ""),
            ("set --config CFG local-lvm --nodes a_b", ""),
            ("set --config CFG files --nodes a", ""),
            ("set --config CFG nowhere --nodes a", ""),
            ("set --config CFG twice --nodes a", ""),
            ("set --config CFG broken --nodes a", ""),
            ("remove --dry-run --config CFG elsewhere", ""),
            ("remove --dry-run --config CFG broken", ""),
            ("remove --config CFG local", ""),
            ("remove --config CFG nowhere --json", ""),
        ],
    );
}

#[test]
fn batches_that_are_wrong() {
    check(
        "batch",
        &[
            ("batch /nonexistent", ""),
            ("batch -", "\n\n{\"request\": \"create\"\n"),
            ("batch -", "{\"request\": \"resize\", \"volume\": \"pve/a\"}\n"),
            ("batch -", "{\"request\": \"remove\", \"volume\": \"a\"}\n"),
            (
                "batch -",
                "{\"request\": \"create\", \"pool\": \"pve/data\", \"name\": \"ok\", \"size\": \"1G\"}\n\
                 {\"request\": \"create\", \"pool\": \"pve/data\", \"name\": \"no\", \"size\": \"1\"}\n",
            ),
            ("batch --json -", "{\"request\": \"remove\", \"volume\": \"pve/a\", \"froce\": true}\n"),
        ],
    );
}

#[test]
fn answers_that_need_no_device() {
    check(
        "answers",
        &[
            ("path pve/vm-100-disk-0", ""),
            ("path local-lvm:vm-100-disk-0 --config CFG", ""),
            ("path off:base-100-disk-0 --config CFG --json", ""),
            ("path /dev/pve/vm-100-disk-0 --json", ""),
            ("path san:0.0.1.scsi-36 --config CFG", ""),
            ("--json path pve/vm-100-disk-0", ""),
            ("free -h", ""),
        ],
    );
}
