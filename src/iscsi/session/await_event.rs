//! Waiting for events of one session.

use std::time::{Duration, Instant};

use super::error::SessionError;
use crate::host::limit::Limit;
use crate::host::netlink::control::{Control, Heard};
use crate::host::transport::TransportError;
use crate::protocol::interface::message::{Event, SessionId, conn_error};
use crate::protocol::pdu::Pdu;

/// How often to check whether the work was cancelled.
const LOOK: Duration = Duration::from_millis(100);

/// Waits for a PDU of this kind; others of the session are passed over.
///
/// # Errors
/// If the connection is lost, events are, or the limit is over.
pub fn await_pdu(
    control: &mut dyn Control,
    sid: SessionId,
    opcode: u8,
    what: &str,
    limit: &Limit,
) -> Result<Pdu, SessionError> {
    loop {
        match next(control, limit, what)? {
            Some(Heard::Event(Event::Pdu { sid: of, pdu })) if of == sid && pdu.opcode() == opcode => {
                return Ok(pdu);
            }
            Some(Heard::Event(Event::ConnError { sid: of, code })) if of == sid => {
                return Err(TransportError::Lost { why: conn_error(code).into() }.into());
            }
            // The answer may have been among what was lost. It will not come again.
            Some(Heard::Lost) => {
                return Err(TransportError::Lost { why: "the kernel's messages were".into() }.into());
            }
            _ => {}
        }
    }
}

/// Waits until the kernel has removed the devices of a session, or `is_done` says so where its word was lost.
///
/// # Errors
/// If the limit is over.
pub fn await_unbound(
    control: &mut dyn Control,
    sid: SessionId,
    is_done: impl Fn() -> bool,
    limit: &Limit,
) -> Result<(), SessionError> {
    loop {
        let heard = next(control, limit, "the removal of the session's devices")?;
        if heard == Some(Heard::Event(Event::Unbound(sid))) || is_done() {
            return Ok(());
        }
    }
}

fn next(control: &mut dyn Control, limit: &Limit, what: &str) -> Result<Option<Heard>, SessionError> {
    limit.check().map_err(|why| SessionError::GivenUp { what: what.to_owned(), why })?;
    let heard = control.next_event(Instant::now() + LOOK.min(limit.left()))?;
    Ok((heard != Heard::Nothing).then_some(heard))
}
