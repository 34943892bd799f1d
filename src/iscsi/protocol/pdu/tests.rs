use super::*;
use crate::protocol::name::Isid;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![Just(Stage::Security), Just(Stage::Operational), Just(Stage::FullFeature)]
}

fn request() -> LoginRequest {
    LoginRequest {
        transit: Some(Stage::FullFeature),
        more: false,
        stage: Stage::Operational,
        isid: Isid([0, 2, 0x3d, 1, 2, 3]),
        tsih: 0x0405,
        itt: 0x0607_0809,
        cid: 0x0a0b,
        cmd_sn: 0x0c0d_0e0f,
        exp_stat_sn: 0x1011_1213,
    }
}

#[test]
fn a_login_request_has_each_field_where_the_standard_puts_it() {
    let pdu = request().encode(b"a=b\0c".to_vec());
    let bytes = pdu.to_bytes();
    let mut expected = vec![0x43, 0x87, 0, 0, 0, 0, 0, 5, 0, 2, 0x3d, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0a, 0x0b];
    expected.extend([0, 0, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13]);
    expected.extend([0; 16]);
    expected.extend(b"a=b\0c\0\0\0");
    assert_eq!(bytes, expected);
    assert_eq!(LoginRequest::decode(&pdu), Ok(request()));
}

#[test]
fn a_login_response_is_read_from_where_the_standard_puts_it() {
    let mut header = [0; HEADER_LEN];
    header[..4].copy_from_slice(&[0x23, 0x81, 0, 0]);
    header[8..16].copy_from_slice(&[0x80, 1, 2, 3, 4, 5, 0, 9]);
    header[16..20].copy_from_slice(&7u32.to_be_bytes());
    header[24..28].copy_from_slice(&100u32.to_be_bytes());
    header[28..32].copy_from_slice(&200u32.to_be_bytes());
    header[32..36].copy_from_slice(&300u32.to_be_bytes());
    header[36..38].copy_from_slice(&[0, 0]);
    let response = LoginResponse::decode(&Pdu { header, data: Vec::new() }).unwrap();
    assert_eq!((response.stage, response.transit), (Stage::Security, Some(Stage::Operational)));
    assert_eq!((response.isid, response.tsih, response.itt), (Isid([0x80, 1, 2, 3, 4, 5]), 9, 7));
    assert_eq!((response.stat_sn, response.exp_cmd_sn, response.max_cmd_sn), (100, 200, 300));
    header[1] = 0xc1;
    let both = LoginResponse::decode(&Pdu { header, data: Vec::new() });
    assert_eq!(both, Err(PduError::Flags("Login Response")));
    header[1] = 0x08;
    assert_eq!(LoginResponse::decode(&Pdu { header, data: Vec::new() }), Err(PduError::Stage(2)));
    header[36] = 2;
    assert!(
        LoginResponse::decode(&Pdu { header, data: Vec::new() }).is_ok(),
        "flags mean nothing in a refusal"
    );
}

#[test]
fn what_is_due_and_what_came_is_said() {
    let error = TextResponse::decode(&request().encode(Vec::new())).unwrap_err();
    assert_eq!(error.to_string(), "a Text Response was due, and a PDU with opcode 0x03 came (Login Request)");
    let debug = format!("{:?}", request().encode(b"CHAP_R=0x00".to_vec()));
    assert!(debug.contains("11 bytes") && !debug.contains("CHAP"), "{debug}");
}

#[test]
fn each_pdu_of_the_full_feature_phase_comes_back() {
    let numbers = Numbers { stat_sn: 1, exp_cmd_sn: 2, max_cmd_sn: 3 };
    let text = TextRequest { last: true, more: false, itt: 4, ttt: NO_TAG, cmd_sn: 5, exp_stat_sn: 6 };
    assert_eq!(TextRequest::decode(&text.encode(vec![1])), Ok(text));
    let text = TextResponse { last: false, more: true, itt: 4, ttt: 9, numbers };
    assert_eq!(TextResponse::decode(&text.encode(vec![1])), Ok(text));
    let both = TextResponse { last: true, more: true, itt: 4, ttt: 9, numbers };
    assert_eq!(TextResponse::decode(&both.encode(vec![1])), Err(PduError::Flags("Text Response")));
    let logout = LogoutResponse { response: 1, itt: 4, numbers, time2wait: 2, time2retain: 3 };
    let pdu = logout.encode();
    assert_eq!(pdu.header[40..44], [0, 2, 0, 3]);
    assert_eq!(LogoutResponse::decode(&pdu), Ok(logout));
    let nop = NopIn { itt: NO_TAG, ttt: 9, lun: [1, 2, 3, 4, 5, 6, 7, 8], numbers };
    assert_eq!(NopIn::decode(&nop.encode()), Ok(nop.clone()));
    let answer = nop.answer(5, 2).unwrap();
    assert_eq!(answer.header[..2], [0x40, 0x80]);
    assert_eq!(answer.header[8..24], [1, 2, 3, 4, 5, 6, 7, 8, 255, 255, 255, 255, 0, 0, 0, 9]);
    assert_eq!(NopIn { ttt: NO_TAG, ..nop }.answer(5, 2), None);
    let event = AsyncMessage { event: 1, vendor_code: 0, parameters: [1, 2, 30], numbers };
    let pdu = event.encode();
    assert_eq!(pdu.header[36..44], [1, 0, 0, 1, 0, 2, 0, 30]);
    assert_eq!(AsyncMessage::decode(&pdu), Ok(event));
    assert_eq!(Reject::decode(&Reject { reason: 4 }.encode(numbers)), Ok(Reject { reason: 4 }));
    let logout =
        LogoutRequest { reason: LogoutReason::CloseConnection, itt: 4, cid: 7, cmd_sn: 5, exp_stat_sn: 6 };
    assert_eq!(logout.encode().header[..2], [0x46, 0x81]);
    assert_eq!(logout.encode().header[20..24], [0, 7, 0, 0]);
}

