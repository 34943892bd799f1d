use super::*;
use crate::protocol::params::{Digest, Parameters};
use crate::protocol::pdu::Numbers;
use proptest::prelude::{any, prop, proptest};

fn session() -> LoggedIn {
    LoggedIn {
        parameters: Parameters {
            header_digest: Digest::None,
            data_digest: Digest::None,
            max_recv_data_segment_length: 8192,
            max_send_data_segment_length: 8192,
            max_burst_length: 8192,
            first_burst_length: 8192,
            initial_r2t: true,
            immediate_data: true,
            max_outstanding_r2t: 1,
            default_time2wait: 2,
            default_time2retain: 0,
        },
        tsih: 1,
        cmd_sn: 5,
        exp_stat_sn: 0xffff_ffff,
        exp_cmd_sn: 5,
        max_cmd_sn: 5,
        portal_group_tag: None,
        target_alias: None,
        authenticated: None,
        is_mutual: false,
        requests: 1,
    }
}

fn numbers(stat_sn: u32) -> Numbers {
    Numbers { stat_sn, exp_cmd_sn: 5, max_cmd_sn: 6 }
}

fn part(last: bool, ttt: u32, stat_sn: u32, text: &[u8]) -> Pdu {
    TextResponse { last, more: false, itt: TASK, ttt, numbers: numbers(stat_sn) }.encode(text.to_vec())
}

fn sent(next: Next) -> TextRequest {
    match next {
        Next::Send(pdu) => TextRequest::decode(&pdu).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_short_answer_takes_one_question_and_ends_with_a_logout() {
    let (mut listing, question) = Listing::start(&session());
    assert_eq!(question.data, b"SendTargets=All\0");
    let request = TextRequest::decode(&question).unwrap();
    assert_eq!((request.last, request.ttt, request.cmd_sn), (true, NO_TAG, 5));
    assert_eq!(request.exp_stat_sn, 0xffff_ffff);
    match listing.hear(&part(true, NO_TAG, 0xffff_ffff, b"TargetName=x\0")).unwrap() {
        Next::Listed { answer, logout } => {
            assert_eq!(answer, b"TargetName=x\0");
            assert_eq!(logout.header[..2], [0x46, 0x80], "the session is closed");
            assert_eq!(logout.header[28..32], [0, 0, 0, 0], "the answer is acknowledged");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn pings_are_answered_and_events_heeded_in_the_middle_of_an_answer() {
    let (mut listing, _) = Listing::start(&session());
    let next = sent(listing.hear(&part(false, 9, 0xffff_ffff, b"Target")).unwrap());
    assert_eq!((next.ttt, next.itt, next.exp_stat_sn, next.last), (9, TASK, 0, true));
    let ping = |ttt| NopIn { itt: NO_TAG, ttt, lun: [0; 8], numbers: numbers(0) }.encode();
    assert!(matches!(listing.hear(&ping(3)).unwrap(), Next::Send(pdu) if pdu.header[20..24] == [0, 0, 0, 3]));
    assert!(matches!(listing.hear(&ping(NO_TAG)).unwrap(), Next::Wait));
    let event = |event, stat_sn| {
        AsyncMessage { event, vendor_code: 0, parameters: [0; 3], numbers: numbers(stat_sn) }.encode()
    };
    assert!(matches!(listing.hear(&event(0, 0)).unwrap(), Next::Wait));
    assert_eq!(listing.hear(&event(1, 1)).unwrap_err(), ListingError::Ended(1));
}

#[test]
fn answers_that_break_the_rules_are_refused() {
    let hear = |pdu: &Pdu| Listing::start(&session()).0.hear(pdu).unwrap_err();
    assert_eq!(hear(&part(true, NO_TAG, 0, b"")), ListingError::StatSn { due: 0xffff_ffff, found: 0 });
    assert_eq!(hear(&part(false, NO_TAG, 0xffff_ffff, b"")), ListingError::NoTag);
    let other = TextResponse { last: true, more: false, itt: 9, ttt: NO_TAG, numbers: numbers(0) };
    assert_eq!(hear(&other.encode(vec![])), ListingError::TaskTag(9));
    let reject = Reject { reason: 5 }.encode(numbers(0));
    assert!(hear(&reject).to_string().contains("the command is not supported"));
    let (mut listing, _) = Listing::start(&session());
    let ping = NopIn { itt: NO_TAG, ttt: NO_TAG, lun: [0; 8], numbers: numbers(0) }.encode();
    for _ in 0..MAX_PDUS {
        listing.hear(&ping).unwrap();
    }
    assert_eq!(listing.hear(&ping).unwrap_err(), ListingError::TooLong);
}

#[test]
fn an_answer_has_a_greatest_length() {
    let (mut listing, _) = Listing::start(&session());
    let data = vec![b'x'; 1 << 20];
    let mut stat_sn = 0xffff_ffff;
    for _ in 0..16 {
        listing.hear(&part(false, 9, stat_sn, &data)).unwrap();
        stat_sn = stat_sn.wrapping_add(1);
    }
    assert_eq!(listing.hear(&part(false, 9, stat_sn, b"x")).unwrap_err(), ListingError::TooLong);
}

proptest! {
    #[test]
    fn an_answer_is_the_same_however_it_is_cut(
        answer in prop::collection::vec(any::<u8>(), 0..400),
        cuts in prop::collection::vec(0usize..50, 1..20),
    ) {
        let (mut listing, _) = Listing::start(&session());
        let mut rest = answer.as_slice();
        let mut stat_sn = 0xffff_ffff_u32;
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            sent(listing.hear(&part(false, 7, stat_sn, now)).unwrap());
            stat_sn = stat_sn.wrapping_add(1);
        }
        match listing.hear(&part(true, NO_TAG, stat_sn, rest)).unwrap() {
            Next::Listed { answer: found, .. } => assert_eq!(found, answer),
            other => panic!("{other:?}"),
        }
    }
}
