use super::*;

fn account(user: &str, secret: &str) -> Account {
    Account { user: user.into(), secret: Secret::new(Zeroizing::new(secret.into())).unwrap() }
}

#[test]
fn responses_are_those_of_the_standard_hashes() {
    // md5sum, sha1sum, sha256sum and openssl dgst -sha3-256 of "\x2asecretsecret1challenge".
    let secret = account("u", "secretsecret1").secret;
    for (algorithm, hash) in [
        (Algorithm::Md5, "739c7eb70058f8a3bebd5f0a31bd9d9b"),
        (Algorithm::Sha1, "a0fec546d850c0f6bec2849a26a42b3d2444d123"),
        (Algorithm::Sha256, "8adf8b0497522fb817f4da3aa694e81f7b01333bbc9eb7a5fea29c03dc44a978"),
        (Algorithm::Sha3_256, "ee57fe9d410fe9d968dd129b2b39331f45fa8b00112807251a49b5fd676ca41d"),
    ] {
        let response = algorithm.response(0x2a, &secret, b"challenge");
        assert_eq!(binary::to_hex(&response), format!("0x{hash}"), "{algorithm}");
        assert_eq!(response.len(), algorithm.hash_len());
    }
}

fn chap(mutual: bool, algorithms: &[Algorithm]) -> Chap {
    let target = mutual.then(|| account("array", "another secret"));
    Chap::new(account("alice", "secretsecret1"), target, algorithms.to_vec()).unwrap()
}

fn nonce() -> Nonce {
    let mut bytes = [7; 33];
    bytes[0] = 0xf0;
    bytes.into()
}

