//! A relay before a target of iSCSI, that can put in a word of its own: what the kernel's target never says.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

/// Length of a basic header segment. Source: RFC 7143 section 11.2.1.
const HEADER: usize = 48;

/// Where in it StatSN is, in all that a target sends.
const STAT_SN: std::ops::Range<usize> = 24..28;

/// The way back to the initiator, between two PDUs whenever it is not locked.
struct Way {
    to_initiator: TcpStream,
    /// StatSN, ExpCmdSN and MaxCmdSN as they were last.
    numbers: [u8; 12],
}

/// A relay; what it has connected is dropped with it.
pub struct Relay {
    latest: Arc<Mutex<Option<Way>>>,
}

impl Relay {
    /// Listens at `at`, and connects whoever comes with `portal`. Only the last who came can be spoken to.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn start(at: &str, portal: &'static str) -> Result<Self> {
        let listener = TcpListener::bind(at).with_context(|| format!("cannot listen at {at}"))?;
        let latest = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&latest);
        std::thread::spawn(move || {
            for initiator in listener.incoming().flatten() {
                // Who is not let in sees the connection end.
                let _ = connect(initiator, portal, &shared);
            }
        });
        Ok(Self { latest })
    }

    /// Says an Asynchronous Message of that event to the initiator. Source: RFC 7143 section 11.9.
    ///
    /// # Errors
    /// If nobody is connected.
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

    /// Drops the connection of who came last.
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

fn connect(initiator: TcpStream, portal: &str, latest: &Arc<Mutex<Option<Way>>>) -> Result<()> {
    let target = TcpStream::connect(portal)?;
    let (mut asked, mut asking) = (initiator.try_clone()?, target.try_clone()?);
    *latest.lock().unwrap_or_else(PoisonError::into_inner) =
        Some(Way { to_initiator: initiator.try_clone()?, numbers: [0; 12] });
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut asked, &mut asking);
        let _ = asking.shutdown(Shutdown::Both);
    });
    let latest = Arc::clone(latest);
    std::thread::spawn(move || {
        let _ = answers(target, &initiator, &latest);
        let _ = initiator.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// Passes on what the target says, PDU by PDU.
fn answers(mut target: TcpStream, initiator: &TcpStream, latest: &Mutex<Option<Way>>) -> Result<()> {
    let mut to_initiator = initiator;
    loop {
        let mut pdu = vec![0; HEADER];
        target.read_exact(&mut pdu)?;
        let extra = usize::from(pdu[4]) * 4;
        let data = u32::from_be_bytes([0, pdu[5], pdu[6], pdu[7]]);
        let numbers: [u8; 12] = pdu[STAT_SN.start..STAT_SN.start + 12].try_into()?;
        // Data with no status in it has no StatSN.
        let is_counted = pdu[0] & 0x3f != 0x25 || pdu[1] & 1 != 0;
        pdu.resize(HEADER + extra + usize::try_from(data)?.next_multiple_of(4), 0);
        target.read_exact(&mut pdu[HEADER..])?;
        let mut latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = latest.as_mut().filter(|_| is_counted) {
            way.numbers = numbers;
        }
        to_initiator.write_all(&pdu)?;
    }
}
