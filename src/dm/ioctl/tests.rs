use std::io;

use devicemapper::DmError as CrateError;
use devicemapper::errors::Error as CoreError;
use nix::errno::Errno;

use super::{Context, DevNo, LinuxDm, OpenError, Verb, kernel_number};

#[test]
fn errors_keep_the_errno_and_stay_short() {
    let context = Context::with(Verb::Message, "pve-data-tpool", ": create_thin 5".into());
    let ioctl = CrateError::Core(CoreError::Ioctl(14, None, None, Box::new(Errno::EEXIST)));
    let error = context.error(&ioctl);
    assert_eq!(error.errno, Errno::EEXIST);
    assert_eq!(
        error.to_string(),
        "device-mapper Message of 'pve-data-tpool': create_thin 5 failed: EEXIST: File exists"
    );
    let other = context.error(&CrateError::Core(CoreError::InvalidArgument("odd name".into())));
    assert_eq!((other.errno, other.detail.as_str()), (Errno::EINVAL, ": create_thin 5 (odd name)"));
}

#[test]
fn a_name_outside_ascii_is_an_error_not_a_panic() {
    assert_eq!(Context::new(Verb::Info, "na\u{ef}ve").name().unwrap_err().errno, Errno::EINVAL);
}

#[test]
fn numbers_in_the_kernels_encoding() {
    assert_eq!(kernel_number(0xfd03), DevNo { major: 253, minor: 3 });
    assert_eq!(kernel_number(0x1010_fd03), DevNo { major: 253, minor: 0x1_0103 });
}

#[test]
fn why_it_cannot_be_opened() {
    let kind = |errno: Errno| OpenError::from_io(io::Error::from(errno));
    assert!(matches!(kind(Errno::ENOENT), OpenError::Absent { .. }));
    assert!(matches!(kind(Errno::ENODEV), OpenError::Absent { .. }));
    assert!(matches!(kind(Errno::EACCES), OpenError::NotPermitted { .. }));
    assert!(matches!(kind(Errno::EMFILE), OpenError::Other { .. }));
    assert!(kind(Errno::ENOENT).hint().is_some());
}

#[test]
fn opening_says_what_this_machine_has() {
    match LinuxDm::open() {
        Ok(_) => assert!(std::path::Path::new(super::CONTROL_NODE).exists()),
        Err(OpenError::Absent { .. }) => {
            eprintln!("this machine has no device-mapper: only the error was tested");
        }
        Err(error) => eprintln!("{error}: only the error was tested"),
    }
}
