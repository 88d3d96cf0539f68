#![cfg(feature = "testing")]
use std::time::Duration;
use redrive::testing::*;
use redrive::*;

#[test]
fn smoke() {
    run(async {
        let s = Simulation::start(7, Runtime::builder().function(scripted("f").restarts(RestartIntensity::unlimited()))).await.unwrap();
        s.client().invoke("f", Script::always_fails()).await.unwrap();
        s.client().invoke("f", Script::fails(1)).await.unwrap();
        for step in [Step::Panic, Step::PanicLater, Step::PanicInDrop, Step::Hang] {
            s.client().invoke("f", Script(vec![step])).await.unwrap();
        }
        s.settle().await;
        println!("{:?}", s.stats("f"));
        let t = std::time::Instant::now();
        s.advance(Duration::from_secs(6 * 3600)).await;
        println!("{:?}", t.elapsed());
        let stats = s.stats("f");
        println!("{stats:?}");
        assert_eq!((stats.events.dead, stats.events.succeeded), (5, 1));
        s.assert_nothing_lost();
        let r: RequestId = s.client().call("f", Script::succeeds()).await.unwrap();
        println!("{r}");
        let report = s.into_runtime().shutdown(Duration::from_secs(1)).await;
        assert_eq!(report.dead_letters.len(), 5);
        println!("{:?}", report.dead_letters[3]);
    });
}