/// A stream of PDUs as a target sends them.
fn stream(texts: &[Vec<u8>]) -> (Vec<Pdu>, Vec<u8>) {
    let numbers = Numbers { stat_sn: 1, exp_cmd_sn: 2, max_cmd_sn: 3 };
    let response = TextResponse { last: true, more: false, itt: 1, ttt: NO_TAG, numbers };
    let pdus: Vec<Pdu> = texts.iter().map(|text| response.encode(text.clone())).collect();
    let bytes = pdus.iter().flat_map(Pdu::to_bytes).collect();
    (pdus, bytes)
}

proptest! {
    #[test]
    fn requests_come_back(
        transit in prop::option::of(stage()),
        more: bool,
        stage in stage(),
        isid: [u8; 6],
        numbers: (u16, u32, u16, u32, u32),
    ) {
        let (tsih, itt, cid, cmd_sn, exp_stat_sn) = numbers;
        let isid = Isid(isid);
        let request = LoginRequest { transit, more, stage, isid, tsih, itt, cid, cmd_sn, exp_stat_sn };
        assert_eq!(LoginRequest::decode(&request.encode(Vec::new())), Ok(request));
    }

    #[test]
    fn a_stream_is_cut_into_the_same_pdus_however_it_arrives(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        cuts in prop::collection::vec(1usize..100, 1..200),
    ) {
        let (pdus, bytes) = stream(&texts);
        let mut framer = Framer::new(40);
        let mut found = Vec::new();
        let mut rest = bytes.as_slice();
        for cut in cuts.iter().cycle() {
            let (mut part, later) = rest.split_at(rest.len().min(*cut));
            rest = later;
            while !part.is_empty() {
                let before = part.len();
                let wanted = framer.wants();
                found.extend(framer.take(&mut part).unwrap());
                assert!(wanted > 0 && part.len() < before);
            }
            if rest.is_empty() {
                break;
            }
        }
        assert_eq!(found, pdus);
        assert!(!framer.is_within());
    }

    #[test]
    fn nothing_of_the_next_pdu_is_wanted(text in prop::collection::vec(any::<u8>(), 0..40)) {
        let (_, bytes) = stream(&[text]);
        let mut framer = Framer::new(40);
        let mut read = 0;
        loop {
            let wanted = framer.wants();
            let mut part = &bytes[read..read + wanted];
            read += wanted;
            if framer.take(&mut part).unwrap().is_some() {
                break;
            }
        }
        assert_eq!(read, bytes.len());
    }

    #[test]
    fn any_bytes_are_pdus_or_an_error(bytes in any::<Vec<u8>>(), limit in 0u32..100) {
        let mut framer = Framer::new(limit);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match framer.take(&mut rest) {
                Ok(Some(pdu)) => assert!(pdu.data.len() <= 100),
                Ok(None) => assert!(rest.is_empty()),
                Err(_) => break,
            }
        }
    }
}

#[test]
fn what_is_no_pdu_of_a_target_is_refused_at_the_first_byte_or_the_header() {
    let take = |bytes: &[u8]| Framer::new(8192).take(&mut &*bytes);
    assert_eq!(take(b"HTTP/1.1 400"), Err(FrameError::NotIscsi(b'H')));
    assert_eq!(take(&[0x43]), Err(FrameError::NotIscsi(0x43)));
    let mut header = [0; HEADER_LEN];
    header[0] = 0x23;
    header[4] = 1;
    assert_eq!(take(&header), Err(FrameError::AdditionalHeader));
    header[4..8].copy_from_slice(&[0, 0, 0x20, 1]);
    assert_eq!(take(&header), Err(FrameError::TooLarge { length: 8193, limit: 8192 }));
}
