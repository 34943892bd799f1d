use proptest::prelude::*;

use super::*;

/// A message of the kernel: the type in the netlink header, the event, the error, the answer, what it carries.
fn message(kind: u16, event: u32, error: i32, words: [u32; 4], carried: &[u8]) -> Vec<u8> {
    let length = u32::try_from(PREFIX_LEN + carried.len()).unwrap();
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(u32::from(kind).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(event.to_le_bytes());
    bytes.extend(error.to_le_bytes());
    bytes.extend([0xee; 32]);
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend(carried);
    bytes
}

fn u32_in(bytes: &[u8], at: usize) -> u32 {
    u32_at(bytes, at).unwrap()
}

#[test]
fn requests_have_the_kernels_layout() {
    // Offsets counted from the start of struct iscsi_uevent, behind the netlink header.
    let field = |bytes: &[u8], at: usize| u32_in(bytes, NETLINK_HEADER_LEN + at);
    let sid = SessionId(7);

    let create = Request::CreateSession { initial_cmdsn: 5, cmds_max: 128, queue_depth: 32 }.encode(0xabcd);
    assert_eq!((create.len(), u32_in(&create, 0), u32_in(&create, 4)), (72, 72, 11));
    assert_eq!((field(&create, 0), field(&create, 8), field(&create, 16)), (11, 0xabcd, 5));
    assert_eq!(field(&create, 20), 32 << 16 | 128);

    let bind = Request::BindConn { sid, socket: 9 }.encode(1);
    assert_eq!(
        (field(&bind, 0), field(&bind, 16), field(&bind, 20), field(&bind, 24), field(&bind, 32)),
        (15, 7, 0, 9, 1)
    );

    let param = Request::SetParam { sid, param: Param::TargetName, value: "iqn.x:a".into() }.encode(1);
    assert_eq!((u32_in(&param, 0), param.len()), (80, 80));
    assert_eq!((field(&param, 16), field(&param, 24), field(&param, 28)), (7, 15, 8));
    assert_eq!(&param[72..], b"iqn.x:a\0");

    let stop = Request::StopConn(sid, Stop::Recover).encode(1);
    assert_eq!((field(&stop, 0), field(&stop, 16), field(&stop, 32)), (18, 7, 3));

    let pdu = Pdu { header: [0x43; 48], data: vec![1; 5] };
    let pdu = Request::SendPdu { sid, pdu }.encode(1);
    assert_eq!((field(&pdu, 24), field(&pdu, 28), pdu.len()), (48, 8, 72 + 48 + 8));
    assert_eq!(&pdu[72 + 48..], &[1, 1, 1, 1, 1, 0, 0, 0]);
}

#[test]
fn answers_are_told_from_events_by_the_type_in_the_netlink_header() {
    let create = Request::CreateSession { initial_cmdsn: 1, cmds_max: 128, queue_depth: 32 };
    let Ok(Message::Answer(answer)) = decode(&message(11, 11, 0, [4, 2, 0, 0], &[])) else { panic!() };
    assert_eq!(answer.result(&create).unwrap().created(), (SessionId(4), HostNo(2)));
    assert_eq!(
        decode(&message(0, 102, 0, [4, 0, 1020, 0], &[])),
        Ok(Message::Event(Event::ConnError { sid: SessionId(4), code: 1020 }))
    );
    assert_eq!(
        decode(&message(0, 104, 0, [2, 4, 0, 0], &[])),
        Ok(Message::Event(Event::Destroyed(SessionId(4))))
    );
    assert_eq!(
        decode(&message(0, 105, 0, [4, 2, 0, 0], &[])),
        Ok(Message::Event(Event::Unbound(SessionId(4))))
    );
    assert_eq!(decode(&message(0, 110, 0, [0; 4], &[])), Ok(Message::Event(Event::Other(110))));
}

#[test]
fn refusals_are_errors() {
    let errno = |request: &Request, bytes: &[u8]| match decode(bytes) {
        Ok(Message::Answer(answer)) => answer.result(request).map(drop),
        other => panic!("{other:?}"),
    };
    let sid = SessionId(1);
    let busy = message(12, IF_ERROR, -16, [0; 4], &[]);
    assert_eq!(errno(&Request::DestroySession(sid), &busy), Err(Errno::EBUSY));
    // The transport's own verdict, in the answer.
    let bind = Request::BindConn { sid, socket: 3 };
    let not_connected = (-107_i32).cast_unsigned();
    assert_eq!(errno(&bind, &message(15, 15, 0, [not_connected, 0, 0, 0], &[])), Err(Errno::ENOTCONN));
    assert_eq!(errno(&bind, &message(15, 15, 0, [0; 4], &[])), Ok(()));
    // What is there for other requests means nothing.
    assert_eq!(errno(&Request::CreateConn(sid), &message(13, 13, 0, [9; 4], &[])), Ok(()));
    assert_eq!(errno(&Request::CreateConn(sid), &message(13, IF_ERROR, 0, [0; 4], &[])), Err(Errno::EIO));
}

#[test]
fn pdus_come_without_their_padding() {
    let mut header = [0; HEADER_LEN];
    header[0] = 0x23;
    header[7] = 5;
    let carried = [&header[..], b"a=b\0c\0\0\0"].concat();
    let Ok(Message::Event(Event::Pdu { sid, pdu: Pdu { data, header: read } })) =
        decode(&message(0, 101, 0, [3, 0, 0, 0], &carried))
    else {
        panic!()
    };
    assert_eq!((sid, data.as_slice(), read), (SessionId(3), &b"a=b\0c"[..], header));
    // A header that claims more than there is gets what there is.
    header[5] = 1;
    let carried = [&header[..], b"abcd"].concat();
    let Ok(Message::Event(Event::Pdu { pdu: Pdu { data, .. }, .. })) =
        decode(&message(0, 101, 0, [3, 0, 0, 0], &carried))
    else {
        panic!()
    };
    assert_eq!(data, b"abcd");
}

#[test]
fn short_messages_say_where_they_end() {
    let whole = message(0, 101, 0, [3, 0, 0, 0], &[0; HEADER_LEN]);
    assert!(decode(&whole).is_ok());
    for length in 0..whole.len() {
        assert!(decode(&whole[..length]).is_err(), "{length}");
    }
    let headless = message(0, 101, 0, [3, 0, 0, 0], &[0; 40]);
    assert!(decode(&headless).unwrap_err().to_string().contains("the header of a PDU"));
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = decode(&bytes);
    }
}
