//! Kernel and text at different transactions: whoever asks hears the same of it, once.

use base::error_chain::in_words;
use base::error_kind::ErrorKind;
use base::ids::TransactionId;
use dm::kernel::Kernel as _;
use dm::message::Message;
use dm_tests::world::asks::{activate, create, create_pool, grow_pool, remove, set_pool, snapshot};
use dm_tests::world::{World, tpool, vg_name};
use thin::Detail;
use thin::EngineError;
use thin::internals::request::Request;

use super::{kernel, used};

/// The pool's transaction in the text.
fn transaction(world: &World) -> TransactionId {
    world.metadata().vg.pools().next().expect("a pool").1.transaction_id
}

/// All that an error tells.
fn told(error: &EngineError) -> Vec<String> {
    [vec![in_words(error)], error.aside().warnings.clone()].concat()
}

#[test]
fn a_mismatch_is_told_once_and_in_the_same_words_by_all() {
    for steps_on in [true, false] {
        let world = used();
        let text = transaction(&world);
        let send = |message: Message| {
            kernel(&world).message(&tpool(), &message.to_string()).expect("the kernel answers");
        };
        let (from, to) = if steps_on {
            (text, text.next().expect("not the last one"))
        } else {
            (text, TransactionId(text.0 - 1))
        };
        send(Message::SetTransactionId { from, to });
        let says = format!(
            "pool pve/data is at transaction {to} in the kernel and at {text} in the volume group's metadata: "
        );
        let often = |all: &[String]| all.iter().map(|one| one.matches(&says).count()).sum::<usize>();
        let status =
            world.process(|engine| engine.inspect(&vg_name(), Detail::Pools)).expect("it is only told");
        assert_eq!((often(&status.warnings), status.pending.len()), (1, 0), "{:?}", status.warnings);
        let refused = world.recover().expect_err("it must not be touched");
        assert_eq!((refused.kind(), often(&told(&refused))), (ErrorKind::Corrupt, 1), "{:?}", told(&refused));
        let (message, hint) = (refused.to_string(), refused.hint());
        assert!(message.starts_with(&says), "{message}");
        let before = world.metadata().to_disk();
        let changes: [&[Request]; 7] = [
            &[create("n", true)],
            &[snapshot("a", "n")],
            &[remove("b")],
            &[activate("b")],
            &[grow_pool(1, 0)],
            &[set_pool()],
            &[create("m", false), create("n", false)],
        ];
        for requests in changes {
            let error = world.run(requests).expect_err("nothing is done until they agree");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{requests:?}");
            assert_eq!((error.to_string(), error.hint()), (message.clone(), hint.clone()), "{requests:?}");
            assert_eq!(often(&told(&error)), 1, "{requests:?}: {:?}", told(&error));
        }
        assert_eq!(world.metadata().to_disk(), before);
        assert_eq!(transaction(&world), text);
        // What is not in that pool goes on.
        world.run(&[create_pool("p", 8, false)]).expect("another pool is none of it");
    }
}
