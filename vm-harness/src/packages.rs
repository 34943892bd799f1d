//! The Debian packages the guest is made of.

/// Asked for by name; apt adds what they depend on.
pub const WANTED: &[&str] = &[
    // The kernel: the full one, because the cloud flavour has no 9p.
    "linux-image-amd64",
    // A small userland.
    "base-files",
    "base-passwd",
    "bash",
    "busybox-static",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "findutils",
    "gawk",
    "grep",
    "gzip",
    "hostname",
    "iproute2",
    "kmod",
    "libc-bin",
    "mount",
    "ncurses-base",
    "procps",
    "sed",
    "tar",
    "util-linux",
    "xz-utils",
    // What the tests are about.
    "dmeventd",
    "dmsetup",
    "dpkg",
    "e2fsprogs",
    "fio",
    "init-system-helpers",
    "lvm2",
    "open-iscsi",
    "perl",
    "psmisc",
    "strace",
    "systemd",
    "thin-provisioning-tools",
    "udev",
    "xfsprogs",
];

/// Dependencies that the guest can do without: nothing in it configures packages or makes initramfs images. A name
/// that ends in `*` stands for all names that start so.
pub const UNWANTED: &[&str] = &[
    "adduser",
    "cdebconf*",
    "debconf*",
    "initramfs-tools*",
    "klibc-utils",
    "libklibc",
    "libpython*",
    "linux-base",
    "media-types",
    "python3*",
    "sysv-rc",
];

/// Packages that are unpacked into a folder of their own. With systemd among its programs the guest's udev and lvm2
/// would take it for what started the machine; the cases of units put it in place for themselves.
const APART: &[(&str, &str)] = &[("systemd", "opt/systemd")];

/// The folder of its own that the package of this name is unpacked into, if it is.
pub fn folder_apart(name: &str) -> Option<&'static str> {
    APART.iter().find(|(apart, _)| *apart == name).map(|(_, folder)| *folder)
}

/// Paths inside packages that are left out.
pub const UNWANTED_PATHS: &[&str] = &[
    "./usr/share/doc",
    "./usr/share/man",
    "./usr/share/info",
    "./usr/share/locale",
    "./usr/share/lintian",
    "./usr/share/i18n",
    "./usr/share/bash-completion",
    "./usr/share/zsh",
    "./usr/share/initramfs-tools",
    "./usr/share/icu",
    "./usr/share/bug",
    "./usr/lib/x86_64-linux-gnu/gconv",
    "./usr/lib/systemd/catalog",
    "./lib/udev/hwdb.d",
    "./boot/System.map*",
];

/// Whether the package of this name is left out.
pub fn is_unwanted(name: &str) -> bool {
    UNWANTED.iter().any(|unwanted| match unwanted.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *unwanted,
    })
}

#[cfg(test)]
mod tests {
    use super::{folder_apart, is_unwanted};

    #[test]
    fn stars_match_the_start_of_a_name_only() {
        assert!(is_unwanted("python3-minimal"));
        assert_eq!(folder_apart("systemd"), Some("opt/systemd"));
        assert_eq!(folder_apart("libsystemd0"), None);
        assert!(!is_unwanted("systemd-dev"));
        assert!(!is_unwanted("lvm2"));
    }
}
