use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::protocol::chap::{Algorithm, ChapError};
use proptest::prelude::{any, proptest};

const FULL: &str = "\
# the array in rack 4
user = alice
secret =  twelve bytes and = more
target-user = array
target-secret = another secret
algorithms = sha256, md5
";

#[test]
fn both_directions_and_algorithms_are_read() {
    let read = parse(FULL.as_bytes()).unwrap();
    let login = read.login.unwrap();
    assert_eq!(login.initiator().user, "alice");
    assert_eq!(login.initiator().secret.expose(), b"twelve bytes and = more");
    assert_eq!(login.target().unwrap().user, "array");
    assert_eq!(login.algorithms(), [Algorithm::Sha256, Algorithm::Md5]);
    assert_eq!(read.discovery.unwrap().initiator().user, "alice", "discovery does as logins do");
    assert!(read.warnings.is_empty());
    assert!(read.may_discover_without, "or without, where the target does none");
}

#[test]
fn discovery_can_have_its_own_or_none() {
    let own = parse(b"user = a\nsecret = 0123456789ab\n[discovery]\nuser = b\nsecret = short\n").unwrap();
    assert_eq!(own.discovery.unwrap().initiator().user, "b");
    assert_eq!(own.login.unwrap().algorithms(), [Algorithm::Md5], "MD5 unless said otherwise");
    assert_eq!(own.warnings.len(), 1);
    assert!(!own.may_discover_without, "what is said of discovery holds");
    let none = parse(b"user = a\nsecret = 0123456789ab\n[discovery]\n").unwrap();
    assert!(none.login.is_some() && none.discovery.is_none());
    let only = parse(b"[discovery]\nuser = a\nsecret = 0123456789ab\n").unwrap();
    assert!(only.login.is_none() && only.discovery.is_some());
}

#[test]
fn what_is_wrong_is_said_by_line_and_never_with_a_secret() {
    let error = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();
    for (text, message) in [
        ("", "there is no 'user' and 'secret'"),
        ("user = a", "'user' is given and 'secret' is not"),
        ("secret = a", "'secret' is given and 'user' is not"),
        ("target-user = a\ntarget-secret = b", "'target-user' is given and 'user' is not"),
        ("[discovery]\nuser = a", "'user' is given and 'secret' is not in [discovery]"),
        ("algorithms = md5", "'algorithms' is given and 'user' is not"),
        ("user = a\nsecret = hush\nuser = b", "line 3 repeats what was said above"),
        ("[discovery]\n[discovery]", "line 2 repeats what was said above"),
        ("[login]", "line 1 is neither 'key = value' nor '[discovery]'"),
        ("hush", "line 1 is neither 'key = value' nor '[discovery]'"),
        (
            "Hush-99x=",
            "line 1 has an unknown key (it is not shown, since it may be a part of a secret); there are user, secret, \
             target-user, target-secret, algorithms",
        ),
        ("Target_User = x", "line 1 has an unknown key; it is written 'target-user'"),
        ("USER = x", "line 1 has an unknown key; it is written 'user'"),
        ("user = a\nsecret =", "a CHAP secret has 1 to 255 bytes"),
        ("user =\nsecret = hush", "a CHAP user name has 1 to 255 bytes, none of them zero"),
        (
            "user = a\nsecret = hush\nalgorithms = md4",
            "'md4' is none of the CHAP algorithms md5, sha1, sha256 and sha3-256",
        ),
        (
            "user = a\nsecret = hush\nalgorithms = md5,md5",
            "the list of CHAP algorithms is empty or has one twice",
        ),
    ] {
        assert_eq!(error(text), message);
    }
    assert!(error("password = x").starts_with("line 1 has an unknown key 'password'"));
    let same = "user = a\nsecret = hush\ntarget-user = b\ntarget-secret = hush";
    assert_eq!(parse(same.as_bytes()).unwrap_err(), ParseError::Chap(ChapError::SameSecret));
    let shown = format!("{:?}", parse(FULL.as_bytes()).unwrap());
    assert!(shown.contains("alice") && !shown.contains("twelve") && !shown.contains("another"), "{shown}");
}

#[test]
fn a_file_that_others_could_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chap");
    std::fs::write(&path, FULL).unwrap();
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    for open in [0o644, 0o640, 0o604, 0o660, 0o601] {
        mode(open);
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains(&format!("its mode is {open:04o}")), "{error}");
        assert!(error.hint().unwrap().contains("chmod 600"));
    }
    for closed in [0o600, 0o400] {
        mode(closed);
        assert!(read(&path).is_ok());
    }
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(matches!(read(&link), Err(ChapFileError::NotAFile { .. })));
    assert!(matches!(read(folder.path()), Err(ChapFileError::NotAFile { .. })));
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(matches!(read(&fifo), Err(ChapFileError::NotAFile { .. })), "it is not waited for");
    assert!(matches!(read(&folder.path().join("none")), Err(ChapFileError::Unreadable { .. })));
    std::fs::write(&path, vec![b'#'; MAX_SIZE + 1]).unwrap();
    assert!(matches!(read(&path), Err(ChapFileError::TooLarge { .. })));
}

#[test]
fn a_file_of_another_user_is_refused() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped: only root can make files of other users");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chap");
    std::fs::write(&path, FULL).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("it belongs to user 12345"));
}

proptest! {
    #[test]
    fn any_bytes_are_credentials_or_an_error(text in any::<Vec<u8>>()) {
        let _ = parse(&[b"user = a\nsecret = ", text.as_slice()].concat());
        let _ = parse(&text);
    }
}
