//! Targets that close, stall, drip, lie and babble: each time a list or an error that says so, in time.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use base::error_kind::ErrorKind;
use iscsi::host::discover::discover_all;
use iscsi::host::limit::Limit;

use crate::peer::{Act, Peer};
use crate::target::ScriptedTarget;
use crate::{PLENTY, ask, client, in_full, names};

const LIST: [&str; 3] = ["iqn.2025-01.test:a", "iqn.2025-01.test:b", "iqn.2025-01.test:c"];

/// The list in three pieces: with login and logout that makes five PDUs of the target.
fn in_pieces() -> ScriptedTarget {
    ScriptedTarget { piece: 61, ..ScriptedTarget::named(&LIST) }
}

const PIECES: usize = 5;

/// Too short for anything but an answer that comes at once.
const SHORT: Duration = Duration::from_millis(1500);

#[test]
fn a_sound_target_lists_its_targets() {
    let peer = Peer::sound(in_pieces());
    assert_eq!(names(&ask(&peer.portal(), None, PLENTY).unwrap()), LIST);
}

#[test]
fn it_does_not_matter_how_the_bytes_arrive() {
    let peer = Peer::start(in_pieces(), |_, bytes| Act::Drip(bytes));
    assert_eq!(names(&ask(&peer.portal(), None, PLENTY).unwrap()), LIST);
}

#[test]
fn a_connection_that_closes_is_an_error_until_the_list_is_complete() {
    for at in 0..PIECES {
        for part in [0, 1, 48, 50] {
            let peer = Peer::start(in_pieces(), move |index, bytes| match index == at {
                true => Act::SendAndClose(bytes[..part.min(bytes.len() - 1)].to_vec()),
                false => Act::Send(bytes),
            });
            let answer = ask(&peer.portal(), None, PLENTY);
            if at == PIECES - 1 {
                assert_eq!(names(&answer.unwrap()), LIST, "the logout's answer may be missing");
                continue;
            }
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Busy);
            let when = match (at, part) {
                (0, 0) => "closed the connection before it said anything",
                (_, 0) => "closed the connection where an answer was due",
                _ => "closed the connection in the middle of a PDU",
            };
            assert!(in_full(&error).contains(when), "{at} {part}: {}", in_full(&error));
        }
    }
}

#[test]
fn a_connection_that_stalls_is_left_when_the_time_is_over() {
    for at in 0..PIECES {
        let peer = Peer::start(in_pieces(), move |index, bytes| match index == at {
            true => Act::Stall,
            false => Act::Send(bytes),
        });
        let answer = ask(&peer.portal(), None, SHORT);
        if at == PIECES - 1 {
            assert_eq!(names(&answer.unwrap()), LIST);
            continue;
        }
        let error = answer.unwrap_err();
        let text = in_full(&error);
        assert!(text.contains("was given up while it was waited for an answer"), "{text}");
        assert!(text.contains("time limit of 1.5 s"), "{text}");
        assert_eq!(error.kind(), ErrorKind::Busy);
    }
}

#[test]
fn an_answer_that_never_ends_is_left_too() {
    // Every piece is empty: there is no progress, and no end.
    let peer = Peer::start(ScriptedTarget { piece: 0, ..in_pieces() }, |_, bytes| Act::Send(bytes));
    let error = ask(&peer.portal(), None, SHORT).unwrap_err();
    let text = in_full(&error);
    assert!(text.contains("was given up") || text.contains("does not end within"), "{text}");
}

/// A server that says something that is not iSCSI, to whoever connects.
fn babbler(words: &'static [u8]) -> std::net::SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let address = socket.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let (mut stream, _) = socket.accept().expect("somebody connects");
        let mut request = [0; 48];
        stream.read_exact(&mut request).expect("a login comes");
        // The other side may be gone by then.
        let _ = stream.write_all(words);
        let _ = stream.read(&mut request);
    });
    address
}

#[test]
fn what_is_not_iscsi_is_called_that() {
    for words in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x03\x00\x02\x02\x46",
        &[0; 48],
        &[0xff; 48],
        b"@RSYNCD: 31.0\n",
    ] {
        let portal = babbler(words).to_string().parse().unwrap();
        let error = ask(&portal, None, PLENTY).unwrap_err();
        let text = in_full(&error);
        assert!(text.contains("does not speak iSCSI as it should: what came is not iSCSI"), "{text}");
        assert_eq!(error.kind(), ErrorKind::Refused);
        let hint = error.hint(&client(None).initiator).unwrap();
        assert!(hint.contains("something else listens there"), "{hint}");
    }
}

#[test]
fn more_than_was_agreed_on_is_not_taken() {
    let peer = Peer::start(in_pieces(), |_, mut bytes| {
        bytes[5] = 0xff;
        Act::Send(bytes)
    });
    let text = in_full(&ask(&peer.portal(), None, PLENTY).unwrap_err());
    assert!(text.contains("at most 8192 were agreed on"), "{text}");
}

#[test]
fn a_wrong_bit_anywhere_is_an_error_or_does_no_harm() {
    // A wrong length that is not too long is waited for: short limits, side by side.
    std::thread::scope(|scope| {
        for pdu in [0, 1] {
            for byte in 0..48 {
                scope.spawn(move || {
                    for bit in 0..8 {
                        let peer = Peer::start(in_pieces(), move |index, mut bytes| {
                            if index == pdu {
                                bytes[byte] ^= 1 << bit;
                            }
                            Act::Send(bytes)
                        });
                        match ask(&peer.portal(), None, SHORT) {
                            Ok(found) => {
                                assert!(names(&found).iter().all(|name| LIST.contains(&name.as_str())))
                            }
                            Err(error) => assert!(in_full(&error).chars().all(|c| !c.is_control())),
                        }
                    }
                });
            }
        }
    });
}

#[test]
fn portals_are_asked_side_by_side_and_each_failure_is_its_own() {
    let sound = Peer::sound(in_pieces());
    let stalled = Peer::start(in_pieces(), |_, _| Act::Stall);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let portals = [
        sound.portal(),
        stalled.portal(),
        closed.to_string().parse().unwrap(),
        "nowhere.invalid".parse().unwrap(),
    ];
    let limit = Limit::new(Duration::from_secs(5));
    let results = discover_all(&portals, &client(None), &limit);
    // One after the other, those behind the stalled one would have had no time left.
    let texts: Vec<String> = results
        .iter()
        .map(|(_, result)| {
            result.as_ref().map_or_else(|error| in_full(error), |found| names(found).join(" "))
        })
        .collect();
    assert_eq!(texts[0], LIST.join(" "));
    assert!(texts[1].contains("was given up"), "{texts:?}");
    assert!(texts[2].contains("cannot be reached: Connection refused"), "{texts:?}");
    assert!(
        texts[3].contains("host of portal nowhere.invalid:3260 cannot be found")
            || texts[3].contains("given up")
    );
}
