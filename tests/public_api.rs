//! The public API, listed in `tests/public_api.txt`, so that a change of it is seen in review.
//!
//! The list is read from the sources, with all features: what `src/lib.rs` and its public modules export, with the public
//! methods, fields and variants, and the traits that are implemented. `UPDATE_PUBLIC_API=1 cargo test --test public_api`
//! writes the list anew.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod house;

use std::collections::{BTreeMap, BTreeSet};

use house::{Source, root, sources};
use quote::ToTokens;
use syn::{Fields, ImplItem, Item, TraitItem, UseTree, Visibility};

#[test]
fn the_public_api_is_the_listed_one() {
    let listed = root().join("tests/public_api.txt");
    let found = list(&sources());
    assert!(found.len() > 300, "only {} items", found.len());
    let text = found.join("\n") + "\n";
    if std::env::var_os("UPDATE_PUBLIC_API").is_some() {
        std::fs::write(&listed, &text).unwrap();
    }
    let before = std::fs::read_to_string(&listed).unwrap();
    let before: BTreeSet<_> = before.lines().collect();
    let after: BTreeSet<_> = text.lines().collect();
    let gone = before.difference(&after).map(|line| format!("- {line}"));
    let new = after.difference(&before).map(|line| format!("+ {line}"));
    let changes: Vec<_> = gone.chain(new).collect();
    assert!(
        changes.is_empty(),
        "the public API changed. If that is meant, run `UPDATE_PUBLIC_API=1 cargo test --all-features --test public_api` \
         and say in CHANGELOG.md what users have to do:\n{}",
        changes.join("\n")
    );
}

#[test]
fn a_new_method_and_a_hidden_one_are_told_apart() {
    let file = |path: &str, text: &str| Source::new(path.to_owned(), text.to_owned());
    let sources = [
        file(
            "lib.rs",
            "mod shop; pub use shop::order::Order; #[cfg(test)] mod tests { pub struct No; }",
        ),
        file("shop/mod.rs", "pub(crate) mod order;"),
        file(
            "shop/order.rs",
            "#[derive(Clone)] pub struct Order { pub id: u32, secret: u8 }\nimpl Order { pub fn send(&self) -> Vec<u8> { f() } fn hide() {} }\n\
             impl std::fmt::Display for Order { }\npub struct Hidden;",
        ),
    ];
    assert_eq!(
        list(&sources),
        [
            "redrive::Order: Clone",
            "redrive::Order: std::fmt::Display",
            "redrive::Order::id: u32",
            "redrive::Order::send: pub fn send(&self) -> Vec<u8>",
            "struct redrive::Order",
        ]
    );
}

/// All that the sources export, a line each, sorted.
fn list(sources: &[Source]) -> Vec<String> {
    let parsed: Vec<_> = sources
        .iter()
        .filter(|source| !source.is_test())
        .map(|source| {
            let file = syn::parse_file(&source.text).unwrap();
            (source.path.as_str(), file.items)
        })
        .collect();
    let mut api = Api {
        files: parsed
            .iter()
            .map(|(path, items)| (*path, items.as_slice()))
            .collect(),
        lines: BTreeSet::new(),
    };
    api.module("lib.rs", "redrive");
    api.lines.into_iter().collect()
}

struct Api<'a> {
    files: BTreeMap<&'a str, &'a [Item]>,
    lines: BTreeSet<String>,
}

