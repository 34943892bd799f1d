//! A relay in front of an iSCSI target that can insert PDUs which the kernel's target never sends.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

/// Length of a basic header segment. Source: RFC 7143 section 11.2.1.
const HEADER: usize = 48;

/// The place of StatSN in it, in every PDU that a target sends.
const STAT_SN: std::ops::Range<usize> = 24..28;

/// The connection to the initiator; between two PDUs whenever it is not locked.
struct ReturnPath {
    to_initiator: TcpStream,
    /// The last StatSN, ExpCmdSN and MaxCmdSN.
    numbers: [u8; 12],
}

/// Changes to the target's answers about its LUNs.
#[derive(Default)]
struct Lies {
    /// The LUN that answers an INQUIRY with "not connected"; its number is below 256.
    not_connected: Option<u8>,
    /// The task tags of INQUIRYs to it.
    inquiries: BTreeSet<[u8; 4]>,
}

/// A relay; its connections are closed when it is dropped.
pub struct Relay {
    latest: Arc<Mutex<Option<ReturnPath>>>,
    lies: Arc<Mutex<Lies>>,
}

impl Relay {
    /// Listens at `at`, and connects each initiator with `portal`. PDUs can be inserted for the last one only.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn start(at: &str, portal: &'static str) -> Result<Self> {
        let listener = TcpListener::bind(at).with_context(|| format!("cannot listen at {at}"))?;
        let latest = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&latest);
        let lies = Arc::new(Mutex::new(Lies::default()));
        let to_tell = Arc::clone(&lies);
        std::thread::spawn(move || {
            for initiator in listener.incoming().flatten() {
                // Who is not let in sees the connection end.
                let _ = connect(initiator, portal, &shared, &to_tell);
            }
        });
        Ok(Self { latest, lies })
    }

    /// From now on this LUN, or none, answers that it is not connected (peripheral qualifier 001b), like a LUN whose
    /// access state is unavailable. Source: SPC-4 section 6.6.2.
    pub fn set_not_connected(&self, lun: Option<u8>) {
        self.lies.lock().unwrap_or_else(PoisonError::into_inner).not_connected = lun;
    }

    /// Sends an Asynchronous Message with that event to the initiator. Source: RFC 7143 section 11.9.
    ///
    /// # Errors
    /// If no initiator is connected.
    pub fn async_message(&self, event: u8, parameters: [u16; 3], data: &[u8]) -> Result<()> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let way = latest.as_mut().context("nobody is connected")?;
        let mut pdu = vec![0; HEADER];
        (pdu[0], pdu[1]) = (0x32, 0x80);
        pdu[5..8].copy_from_slice(&u32::try_from(data.len())?.to_be_bytes()[1..]);
        pdu[16..20].fill(0xff);
        pdu[STAT_SN.start..STAT_SN.start + 12].copy_from_slice(&way.numbers);
        pdu[36] = event;
        for (at, parameter) in (38..).step_by(2).zip(parameters) {
            pdu[at..at + 2].copy_from_slice(&parameter.to_be_bytes());
        }
        pdu.extend_from_slice(data);
        pdu.resize(pdu.len().next_multiple_of(4), 0);
        Ok(way.to_initiator.write_all(&pdu)?)
    }

    /// Drops the connection of the last initiator.
    pub fn drop_connection(&self) {
        if let Some(way) = self.latest.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = way.to_initiator.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.drop_connection();
    }
}

fn connect(
    initiator: TcpStream,
    portal: &str,
    latest: &Arc<Mutex<Option<ReturnPath>>>,
    lies: &Arc<Mutex<Lies>>,
) -> Result<()> {
    let target = TcpStream::connect(portal)?;
    let (asked, asking) = (initiator.try_clone()?, target.try_clone()?);
    *latest.lock().unwrap_or_else(PoisonError::into_inner) =
        Some(ReturnPath { to_initiator: initiator.try_clone()?, numbers: [0; 12] });
    let to_notice = Arc::clone(lies);
    std::thread::spawn(move || {
        let _ = requests(asked, &asking, &to_notice);
        let _ = asking.shutdown(Shutdown::Both);
    });
    let (latest, lies) = (Arc::clone(latest), Arc::clone(lies));
    std::thread::spawn(move || {
        let _ = answers(target, &initiator, &latest, &lies);
        let _ = initiator.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// One PDU, without digests.
fn read(from: &mut TcpStream) -> Result<Vec<u8>> {
    let mut pdu = vec![0; HEADER];
    from.read_exact(&mut pdu)?;
    let extra = usize::from(pdu[4]) * 4;
    let data = u32::from_be_bytes([0, pdu[5], pdu[6], pdu[7]]);
    pdu.resize(HEADER + extra + usize::try_from(data)?.next_multiple_of(4), 0);
    from.read_exact(&mut pdu[HEADER..])?;
    Ok(pdu)
}

/// Forwards PDUs from the initiator to the target.
fn requests(mut initiator: TcpStream, target: &TcpStream, lies: &Mutex<Lies>) -> Result<()> {
    /// The opcode of a SCSI command, and that of INQUIRY in it.
    const COMMAND: (u8, u8) = (0x01, 0x12);
    let mut to_target = target;
    loop {
        let pdu = read(&mut initiator)?;
        // Without EVPD it is the standard data that is asked for.
        if (pdu[0] & 0x3f, pdu[32]) == COMMAND && pdu[33] & 1 == 0 {
            let mut lies = lies.lock().unwrap_or_else(PoisonError::into_inner);
            if lies.not_connected == Some(pdu[9]) {
                lies.inquiries.insert(pdu[16..20].try_into()?);
            }
        }
        to_target.write_all(&pdu)?;
    }
}

/// Forwards PDUs from the target to the initiator.
fn answers(
    mut target: TcpStream,
    initiator: &TcpStream,
    latest: &Mutex<Option<ReturnPath>>,
    lies: &Mutex<Lies>,
) -> Result<()> {
    const DATA: u8 = 0x25;
    let mut to_initiator = initiator;
    loop {
        let mut pdu = read(&mut target)?;
        let numbers: [u8; 12] = pdu[STAT_SN.start..STAT_SN.start + 12].try_into()?;
        let is_data = pdu[0] & 0x3f == DATA;
        // Data with no status in it has no StatSN.
        let is_counted = !is_data || pdu[1] & 1 != 0;
        let tag: [u8; 4] = pdu[16..20].try_into()?;
        if is_data
            && pdu.len() > HEADER
            && lies.lock().unwrap_or_else(PoisonError::into_inner).inquiries.remove(&tag)
        {
            pdu[HEADER] |= 0x20;
        }
        let mut latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = latest.as_mut().filter(|_| is_counted) {
            way.numbers = numbers;
        }
        to_initiator.write_all(&pdu)?;
    }
}
