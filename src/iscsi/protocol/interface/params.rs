//! Parameters of sessions and connections. Source: Linux `include/scsi/iscsi_if.h` (`enum iscsi_param`).
//!
//! User names and secrets are not among them: the kernel keeps those only to show them on request.

/// A parameter, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Param {
    /// Largest data segment the initiator receives, in bytes.
    MaxRecvDataSegment = 0,
    /// Largest data segment the target receives, in bytes.
    MaxXmitDataSegment = 1,
    /// CRC-32C over headers: 0 or 1.
    HeaderDigest = 2,
    /// CRC-32C over data: 0 or 1.
    DataDigest = 3,
    /// Whether the target asks for all data: 0 or 1.
    InitialR2t = 4,
    /// Requests for data in flight for one command.
    MaxR2t = 5,
    /// Whether commands may carry data: 0 or 1.
    ImmediateData = 6,
    /// Unsolicited data of one command, in bytes.
    FirstBurst = 7,
    /// Solicited data in one sequence, in bytes.
    MaxBurst = 8,
    /// Whether data PDUs come in order: 0 or 1.
    PduInOrder = 9,
    /// Whether data sequences come in order: 0 or 1.
    SequenceInOrder = 10,
    /// Error recovery level; 0.
    ErrorRecoveryLevel = 11,
    /// The StatSN that is expected next.
    ExpStatSn = 14,
    /// The target's name.
    TargetName = 15,
    /// The tag of the target's portal group.
    PortalGroupTag = 16,
    /// The requested address.
    PersistentAddress = 17,
    /// The requested port.
    PersistentPort = 18,
    /// Seconds from the loss of a connection until its I/O fails: the replacement timeout.
    RecoveryTimeout = 19,
    /// Whether outstanding data requests are answered after an abort: 0 or 1.
    FastAbort = 26,
    /// Seconds an abort may take.
    AbortTimeout = 27,
    /// Seconds a reset of a logical unit may take.
    LunResetTimeout = 28,
    /// Seconds a ping may take.
    PingTimeout = 30,
    /// Seconds of silence until a ping.
    PingInterval = 31,
    /// The name of the interface record of open-iscsi.
    InterfaceName = 32,
    /// The initiator's name.
    InitiatorName = 34,
    /// Seconds a reset of the target may take.
    TargetResetTimeout = 35,
    /// The alias of the target.
    TargetAlias = 36,
}

impl Param {
    /// The kernel's number.
    pub fn number(self) -> u32 {
        self as u32
    }
}
