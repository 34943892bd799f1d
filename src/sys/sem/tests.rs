use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use super::{Semaphore, Zero};

/// A semaphore under a key no other test uses, or `None` (said loudly) where this kernel has none.
fn semaphore(key: i32) -> Option<Semaphore> {
    match Semaphore::create(0x0D4E_0000 + key) {
        Ok(made) => Some(made),
        Err(Errno::ENOSYS | Errno::EPERM) => {
            eprintln!("SKIPPED: this kernel has no System V semaphores");
            None
        }
        Err(errno) => panic!("{errno}"),
    }
}

#[test]
fn counts_up_and_down_to_zero() {
    let Some(semaphore) = semaphore(1) else { return };
    semaphore.add().unwrap();
    assert_eq!(semaphore.value(), Ok(2));
    semaphore.subtract().unwrap();
    assert_eq!(semaphore.wait_zero(Duration::from_millis(1)), Ok(Zero::TimedOut));
    assert_eq!(semaphore.wait_zero(Duration::ZERO), Ok(Zero::TimedOut));
    semaphore.subtract().unwrap();
    assert_eq!(semaphore.wait_zero(Duration::ZERO), Ok(Zero::Reached));
    assert_eq!(semaphore.subtract(), Err(Errno::EAGAIN));
}

#[test]
fn a_key_is_taken_until_the_drop() {
    let Some(first) = semaphore(2) else { return };
    assert_eq!(Semaphore::create(0x0D4E_0002).unwrap_err(), Errno::EEXIST);
    drop(first);
    drop(Semaphore::create(0x0D4E_0002).unwrap());
}

#[test]
fn another_process_counts_down_or_removes() {
    let Some(semaphore) = semaphore(3) else { return };
    thread::scope(|scope| {
        let waiting = scope.spawn(|| semaphore.wait_zero(Duration::from_secs(60)));
        semaphore.subtract().unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(Zero::Reached));
        semaphore.add().unwrap();
        let waiting = scope.spawn(|| semaphore.wait_zero(Duration::from_secs(60)));
        // A second handle of the same set: its drop removes the set under the waiting one.
        drop(Semaphore { id: semaphore.id });
        assert_eq!(waiting.join().unwrap(), Ok(Zero::Removed));
    });
}
