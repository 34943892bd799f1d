//! The system calls of a program, compared with the seccomp filters of its systemd unit. A filter answers a call with
//! an error, which a program may ignore; strace shows the calls themselves.

use std::collections::BTreeSet;

/// The group of system calls that every unit allows; further ones are named one by one.
const SYSTEM_SERVICE: &str = include_str!("../data/system-service.txt");

/// The group @module of systemd.
const MODULE: [&str; 3] = ["init_module", "finit_module", "delete_module"];

/// All values of a key in a unit.
pub fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.flat_map(str::split_whitespace).collect()
}

/// The calls in an output of `strace -f` that the filters of a unit would refuse.
pub fn refused(unit: &str, trace: &str) -> Vec<String> {
    let groups = values(unit, "SystemCallFilter");
    let mut allowed: BTreeSet<&str> = BTreeSet::new();
    if groups.contains(&"@system-service") {
        let lines = SYSTEM_SERVICE.lines().filter(|line| !line.starts_with('#'));
        allowed.extend(lines.flat_map(str::split_whitespace));
    }
    if groups.contains(&"@module") {
        allowed.extend(MODULE);
    }
    let families = values(unit, "RestrictAddressFamilies");
    let is_refused = |line: &&str| {
        call(line).is_some_and(|(name, arguments)| {
            !allowed.contains(name)
                || (name == "socket" && !families.iter().any(|family| arguments.starts_with(family)))
                || is_restricted(name, arguments)
        })
    };
    trace.lines().filter(is_refused).map(str::to_owned).collect()
}

/// RestrictNamespaces, MemoryDenyWriteExecute, RestrictSUIDSGID and RestrictRealtime, each of which every unit sets.
/// Source: systemd `src/shared/seccomp-util.c`.
fn is_restricted(name: &str, arguments: &str) -> bool {
    match name {
        "clone" | "clone3" | "unshare" => arguments.contains("CLONE_NEW"),
        "setns" => true,
        "mmap" => arguments.contains("PROT_WRITE|PROT_EXEC"),
        "mprotect" | "pkey_mprotect" => arguments.contains("PROT_EXEC"),
        "shmat" => arguments.contains("SHM_EXEC"),
        "sched_setscheduler" => arguments.contains("SCHED_FIFO") || arguments.contains("SCHED_RR"),
        _ => arguments.contains("S_ISUID") || arguments.contains("S_ISGID"),
    }
}

/// The call that begins in a line: its name and what follows the parenthesis.
fn call(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
    let (name, arguments) = line.split_once('(')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then_some((name, arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = "SystemCallFilter=@system-service\nRestrictAddressFamilies=AF_UNIX AF_NETLINK\n";

    #[test]
    fn what_a_filter_lets_through_is_no_trouble() {
        for line in [
            "12 openat(AT_FDCWD, \"/dev/mapper/control\", O_RDWR) = 3",
            "ioctl(3, DM_VERSION, 0x7ffd) = 0",
            "12 socket(AF_NETLINK, SOCK_RAW, NETLINK_ISCSI) = 3",
            "12 mmap(NULL, 4096, PROT_READ|PROT_EXEC, MAP_PRIVATE, 3, 0) = 0x7f",
            "12 <... ioctl resumed>) = 0",
            "12 +++ exited with 0 +++",
            "12 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED} ---",
            "12 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD) = 13",
            "",
        ] {
            assert_eq!(refused(UNIT, line), Vec::<String>::new());
        }
    }

    #[test]
    fn what_it_refuses_is_found() {
        for line in [
            "12 mount(\"none\", \"/x\", \"tmpfs\", 0, NULL) = 0",
            "12 finit_module(3, \"\", 0) = 0",
            "12 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP <unfinished ...>",
            "12 mmap(NULL, 4096, PROT_READ|PROT_WRITE|PROT_EXEC, MAP_PRIVATE, -1, 0) = 0x7f",
            "12 mprotect(0x7f, 4096, PROT_READ|PROT_EXEC) = 0",
            "12 clone(child_stack=NULL, flags=CLONE_NEWNS|SIGCHLD) = 13",
            "12 unshare(CLONE_NEWNET) = 0",
            "12 chmod(\"/x\", S_ISUID|0755) = 0",
        ] {
            assert_eq!(refused(UNIT, line), [line]);
        }
        let with_modules = "SystemCallFilter=@system-service @module\n";
        assert!(refused(with_modules, "finit_module(3, \"\", 0) = 0").is_empty());
        assert_eq!(refused("", "read(3) = 0").len(), 1, "without a filter in the unit nothing is shown");
    }
}
