use super::{Errno, Fault, FaultKind, Kernel, Verb, When, errno, message, name, pool_machine, suspend};

#[test]
fn a_fault_strikes_once_before_or_after_the_effect() {
    for (when, exists) in [(When::Before, false), (When::After, true)] {
        let (kernel, _) = pool_machine();
        kernel.clear_log();
        let kind = FaultKind::Errno(Errno::ENOMEM);
        kernel.inject(Fault { verb: Some(Verb::Message), nth: 2, when, kind });
        message(&kernel, "create_thin 1").unwrap();
        kernel.info(&name("tpool")).unwrap();
        assert_eq!(errno(message(&kernel, "create_thin 2")), Errno::ENOMEM);
        assert_eq!(message(&kernel, "delete 2").is_ok(), exists, "{when:?}");
        let lines: Vec<String> = kernel.log().iter().map(ToString::to_string).collect();
        let last = if exists { "message tpool delete 2" } else { "message tpool delete 2 -> ENODATA" };
        assert_eq!(
            lines,
            ["message tpool create_thin 1", "info tpool", "message tpool create_thin 2 -> ENOMEM", last]
        );
    }
}

#[test]
fn a_stop_ends_the_process_and_leaves_the_kernel() {
    let (kernel, _) = pool_machine();
    kernel.inject(Fault { verb: None, nth: 2, when: When::After, kind: FaultKind::Stop });
    suspend(&kernel, "tpool");
    assert_eq!(errno(message(&kernel, "create_thin 1")), Errno::ESHUTDOWN);
    assert_eq!(errno(super::resume(&kernel, "tpool")), Errno::ESHUTDOWN);
    assert!(kernel.stopped());
    kernel.revive();
    assert_eq!(kernel.suspended(), [name("tpool")], "the dead process resumed nothing");
    assert_eq!(errno(message(&kernel, "create_thin 1")), Errno::EEXIST);
    super::resume(&kernel, "tpool").unwrap();
}