impl Api<'_> {
    fn module(&mut self, file: &str, path: &str) {
        for item in self.files[file] {
            match item {
                Item::Use(item) if is_public(&item.vis) => self.exports(&item.tree, file, path),
                Item::Mod(item) if is_public(&item.vis) => {
                    let path = format!("{path}::{}", item.ident);
                    self.lines.insert(format!("mod {path}"));
                    if item.content.is_none() {
                        let child = self.file_of_module(file, &item.ident.to_string());
                        self.module(&child, &path);
                    }
                }
                item => self.item(item, path),
            }
        }
    }

    fn file_of_module(&self, parent: &str, name: &str) -> String {
        let folder = parent
            .strip_suffix("mod.rs")
            .or_else(|| parent.strip_suffix("lib.rs"));
        let folder = folder.map_or_else(
            || parent.trim_end_matches(".rs").to_owned() + "/",
            str::to_owned,
        );
        let file = format!("{folder}{name}.rs");
        if self.files.contains_key(file.as_str()) {
            file
        } else {
            format!("{folder}{name}/mod.rs")
        }
    }

    fn exports(&mut self, tree: &UseTree, file: &str, path: &str) {
        match tree {
            UseTree::Path(tree) => self.exports(&tree.tree, file, path),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.exports(tree, file, path);
                }
            }
            UseTree::Name(tree) => self.export(&tree.ident.to_string(), path),
            UseTree::Rename(tree) => self.export(&tree.ident.to_string(), path),
            UseTree::Glob(_) => panic!("{file} exports with `*`"),
        }
    }

    /// A type's name is defined once in the crate, so that it leads to its definition; what isn't found is another crate's.
    fn export(&mut self, name: &str, path: &str) {
        let all = self.files.values().flat_map(|items| items.iter());
        let defined: Vec<_> = all
            .filter(|item| name_of(item).is_some_and(|found| found == name))
            .cloned()
            .collect();
        if defined.is_empty() {
            self.lines.insert(format!("use {path}::{name}"));
        }
        for item in defined {
            self.item(&item, path);
        }
    }

    fn item(&mut self, item: &Item, path: &str) {
        match item {
            Item::Struct(item) if is_public(&item.vis) => {
                let name = format!("{path}::{}", item.ident);
                self.line(format!("struct {name}{}", shown(&item.generics)));
                self.fields(&name, &item.fields, false);
                self.derives(&name, &item.attrs);
                self.methods(&item.ident.to_string(), &name);
            }
            Item::Enum(item) if is_public(&item.vis) => {
                let name = format!("{path}::{}", item.ident);
                let open = item
                    .attrs
                    .iter()
                    .any(|attribute| attribute.path().is_ident("non_exhaustive"));
                self.line(format!(
                    "enum {name}{}{}",
                    shown(&item.generics),
                    if open { ", non_exhaustive" } else { "" }
                ));
                for variant in &item.variants {
                    let variant_name = format!("{name}::{}", variant.ident);
                    self.line(format!("variant {variant_name}"));
                    self.fields(&variant_name, &variant.fields, true);
                }
                self.derives(&name, &item.attrs);
                self.methods(&item.ident.to_string(), &name);
            }
            Item::Trait(item) if is_public(&item.vis) => {
                let name = format!("{path}::{}", item.ident);
                self.line(format!(
                    "trait {name}{}: {}",
                    shown(&item.generics),
                    shown(&item.supertraits)
                ));
                for member in &item.items {
                    match member {
                        TraitItem::Fn(method) => {
                            let kind = if method.default.is_some() {
                                "provided"
                            } else {
                                "required"
                            };
                            self.line(format!(
                                "{name}::{}: {kind} {}",
                                method.sig.ident,
                                shown(&method.sig)
                            ));
                        }
                        TraitItem::Type(member) => {
                            self.line(format!("{name}::{}: type", member.ident))
                        }
                        member => self.line(format!("{name}: {}", shown(member))),
                    }
                }
            }
            Item::Fn(item) if is_public(&item.vis) => {
                self.line(format!(
                    "{path}::{}: pub {}",
                    item.sig.ident,
                    shown(&item.sig)
                ));
            }
            Item::Const(item) if is_public(&item.vis) => {
                self.line(format!("const {path}::{}: {}", item.ident, shown(&item.ty)));
            }
            Item::Type(item) if is_public(&item.vis) => {
                self.line(format!("type {path}::{} = {}", item.ident, shown(&item.ty)));
            }
            _ => {}
        }
    }

    fn fields(&mut self, name: &str, fields: &Fields, all: bool) {
        for (at, field) in fields.iter().enumerate() {
            if all || is_public(&field.vis) {
                let field_name = field
                    .ident
                    .as_ref()
                    .map_or(at.to_string(), ToString::to_string);
                self.line(format!("{name}::{field_name}: {}", shown(&field.ty)));
            }
        }
    }

    fn derives(&mut self, name: &str, attributes: &[syn::Attribute]) {
        for attribute in attributes
            .iter()
            .filter(|attribute| attribute.path().is_ident("derive"))
        {
            attribute
                .parse_nested_meta(|derived| {
                    let derived = shown(&derived.path);
                    let derived = derived.rsplit("::").next().unwrap();
                    self.lines.insert(format!("{name}: {derived}"));
                    Ok(())
                })
                .unwrap();
        }
    }

    /// The public methods of the type, and the traits that are implemented for it.
    fn methods(&mut self, ident: &str, name: &str) {
        let files: Vec<_> = self.files.values().copied().collect();
        for item in files.into_iter().flatten() {
            let Item::Impl(item) = item else { continue };
            let subject = shown(&item.self_ty);
            if subject.split('<').next().unwrap() != ident {
                continue;
            }
            if let Some((_, of, _)) = &item.trait_ {
                self.line(format!("{name}: {}", shown(of)));
                continue;
            }
            for member in &item.items {
                match member {
                    ImplItem::Fn(method) if is_public(&method.vis) => {
                        self.line(format!(
                            "{name}::{}: pub {}",
                            method.sig.ident,
                            shown(&method.sig)
                        ));
                    }
                    ImplItem::Const(member) if is_public(&member.vis) => {
                        self.line(format!(
                            "{name}::{}: const {}",
                            member.ident,
                            shown(&member.ty)
                        ));
                    }
                    _ => {}
                }
            }
        }
    }

    fn line(&mut self, line: String) {
        self.lines.insert(line.trim_end_matches(": ").to_owned());
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn name_of(item: &Item) -> Option<String> {
    Some(match item {
        Item::Struct(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Const(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        _ => return None,
    })
}

/// Tokens with the spaces that people write.
fn shown(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string().replace('\n', " ");
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" , ", ", "),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        ("& ", "&"),
        (" : ", ": "),
        ("' ", "'"),
        (" ;", ";"),
        (" [", "["),
        ("(mut self", "(self"),
        ("->", " -> "),
        ("- > ", "-> "),
    ] {
        text = text.replace(from, to);
    }
    while text.contains("  ") {
        text = text.replace("  ", " ");
    }
    text.replace(",)", ")").replace("|(", "| (")
}