fn pairs<'a>(list: &'a [(&'a str, String)]) -> Vec<Pair<'a>> {
    list.iter().map(|(key, value)| Pair { key, value: value.as_bytes() }).collect()
}

/// The first answer of a target.
fn challenge(algorithm: &str, identifier: &str, challenge: &str) -> [(&'static str, String); 3] {
    [("CHAP_A", algorithm.into()), ("CHAP_I", identifier.into()), ("CHAP_C", challenge.into())]
}

type Answered = Result<(Exchange, Vec<(&'static str, String)>), ChapError>;

fn answered(chap: &Chap, list: &[(&str, String)]) -> Answered {
    Exchange::answer(chap, nonce(), &pairs(list))
}

#[test]
fn a_challenge_is_answered_in_all_its_forms() {
    let chap = chap(false, &[Algorithm::Sha1, Algorithm::Md5]);
    let due = Algorithm::Md5.response(42, &chap.initiator.secret, &[0x0a, 0xbc]);
    for (identifier, value) in
        [("42", "0x0abc"), ("0x2a", "0Xabc"), ("42", "0b Crw=".trim()), ("42", "0bCrw="), ("42", "0BCrw")]
    {
        if value.contains(' ') {
            assert!(answered(&chap, &challenge("5", identifier, value)).is_err());
            continue;
        }
        let (exchange, answer) = answered(&chap, &challenge("5", identifier, value)).unwrap();
        assert_eq!(exchange.algorithm(), Algorithm::Md5);
        assert_eq!(answer, [("CHAP_N", "alice".into()), ("CHAP_R", binary::to_hex(&due))]);
    }
}

#[test]
fn challenges_that_cannot_be_are_refused() {
    let chap = chap(false, &[Algorithm::Md5]);
    let error = |list: &[(&str, String)]| answered(&chap, list).unwrap_err().to_string();
    for algorithm in ["6", "7", "05", "", "5,6", "MD5"] {
        let shown = error(&challenge(algorithm, "1", "0x00"));
        assert_eq!(shown, format!("the target picks CHAP algorithm '{algorithm}', which was not offered"));
    }
    for identifier in ["256", "-1", "+1", "0x100", "0x+1", ""] {
        assert_eq!(
            error(&challenge("5", identifier, "0x00")),
            "CHAP_I of the target is not a number up to 255"
        );
    }
    let long = format!("0x{}", "00".repeat(CHALLENGE_MAX + 1));
    for value in ["", "0x", "0b", "00", "0xgg", "0b*", "0x0 ", long.as_str()] {
        let shown = error(&challenge("5", "1", value));
        assert_eq!(shown, "CHAP_C of the target is not a binary value of 1 to 1024 bytes");
    }
    assert!(answered(&chap, &challenge("5", "1", &format!("0x{}", "00".repeat(CHALLENGE_MAX)))).is_ok());
    assert_eq!(error(&challenge("5", "1", "0x00")[..2]), "the target does not send CHAP_C");
}

#[test]
fn a_target_must_prove_itself_where_that_is_demanded() {
    let chap = chap(true, &[Algorithm::Sha256]);
    let (exchange, answer) = answered(&chap, &challenge("7", "1", "0x00")).unwrap();
    assert_eq!(answer[2], ("CHAP_I", "240".into()));
    assert_eq!(answer[3], ("CHAP_C", format!("0x{}", "07".repeat(32))));
    let proof = Algorithm::Sha256.response(240, &chap.target.as_ref().unwrap().secret, &[7; 32]);
    let verify = |user: &str, proof: &[u8]| {
        let list = [("CHAP_N", user.to_owned()), ("CHAP_R", binary::to_hex(proof))];
        exchange.verify(&chap, &pairs(&list))
    };
    assert_eq!(verify("array", &proof), Ok(()));
    assert_eq!(verify("alice", &proof), Err(ChapError::WrongUser("alice".into())));
    for at in 0..proof.len() {
        let mut wrong = proof.to_vec();
        wrong[at] ^= 1;
        assert_eq!(verify("array", &wrong), Err(ChapError::WrongProof));
    }
    assert_eq!(verify("array", &proof[..31]), Err(ChapError::WrongProof));
    let long = [proof.as_slice(), &[0]].concat();
    assert!(matches!(verify("array", &long), Err(ChapError::Value("CHAP_R", _))));
    let own = Algorithm::Sha256.response(240, &chap.initiator.secret, &[7; 32]);
    assert_eq!(verify("array", &own), Err(ChapError::WrongProof), "ours does not prove the target");
    let silent: [(&str, String); 1] = [("CHAP_N", "array".into())];
    assert_eq!(exchange.verify(&chap, &pairs(&silent)), Err(ChapError::Missing("CHAP_R")));
}

#[test]
fn our_own_challenge_is_not_answered() {
    for algorithm in [Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha3_256] {
        let chap = chap(true, &[algorithm]);
        let own = format!("0x{}", "07".repeat(algorithm.hash_len()));
        let list = challenge(&algorithm.number().to_string(), "1", &own);
        assert_eq!(answered(&chap, &list).unwrap_err(), ChapError::Reflected);
    }
}

#[test]
fn accounts_that_are_unsafe_or_cannot_be_sent_are_refused() {
    let new = |user: &str, target: Option<Account>, algorithms: &[Algorithm]| {
        Chap::new(account(user, "secretsecret1"), target, algorithms.to_vec()).map(|_| ()).unwrap_err()
    };
    let same = Some(account("array", "secretsecret1"));
    assert_eq!(new("alice", same, &[Algorithm::Md5]), ChapError::SameSecret);
    assert_eq!(new("", None, &[Algorithm::Md5]), ChapError::User);
    assert_eq!(new("a\0b", None, &[Algorithm::Md5]), ChapError::User);
    assert_eq!(new(&"a".repeat(256), None, &[Algorithm::Md5]), ChapError::User);
    assert_eq!(new("alice", None, &[]), ChapError::Algorithms);
    assert_eq!(new("alice", None, &[Algorithm::Md5, Algorithm::Md5]), ChapError::Algorithms);
    assert!(Secret::new(Zeroizing::new(vec![])).is_err());
    assert!(Secret::new(Zeroizing::new(vec![0; 256])).is_err());
    assert!(account("a", "elevenbytes").secret.is_short() && !account("a", "twelve bytes").secret.is_short());
}

#[test]
fn secrets_are_never_shown() {
    let chap = chap(true, &[Algorithm::Md5]);
    let shown = format!("{chap:?} {:?}", nonce());
    assert!(shown.contains("alice") && !shown.contains("secretsecret1") && !shown.contains("another secret"));
    assert!(!shown.contains('7'), "the nonce is not shown: {shown}");
}
