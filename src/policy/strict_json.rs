//! JSON without lost members: a member that an object has twice is an error, and so is one that the reader never takes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::error::PolicyError;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    /// Rounded to 64 bits.
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Members),
}

/// The members of an object that are not taken yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Members(Vec<(String, Node)>);

impl Node {
    /// serde_json bounds the nesting at 128.
    pub(super) fn parse(text: &str) -> Result<Self, PolicyError> {
        serde_json::from_str(text).map_err(|error| PolicyError::Json(error.to_string()))
    }

    pub(super) fn text(self, place: &str) -> Result<String, PolicyError> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(PolicyError::faulty(place, "must be a string")),
        }
    }

    pub(super) fn map(self, place: &str) -> Result<Members, PolicyError> {
        match self {
            Self::Map(members) => Ok(members),
            _ => Err(PolicyError::faulty(place, "must be an object")),
        }
    }

    /// Returns the members of a list, or the value itself. An empty list is an error.
    pub(super) fn some(self, place: &str) -> Result<Vec<Self>, PolicyError> {
        match self {
            Self::List(all) if all.is_empty() => {
                Err(PolicyError::faulty(place, "is empty: name at least one"))
            }
            Self::List(all) => Ok(all),
            one => Ok(vec![one]),
        }
    }

    /// As `some`, for strings.
    pub(super) fn texts(self, place: &str) -> Result<Vec<String>, PolicyError> {
        let all = self.some(place)?.into_iter();
        all.map(|node| node.text(place)).collect()
    }
}

impl Members {
    /// Removes the member of this name and returns it.
    pub(super) fn take(&mut self, name: &str) -> Option<Node> {
        let index = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.swap_remove(index).1)
    }

    pub(super) fn into_all(self) -> Vec<(String, Node)> {
        self.0
    }

    /// # Errors
    /// When a member was not taken: it is unknown.
    pub(super) fn end(self, place: &str) -> Result<(), PolicyError> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(PolicyError::faulty(place, format!("`{name}` is unknown"))),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut all = Vec::new();
        while let Some(node) = list.next_element()? {
            all.push(node);
        }
        Ok(Node::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members: Vec<(String, Node)> = Vec::new();
        while let Some((name, node)) = map.next_entry::<String, Node>()? {
            if members.iter().any(|(other, _)| *other == name) {
                return Err(A::Error::custom(format!("`{name}` is there twice")));
            }
            members.push((name, node));
        }
        Ok(Node::Map(Members(members)))
    }
}
