use super::*;

fn negotiate(offer: Offer, text: &[u8]) -> Result<(Parameters, Vec<String>), ParamError> {
    let mut negotiation = Negotiation::new(offer, false);
    let mut replies = Vec::new();
    for pair in super::super::text::parse(text, 99)? {
        replies.extend(negotiation.take(&pair, false)?.map(|reply| format!("{}={reply}", pair.key)));
    }
    Ok((negotiation.finish()?, replies))
}

#[test]
fn the_answers_of_lio_are_taken() {
    let text = b"HeaderDigest=CRC32C\0DataDigest=None\0MaxRecvDataSegmentLength=262144\0InitialR2T=Yes\0\
        ImmediateData=Yes\0MaxBurstLength=262144\0FirstBurstLength=65536\0MaxOutstandingR2T=1\0\
        MaxConnections=1\0DataPDUInOrder=Yes\0DataSequenceInOrder=Yes\0ErrorRecoveryLevel=0\0\
        DefaultTime2Wait=2\0DefaultTime2Retain=0\0IFMarker=No\0X-com.example.y=1\0";
    let offer = Offer { header_digest: vec![Digest::Crc32c, Digest::None], ..Offer::default() };
    let (parameters, replies) = negotiate(offer, text).unwrap();
    assert_eq!(replies, ["IFMarker=No", "X-com.example.y=NotUnderstood"]);
    assert_eq!(
        parameters,
        Parameters {
            header_digest: Digest::Crc32c,
            data_digest: Digest::None,
            max_recv_data_segment_length: 262_144,
            max_send_data_segment_length: 262_144,
            max_burst_length: 262_144,
            first_burst_length: 65_536,
            initial_r2t: true,
            immediate_data: true,
            max_outstanding_r2t: 1,
            default_time2wait: 2,
            default_time2retain: 0,
        }
    );
}

#[test]
fn where_a_target_is_silent_the_defaults_hold() {
    let (parameters, _) = negotiate(Offer::default(), b"").unwrap();
    assert_eq!(parameters.max_send_data_segment_length, 8192);
    assert_eq!((parameters.max_burst_length, parameters.first_burst_length), (262_144, 65_536));
    assert!(parameters.initial_r2t && parameters.immediate_data);
    assert_eq!(parameters.default_time2wait, 2, "the default, though less is offered");
    let (none, _) = negotiate(Offer::default(), b"DefaultTime2Wait=0\0").unwrap();
    assert_eq!(none.default_time2wait, 0);
    let low = Offer { max_burst_length: 1024, first_burst_length: 4096, ..Offer::default() };
    let (parameters, _) = negotiate(low, b"FirstBurstLength=4096\0").unwrap();
    assert_eq!(parameters.first_burst_length, 1024, "unsolicited data never exceeds a burst");
    let only = Offer { data_digest: vec![Digest::Crc32c], ..Offer::default() };
    assert!(negotiate(only.clone(), b"").is_err(), "a digest that is insisted on is not left out in silence");
    assert!(negotiate(only, b"DataDigest=NotUnderstood\0").is_err());
}

#[test]
fn results_the_offer_does_not_allow_are_refused_by_name() {
    for (text, offered, why) in [
        ("HeaderDigest=CRC32C", "None", "not among them"),
        ("MaxConnections=4", "1", "not a result the offer allows"),
        ("ErrorRecoveryLevel=1", "0", "not a result the offer allows"),
        ("DataPDUInOrder=No", "Yes", "not a result the offer allows"),
        ("DefaultTime2Wait=3601", "0", "outside the range of the key"),
        ("MaxRecvDataSegmentLength=511", "262144", "outside the range of the key"),
        ("MaxBurstLength=+512", "16776192", "not a number"),
        ("ImmediateData=yes", "Yes", "neither Yes nor No"),
    ] {
        let (key, answer) = text.split_once('=').unwrap();
        let message =
            format!("{key}={offered} was offered, and the target answers '{answer}', which is {why}");
        assert_eq!(negotiate(Offer::default(), text.as_bytes()).unwrap_err().to_string(), message);
    }
    for (text, message) in [
        ("FirstBurstLength=Reject", "the target rejects FirstBurstLength=262144"),
        ("InitialR2T=No\0InitialR2T=No", "the target gives InitialR2T twice"),
        ("X-a=1\0X-a=1", "the target gives X-a twice"),
    ] {
        assert_eq!(negotiate(Offer::default(), text.as_bytes()).unwrap_err().to_string(), message);
    }
    let same = b"MaxRecvDataSegmentLength=0x1000\0MaxRecvDataSegmentLength=4096\0";
    assert_eq!(negotiate(Offer::default(), same).unwrap().0.max_send_data_segment_length, 4096);
}

#[test]
fn discovery_offers_little_and_finds_the_rest_irrelevant() {
    let mut negotiation = Negotiation::new(Offer::default(), true);
    let keys: Vec<_> = negotiation.offers().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        [
            "HeaderDigest",
            "DataDigest",
            "MaxRecvDataSegmentLength",
            "DefaultTime2Wait",
            "DefaultTime2Retain",
            "ErrorRecoveryLevel"
        ]
    );
    let mut take = |key, value: &'static [u8], is_last| negotiation.take(&Pair { key, value }, is_last);
    assert_eq!(take("MaxBurstLength", b"512", false), Ok(Some("Irrelevant".into())));
    assert_eq!(take("ImmediateData", b"Irrelevant", false), Ok(None), "that is an answer, not a proposal");
    assert_eq!(take("X-vendor", b"1", true), Ok(None));
    assert_eq!(take("IFMarker", b"No", true), Err(ParamError::Unanswerable("IFMarker".into())));
}
