//! Refusals and redirections.

use super::*;
use crate::protocol::chap::{Account, Secret};
use crate::protocol::status::{Remedy, Status};
use zeroize::Zeroizing;

fn refused(settings: Settings, status: (u8, u8), text: &str) -> Result<LoginStep, LoginError> {
    let (mut login, first) = Login::start(settings, nonce());
    let mut response = reply(&first, 0);
    // As tgt does: no flags, no numbers.
    (response.status, response.transit, response.stat_sn) = (status, None, 99);
    login.answer(&response.encode(pairs(text)))
}

#[test]
fn every_status_is_a_sentence_with_a_remedy() {
    let mut seen = std::collections::BTreeSet::new();
    for class in 0..=u8::MAX {
        for detail in 0..=u8::MAX {
            let status = Status { class, detail };
            seen.insert(status.meaning());
            if class == 0 || class == 1 {
                continue;
            }
            let error = refused(settings(), (class, detail), "").unwrap_err();
            let message = error.to_string();
            assert!(message.contains(status.meaning()) && message.contains(&status.to_string()), "{message}");
            let is_clear = matches!((class, detail), (2, 5 | 7..=11) | (2, 0));
            let is_named = class == 2 && detail <= 11 || class == 3 && detail <= 2;
            assert!(
                error.hint().is_some() || is_clear || !is_named || error.remedy() == Remedy::Interoperability
            );
        }
    }
    assert_eq!(seen.len(), 22, "{seen:?}");
}

#[test]
fn hints_depend_on_what_was_tried() {
    let hint = |settings, status| refused(settings, status, "").unwrap_err().hint().unwrap();
    assert!(hint(settings(), (2, 1)).contains("the target demands CHAP"));
    let secret = Secret::new(Zeroizing::new(b"secretsecret1".to_vec())).unwrap();
    let chap = Chap::new(Account { user: "a".into(), secret }, None, vec![Algorithm::Sha256]).unwrap();
    let with_chap = Settings { chap: Some(chap), ..settings() };
    assert!(hint(with_chap.clone(), (2, 1)).contains("know none of the algorithms offered"));
    assert!(hint(settings(), (3, 1)).contains("iscsi discover"));
    assert!(hint(settings(), (3, 2)).contains("try again later"));
    // tgt takes SHA-256 for SHA-1 and answers 02/00.
    let (mut login, first) = Login::start(with_chap, nonce());
    let second = next(login.answer(&reply(&first, 1).encode(pairs("AuthMethod=CHAP"))).unwrap());
    let text = pairs("CHAP_A=7 CHAP_I=1 CHAP_C=0x00");
    let third = next(login.answer(&reply(&second, 2).encode(text)).unwrap());
    let mut response = reply(&third, 3);
    (response.status, response.transit) = ((2, 0), None);
    let error = login.answer(&response.encode(Vec::new())).unwrap_err();
    assert!(error.hint().unwrap().contains("algorithms = md5"), "{error}");
}

#[test]
fn a_target_that_has_moved_says_where_to() {
    for (detail, is_permanent) in [(1, false), (2, true)] {
        match refused(settings(), (1, detail), "TargetAddress=[::1]:3261").unwrap() {
            LoginStep::Redirect(redirect) => {
                assert_eq!(redirect, Redirect { portal: "[::1]:3261".parse().unwrap(), is_permanent });
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused(settings(), (1, 1), "").unwrap_err(), LoginError::NoAddress);
    let error = refused(settings(), (1, 1), "TargetAddress=10.0.0.1:0").unwrap_err();
    assert!(matches!(error, LoginError::Address(_)), "{error}");
}

#[test]
fn redirections_are_followed_five_times_and_never_in_a_circle() {
    let portal = |n: usize| format!("10.0.0.{n}").parse::<Portal>().unwrap();
    let mut way = Redirections::start(portal(0));
    for n in 1..=MAX_REDIRECTIONS {
        way.follow(portal(n)).unwrap();
        let error = way.follow(portal(n - 1)).unwrap_err();
        assert_eq!(error, RedirectError::Loop { from: portal(n), to: portal(n - 1) });
        assert!(matches!(way.follow(portal(n)), Err(RedirectError::Loop { .. })), "nor to itself");
    }
    assert!(matches!(way.follow(portal(9)), Err(RedirectError::TooMany { .. })));
    assert_eq!((way.here(), way.portals().len()), (&portal(5), 6));
}
