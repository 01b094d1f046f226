//! Wake-up calls between replicas through Redis.

use std::sync::Arc;
use std::time::Duration;

use hitchpost::crypto::Secret;
use hitchpost::fanout::{Fanout, Wake};
use tokio_util::sync::CancellationToken;

use crate::support::{run, test_setting};

#[test]
fn a_call_of_one_replica_wakes_the_other() {
    let Some(url) = test_setting("TEST_REDIS_URL") else {
        assert_ne!(
            test_setting("HITCHPOST_TEST_REQUIRE").as_deref(),
            Some("all"),
            "TEST_REDIS_URL is not set"
        );
        eprintln!("SKIPPED: a_call_of_one_replica_wakes_the_other, because TEST_REDIS_URL is not set");
        return;
    };
    run(async {
        let url = Secret::new(url);
        let stopping = CancellationToken::new();
        let listener = Arc::new(Fanout::new(Some(&url)).unwrap());
        let listening = tokio::spawn(listener.clone().listen(stopping.clone()));
        let caller = Fanout::new(Some(&url)).unwrap();
        for wake in [Wake::Feed, Wake::Sockets] {
            // Redis keeps nothing for a subscriber that is still connecting, so the call is repeated.
            let call = async {
                loop {
                    caller.call(wake).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let woken = tokio::time::timeout(Duration::from_secs(10), listener.called(wake));
            tokio::select! {
                () = call => {}
                woken = woken => woken.expect("the other replica is woken"),
            }
        }
        stopping.cancel();
        listening.await.unwrap();
    });
}

#[test]
fn without_redis_a_call_goes_nowhere_and_a_bad_url_is_refused() {
    run(async {
        Fanout::new(None).unwrap().call(Wake::Feed).await;
        assert!(Fanout::new(Some(&Secret::new("http://redis"))).is_err());
    });
}
