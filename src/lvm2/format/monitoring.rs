//! How dmeventd watches a pool.

use serde::Serialize;

/// How a device is registered with dmeventd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Registration {
    /// The library that is told of events.
    pub library: String,
    /// Which events, as bits (`DM_EVENT_*`). Source: lvm2 `daemons/dmeventd/libdevmapper-event.h`.
    pub events: u32,
    /// How often it is told without an event, in seconds; 0: dmeventd's default.
    pub timeout_s: u32,
}

impl Registration {
    /// As lvm2 has its pools watched: all errors, and every ten seconds.
    /// Source: lvm2 `lib/activate/activate.c` (`target_register_events`), `lib/thin/thin.c` (`_target_set_events`).
    pub fn of_lvm2() -> Self {
        /// `DM_EVENT_ALL_ERRORS` and `DM_EVENT_TIMEOUT`. Source: lvm2 `daemons/dmeventd/libdevmapper-event.h`.
        const EVENTS: u32 = 0xff00 | 0x2_0000;
        Self { library: "libdevmapper-event-lvm2thin.so".into(), events: EVENTS, timeout_s: 10 }
    }
}
