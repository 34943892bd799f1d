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
