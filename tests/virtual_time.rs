//! Operations that take real time, under virtual time: sockets, files, blocking functions.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use common::{invoke, secs, simulate};
use redrive::testing::{Script, Simulation, run, scripted};
use redrive::{BuildError, Event, Function, Runtime, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Sends a byte and reads the reply, this many times.
async fn exchange(address: SocketAddr, times: u32) -> Result<u8, AnyError> {
    let mut stream = TcpStream::connect(address).await?;
    let mut byte = [1];
    for _ in 0..times {
        stream.write_all(&byte).await?;
        stream.read_exact(&mut byte).await?;
    }
    Ok(byte[0])
}

fn asking(times: u32) -> Function {
    Function::new("ask", move |event: Event<SocketAddr>| async move {
        exchange(*event, times).await
    })
}

/// A server on another thread that replies with one more, after a while.
fn slow_server(each: Duration) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut byte) = (stream.unwrap(), [0]);
            while stream.read_exact(&mut byte).is_ok() {
                std::thread::sleep(each);
                stream.write_all(&[byte[0] + 1]).unwrap();
            }
        }
    });
    address
}

#[test]
fn a_handler_waits_for_a_server_of_another_thread() {
    // Longer together than the clock waits for a single reply.
    let address = slow_server(Duration::from_millis(50));
    simulate([asking(12)], |s| async move {
        let began = tokio::time::Instant::now();
        let id = invoke(&s, "ask", address).await;
        let status = s.client().wait(id).await.unwrap();
        assert_eq!(status.result::<u8>().unwrap().unwrap(), 13);
        assert_eq!(s.stats("ask").invocations, 1);
        assert!(began.elapsed() < secs(3), "no time passed");
    });
}

#[test]
fn a_handler_waits_for_a_server_in_the_test() {
    simulate([asking(5)], |s| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            while stream.read_exact(&mut byte).await.is_ok() {
                stream.write_all(&[byte[0] + 1]).await.unwrap();
            }
        });
        let answer = s.client().call::<u8>("ask", address).await;
        assert_eq!(answer.unwrap(), 6);
    });
}

/// An open socket on which nothing comes does not stop the time for good.
#[test]
fn a_silent_server_becomes_a_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    simulate([asking(1).timeout(secs(60))], |s| async move {
        let answer = s.client().call::<u8>("ask", address).await;
        let failure = answer.unwrap_err().to_string();
        assert!(
            failure.contains("timed out after 60.00 seconds"),
            "{failure}"
        );
    });
}

#[test]
fn a_blocking_function_takes_no_virtual_time() {
    let function = Function::blocking("block", |event: Event<u64>| {
        std::thread::sleep(Duration::from_millis(*event));
        Ok::<_, String>(*event)
    });
    simulate(
        [function.timeout(Duration::from_millis(20))],
        |s| async move {
            let answer = s.client().call::<u64>("block", 60_u64).await;
            assert_eq!(answer.unwrap(), 60);
        },
    );
}

#[cfg(feature = "disk")]
#[test]
fn a_folder_is_written_while_the_clock_stands_still() {
    let folder = tempfile::tempdir().unwrap();
    for life in 0..2_u64 {
        run(async {
            let builder = Runtime::builder().function(scripted("f"));
            let builder = builder.disk(folder.path());
            let s = Simulation::start(7, builder).await.unwrap();
            let began = tokio::time::Instant::now();
            // A timer that the clock would jump to.
            let timer = actix_rt::spawn(tokio::time::sleep(Duration::from_millis(1)));
            for _ in 0..20 {
                invoke(&s, "f", Script::succeeds()).await;
            }
            assert!(!timer.is_finished() && began.elapsed().is_zero());
            let later = redrive::Invoke::event("f", Script::succeeds()).delay(secs(86_400));
            let id = s.client().send(later).await.unwrap().request_id;
            s.settle().await;
            assert_eq!(s.stats("f").events.inherited, life);
            if life > 0 {
                s.advance(secs(86_400)).await;
                let status = s.client().status(id).await;
                assert!(matches!(status, Some(Status::Succeeded { .. })));
            }
            let report = s.into_runtime().shutdown(secs(1)).await;
            assert_eq!(report.unfinished_count, u64::from(life == 0));
        });
    }
}

#[test]
fn a_simulation_in_real_time_is_refused() {
    let start = || Simulation::start(7, Runtime::builder().function(scripted("f")));
    let refused = actix::System::new().block_on(start()).unwrap_err();
    assert!(matches!(refused, BuildError::RealTime));
    assert!(
        refused.to_string().contains("redrive::testing::run"),
        "{refused}"
    );
    assert!(run(start()).is_ok());
}
