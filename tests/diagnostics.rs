//! The compiler's messages for misuse of redrive. Each mistake is compiled in a separate package.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::path::Path;
use std::process::Command;

/// Compiles `main` after the usual imports. Returns the compiler's messages, or nothing if it compiles.
fn compile(name: &str, code: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = root.join("target/diagnostics");
    let package = shared.join(name);
    std::fs::create_dir_all(package.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dependencies]\nredrive = {{ path = {root:?} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\
         [workspace]\n"
    );
    std::fs::write(package.join("Cargo.toml"), manifest).unwrap();
    // The same versions as in the repository: they are on this machine already.
    std::fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let main = format!(
        "#![allow(dead_code, unused_imports)]\nuse redrive::{{Event, Function, Stateful}};\n{code}\n"
    );
    std::fs::write(package.join("src/main.rs"), main).unwrap();
    let output = Command::new(env!("CARGO"))
        .args([
            "check",
            "--quiet",
            "--offline",
            "--color",
            "never",
            "--target-dir",
        ])
        .arg(shared.join("target"))
        .current_dir(&package)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() || said.contains("error[E"),
        "{said}"
    );
    if output.status.success() {
        String::new()
    } else {
        said
    }
}

#[track_caller]
fn assert_says(said: &str, texts: &[&str]) {
    for text in texts {
        assert!(
            said.contains(text),
            "the compiler did not say {text:?} but\n{said}"
        );
    }
}

#[test]
fn correct_code_compiles() {
    let said = compile(
        "right",
        r#"
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Upload { key: String }
        async fn named(event: Event<Upload>) -> Result<usize, std::io::Error> { Ok(event.key.len()) }
        fn main() {
            let _ = Function::new("named", named);
            let _ = Function::new("closure", |event: Event<Upload>| async move { Err::<(), _>(event.key.clone()) });
            let _ = Function::blocking("blocking", |_: Event<u32>| Err::<u32, _>("no"));
        }"#,
    );
    assert_eq!(said, "");
}

#[test]
fn the_error_for_a_value_that_is_not_a_function_says_it_is_not_a_handler() {
    let said = compile(
        "no_function",
        r#"fn main() { let _ = Function::new("f", 5); }"#,
    );
    assert_says(
        &said,
        &[
            "is not a handler of events",
            "expected `async fn(Event<T>) -> Result<R, E>`",
            "a handler takes one `redrive::Event<T>` and returns a future of `Result<R, E>`",
        ],
    );
}

#[test]
fn the_error_for_a_handler_of_another_type_says_to_take_an_event() {
    let said = compile(
        "no_event",
        r#"
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Upload { key: String }
        async fn thumbnail(upload: Upload) -> Result<(), String> { drop(upload); Ok(()) }
        fn main() { let _ = Function::new("f", thumbnail); }"#,
    );
    assert_says(
        &said,
        &[
            "expected function signature `fn(redrive::Event<_>) -> _`",
            "fn(Upload) -> _",
        ],
    );
}

#[test]
fn the_error_for_a_closure_of_another_type_says_to_take_an_event() {
    let code =
        r#"fn main() { let _ = Function::new("f", |n: u32| async move { Ok::<_, String>(n) }); }"#;
    let said = compile("no_event_closure", code);
    assert_says(
        &said,
        &[
            "expected closure signature `fn(redrive::Event<_>) -> _`",
            "fn(u32) -> _",
        ],
    );
}

#[test]
fn the_error_for_a_handler_without_arguments_says_to_take_one() {
    let code = r#"fn main() { let _ = Function::new("f", || async { Ok::<_, String>(()) }); }"#;
    assert_says(
        &compile("no_argument", code),
        &["closure is expected to take 1 argument, but it takes 0"],
    );
}

#[test]
fn the_error_for_a_handler_that_is_not_async_says_so() {
    let said = compile(
        "not_async",
        r#"
        fn thumbnail(_: Event<u32>) -> Result<(), String> { Ok(()) }
        fn main() { let _ = Function::new("f", thumbnail); }"#,
    );
    assert_says(&said, &["is not a future"]);
}

#[test]
fn the_error_for_a_handler_without_a_result_says_to_return_one() {
    let said = compile(
        "no_result",
        r#"
        async fn thumbnail(_: Event<u32>) -> u32 { 1 }
        fn main() { let _ = Function::new("f", thumbnail); }"#,
    );
    assert_says(&said, &["expected `Result<_, _>`, found `u32`"]);
}

#[test]
fn the_error_for_a_wrong_error_type_lists_the_right_ones() {
    let message = [
        "`u32` can't be the error of a handler",
        "a handler's error is any `std::error::Error`, `anyhow::Error`, `Box<dyn Error>`, `String` or `&str`",
    ];
    let said = compile(
        "no_error",
        r#"
        async fn thumbnail(_: Event<u32>) -> Result<(), u32> { Ok(()) }
        fn main() { let _ = Function::new("f", thumbnail); }"#,
    );
    assert_says(&said, &message);
    let code =
        r#"fn main() { let _ = Function::blocking("f", |_: Event<u32>| Err::<(), u32>(1)); }"#;
    assert_says(&compile("no_error_blocking", code), &message);
}

#[test]
fn the_error_for_a_payload_without_serde_says_what_to_derive() {
    let said = compile(
        "no_json",
        r#"
        struct Upload { key: String }
        async fn thumbnail(_: Event<Upload>) -> Result<(), String> { Ok(()) }
        fn main() { let _ = Function::new("f", thumbnail); }"#,
    );
    assert_says(
        &said,
        &[
            "adding `#[derive(serde::Serialize)]` to your `Upload` type",
            "adding `#[derive(serde::Deserialize)]` to your `Upload` type",
        ],
    );
}

#[test]
fn the_error_for_a_state_that_is_not_stateful_says_what_to_implement() {
    let said = compile(
        "not_stateful",
        r#"
        struct Model;
        async fn init() -> Result<Model, String> { Ok(Model) }
        fn main() { let _ = Function::stateful("f", init); }"#,
    );
    assert_says(
        &said,
        &[
            "`Model` can't be the state of a function",
            "expected a type that implements `redrive::Stateful`",
            "`init` must return `Result<S, E>` with `S: Stateful`",
        ],
    );
}
