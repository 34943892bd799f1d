//! Kernel and text at different transactions: whoever asks hears the same of it, once.

use base::error_chain::in_words;
use base::error_kind::ErrorKind;
use base::ids::TransactionId;
use dm::kernel::Kernel as _;
use dm::message::Message;
use dm_tests::world::asks::{activate, create, create_pool, grow_pool, remove, set_pool, snapshot};
use dm_tests::world::{World, tpool};
use thin::observe::Scope;
use thin::planner::repair;
use thin::request::Request;

use super::{kernel, used};

/// The pool's transaction in the text.
fn transaction(world: &World) -> TransactionId {
    world.metadata().vg.pools().next().expect("a pool").1.transaction_id
}

/// What `thinvol status` finds to say: without a look into the pool.
fn status(world: &World) -> Vec<String> {
    let left = world.process(|session, _| {
        let observed = session.look(&Scope::all(false).without_inventory())?;
        Ok(repair(&session.metadata, &observed)?.left)
    });
    left.expect("the simulated machine has it")
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
        let told = |all: &[String]| all.iter().filter(|one| one.contains(&says)).count();
        let left = status(&world);
        assert_eq!((told(&left), left.len()), (1, 1), "{left:?}");
        let repair = world.recover().expect("what can be mended is");
        assert_eq!((told(&repair.left), repair.refused.len()), (1, 1), "{:?}", repair.left);
        let (message, hint) = (&repair.refused[0].message, &repair.refused[0].hint);
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
            assert_eq!((&error.to_string(), &error.hint()), (message, hint), "{requests:?}");
            assert_eq!(told(&[in_words(&error)]), 1, "{requests:?}");
        }
        assert_eq!(world.metadata().to_disk(), before);
        assert_eq!(transaction(&world), text);
        // What is not in that pool goes on.
        world.run(&[create_pool("p", 8, false)]).expect("another pool is none of it");
    }
}
